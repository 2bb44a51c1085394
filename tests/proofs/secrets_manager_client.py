"""AWS's own client asks the tests' Secrets Manager: for single secrets, and for batches with their errors and pages.

tests/proofs/secrets_manager.rs starts it and says where it is.
"""

import os
import sys

import botocore.session
from botocore.config import Config

client = botocore.session.Session().create_client(
    "secretsmanager",
    endpoint_url=os.environ["PROOF_URL"],
    region_name="eu-west-1",
    aws_access_key_id="AKIDEXAMPLE",
    aws_secret_access_key="hunter2-key",
    config=Config(retries={"total_max_attempts": 1}),
)
failures = 0


def case(name, call, expected):
    """`expected`: what the call returns, or the code of its refusal."""
    global failures
    try:
        found = call()
    except client.exceptions.ClientError as error:
        found = error.response["Error"]["Code"]
    good = found == expected
    failures += not good
    print("ok" if good else "NOT OK", name, "" if good else f"{found!r} is not {expected!r}")


def single(name):
    answer = client.get_secret_value(SecretId=name, VersionStage="AWSCURRENT")
    return answer.get("SecretString", answer.get("SecretBinary"))


def pages(*names):
    """How many secrets each page has."""
    sizes, more = [], {}
    while True:
        answer = client.batch_get_secret_value(SecretIdList=list(names), **more)
        sizes.append(len(answer["SecretValues"]))
        if not answer.get("NextToken"):
            return sizes
        more = {"NextToken": answer["NextToken"]}


def batch(*names):
    answer = client.batch_get_secret_value(SecretIdList=list(names))
    values = {value["Name"]: value.get("SecretString", value.get("SecretBinary")) for value in answer["SecretValues"]}
    errors = {error["SecretId"]: error["ErrorCode"] for error in answer["Errors"]}
    return values, errors, answer.get("NextToken")


if os.environ["PROOF_PART"] == "pages":
    case("pages", lambda: pages("a", "bytes", "c", "d", "e"), [2, 2, 1])
else:
    arn = client.get_secret_value(SecretId="a")["ARN"]
    many = [f"nobodys-{number}" for number in range(20)]
    case("one", lambda: single("a"), "of a")
    case("one by its ARN", lambda: single(arn), "of a")
    case("one by a part of its ARN", lambda: single(arn.rsplit("-", 1)[0]), "of a")
    case("bytes", lambda: single("bytes"), b"\x00\xff\x00hi")
    case("missing", lambda: single("missing"), "ResourceNotFoundException")
    case("deleted", lambda: single("deleted"), "InvalidRequestException")
    case("a batch", lambda: batch("a", "bytes"), ({"a": "of a", "bytes": b"\x00\xff\x00hi"}, {}, None))
    case("a batch by ARN", lambda: batch(arn), ({"a": "of a"}, {}, None))
    case(
        "a batch with errors",
        lambda: batch("a", "missing", "deleted"),
        ({"a": "of a"}, {"missing": "ResourceNotFoundException", "deleted": "InvalidRequestException"}, None),
    )
    case("the largest batch", lambda: len(batch(*many)[1]), 20)
    case("a batch that is too large", lambda: batch(*many, "a"), "InvalidParameterException")
sys.exit(failures > 0)
