# Google's own clients against the tests' Google: what they read, and what they are told when they may not.
import json
import os
import shutil
import stat
import subprocess

URL, HOST, KEY = os.environ["PROOF_URL"], os.environ["PROOF_HOST"], os.environ["PROOF_KEY"]
FOLDER, POOL, SUBJECT = os.environ["PROOF_FOLDER"], os.environ["PROOF_POOL"], os.environ["PROOF_SUBJECT"]
# Read when the library is loaded.
os.environ.update(GCE_METADATA_HOST=HOST, GCE_METADATA_IP=HOST, CLOUDSDK_CONFIG=FOLDER)

import google.auth
import google.auth.compute_engine
from google.api_core import exceptions
from google.auth import aws, identity_pool, impersonated_credentials, pluggable
from google.auth.transport.requests import Request
from google.cloud import secretmanager_v1
from google.oauth2 import credentials as oauth2_credentials
from google.oauth2 import service_account

SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]


def client(credentials):
    options = {"api_endpoint": URL}
    return secretmanager_v1.SecretManagerServiceClient(
        transport="rest", credentials=credentials, client_options=options
    )


def read(credentials, name="good", version="1", parent="projects/p"):
    name = f"{parent}/secrets/{name}/versions/{version}"
    return client(credentials).access_secret_version(name=name, retry=None, timeout=10).payload


def is_refused(kind, *arguments, **named):
    try:
        read(*arguments, **named)
    except kind as error:
        print("ok: refused as", type(error).__name__)
    else:
        raise SystemExit(f"{arguments} was not refused")


def reads(what, credentials, expected=b"one", **named):
    payload = read(credentials, **named)
    assert payload.data == expected, payload
    print("ok:", what)


def written(name, text, mode=0o600):
    path = os.path.join(FOLDER, name)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


key = json.load(open(KEY))
own = service_account.Credentials.from_service_account_info(key)
reads("a key's own signature", own)
reads("the version created last", own, b'{"user":"two"}', version="latest")
reads("an alias", own, version="prod")
reads("a regional secret", own, b"regional", version="latest", parent="projects/p/locations/europe-west3")
reads("an empty value", own, b"", name="empty")
assert read(own, "binary").data == b"\x00\xff"
is_refused(exceptions.NotFound, own, "none")
is_refused(exceptions.NotFound, own, "good", "9")
is_refused(exceptions.BadRequest, own, "db", "3")
is_refused(exceptions.BadRequest, own, "db", "latest")
is_refused(exceptions.BadRequest, own, "good", "unknown-alias")
is_refused(exceptions.Forbidden, own, "denied")
# After a 401 it wants another token, which this one can't be.
is_refused(google.auth.exceptions.RefreshError, oauth2_credentials.Credentials("ya29.unknown"))

exchanged = service_account.Credentials.from_service_account_info(key, scopes=SCOPES)
exchanged.refresh(Request())
reads("a key's signature, exchanged", oauth2_credentials.Credentials(exchanged.token))
reads("the metadata server", google.auth.compute_engine.Credentials())
found, project = google.auth.default()
assert project == "p", project
reads("application default credentials", found)

common = {"type": "external_account", "audience": POOL, "token_url": URL + "/v1/token"}
jwt = {**common, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}
file = {**jwt, "credential_source": {"file": written("subject.jwt", SUBJECT)}}
reads("federation by a file", identity_pool.Credentials.from_info(file, scopes=SCOPES))
target = URL + "/v1/projects/-/serviceAccounts/direct@p.iam.gserviceaccount.com:generateAccessToken"
stands = {**file, "service_account_impersonation_url": target}
reads("… and impersonation", identity_pool.Credentials.from_info(stands, scopes=SCOPES))
picked = {"type": "json", "subject_token_field_name": "access_token"}
source = {"url": URL + "/subject", "headers": {"Metadata": "hunter2-header"}, "format": picked}
reads("federation by a URL", identity_pool.Credentials.from_info({**jwt, "credential_source": source}, scopes=SCOPES))
reply = {"version": 1, "success": True, "token_type": jwt["subject_token_type"], "id_token": SUBJECT}
program = written("program", f"#!/bin/sh\necho '{json.dumps({**reply, 'expiration_time': 4102444800})}'\n", stat.S_IRWXU)
os.environ["GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"] = "1"
source = {"executable": {"command": program, "timeout_millis": 5000}}
reads("federation by a program", pluggable.Credentials.from_info({**jwt, "credential_source": source}, scopes=SCOPES))
os.environ.update(AWS_ACCESS_KEY_ID="AKIAEXAMPLE", AWS_SECRET_ACCESS_KEY="key", AWS_SESSION_TOKEN="session")
os.environ["AWS_REGION"] = "eu-central-1"
verification = "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
source = {
    "environment_id": "aws1",
    "region_url": URL + "/zone",
    "url": URL + "/role",
    "regional_cred_verification_url": verification,
}
of_aws = {**common, "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request", "credential_source": source}
reads("federation by AWS", aws.Credentials.from_info(of_aws, scopes=SCOPES))
refused = identity_pool.Credentials.from_info({**file, "audience": "//iam.googleapis.com/other"}, scopes=SCOPES)
try:
    refused.refresh(Request())
    raise SystemExit("a wrong audience was not refused")
except google.auth.exceptions.OAuthError as error:
    print("ok: refused as", str(error)[:60])

between = "between@p.iam.gserviceaccount.com"
impersonated = impersonated_credentials.Credentials(
    source_credentials=exchanged, target_principal="reader@p.iam.gserviceaccount.com", delegates=[between],
    target_scopes=SCOPES, iam_endpoint_override=URL + "/v1/projects/-/serviceAccounts/reader@p.iam.gserviceaccount.com:generateAccessToken",
)
reads("impersonation with a delegate", impersonated)

if shutil.which("gcloud"):
    environment = {
        **os.environ,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER": URL + "/",
        "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": KEY,
        "CLOUDSDK_AUTH_TOKEN_HOST": URL + "/token",
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
    }

    def gcloud(secret, *more):
        words = ["gcloud", "secrets", "versions", "access", "1", f"--secret={secret}", "--project=p", *more]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)

    done = gcloud("good")
    assert done.stdout == "one", done
    print("ok: gcloud")
    done = gcloud("none")
    assert done.returncode != 0 and "NOT_FOUND" in done.stderr, done
    print("ok: gcloud is told that there is none")
else:
    print("skipped: there is no gcloud")
