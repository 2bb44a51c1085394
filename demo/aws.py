"""aws.py ENDPOINT: fills an AWS-API server (moto) for the demo and has it check signatures from then on.

Prints the access key id and the secret access key of a user who may read secrets, and nothing else.
"""

import json
import sys
import urllib.request

import boto3

endpoint = sys.argv[1]
session = boto3.Session("anyone", "anything", region_name="eu-central-1")


def client(service):
    return session.client(service, endpoint_url=endpoint)


secrets = client("secretsmanager")
secrets.create_secret(Name="demo/motto", SecretString="per aspera")
secrets.put_secret_value(SecretId="demo/motto", SecretString="ad astra")
secrets.create_secret(Name="demo/db", SecretString=json.dumps({"username": "kong", "password": "a/b+c=d"}))
secrets.create_secret(Name="demo/key", SecretBinary=bytes([0, 1, 2, 253, 254, 255]))

iam = client("iam")
allowed = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
iam.create_user(UserName="gateway")
iam.put_user_policy(
    UserName="gateway",
    PolicyName="read-secrets",
    PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
)
key = iam.create_access_key(UserName="gateway")["AccessKey"]

# Until now it let everybody in; from the next request on it checks who signed, and what they may do.
request = urllib.request.Request(f"{endpoint}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"})
urllib.request.urlopen(request).close()

print(key["AccessKeyId"], key["SecretAccessKey"])
