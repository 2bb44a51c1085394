"""AWS's own client asks the tests' metadata services, container's agent and IAM Identity Center.

tests/proofs/aws.rs starts them and says where they are.
"""

import os
import sys
import urllib.error
import urllib.request

for name in list(os.environ):
    if name.startswith("AWS_"):
        del os.environ[name]

import botocore.session  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.credentials import RefreshableCredentials  # noqa: E402
from botocore.exceptions import ClientError, MetadataRetrievalError  # noqa: E402
from botocore.utils import ContainerMetadataFetcher, InstanceMetadataFetcher  # noqa: E402

METADATA, METADATA_V1 = os.environ["PROOF_METADATA"], os.environ["PROOF_METADATA_V1"]
AGENT, CENTER = os.environ["PROOF_AGENT"], os.environ["PROOF_CENTER"]
AGENTS_TOKEN, CENTERS_TOKEN = os.environ["PROOF_AGENTS_TOKEN"], os.environ["PROOF_CENTERS_TOKEN"]
failed = []


def case(name, does, expected):
    try:
        found = does()
    except ClientError as error:
        found = f"ClientError {error.response['Error']['Code']}"
    except urllib.error.HTTPError as error:
        found = f"status {error.code}"
    except Exception as error:
        found = f"{type(error).__name__} {str(error)[:120]}"
    good = expected(found) if callable(expected) else found == expected
    print("ok " if good else "BAD", name, "->", repr(str(found)[:120]), flush=True)
    if not good:
        failed.append(name)


def plain(url, method="GET", **headers):
    """What a client gets that does not ask as AWS's own does."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with urllib.request.urlopen(urllib.request.Request(url, method=method, headers=named)) as answer:
        return answer.read()


OURS = ("ASIAEXAMPLE", "key", "of-a-session")
ROLES = "/latest/meta-data/iam/security-credentials/"


def of_instance(url, **config):
    fetcher = InstanceMetadataFetcher(num_attempts=1, base_url=url, config=config)
    found = fetcher.retrieve_iam_role_credentials()
    # It is read as the client reads it for its requests: with the time when it ends.
    if found:
        RefreshableCredentials.create_from_metadata(found, lambda: found, "iam-role")
    return found and (found["access_key"], found["secret_key"], found["token"], found["role_name"])


case("EC2, by a session", lambda: of_instance(METADATA), (*OURS, "gateway-role"))
case("EC2, an old service without sessions", lambda: of_instance(METADATA_V1), (*OURS, "gateway-role"))
case("EC2, an old service, where sessions are required", lambda: of_instance(METADATA_V1, ec2_metadata_v1_disabled=True), lambda found: "Error" in str(found))
case("EC2 without a session", lambda: plain(METADATA + ROLES), "status 401")
case("EC2, a session without a time", lambda: plain(METADATA + "/latest/api/token", "PUT"), "status 400")
long = {"X_aws_ec2_metadata_token_ttl_seconds": "21601"}
case("EC2, a session that is too long", lambda: plain(METADATA + "/latest/api/token", "PUT", **long), "status 400")


def of_container(path="/v1/credentials", token=AGENTS_TOKEN):
    headers = {"Authorization": token} if token else None
    fetcher = ContainerMetadataFetcher(sleep=lambda _: None)
    found = fetcher.retrieve_full_uri(AGENT + path, headers)
    assert found["Expiration"].endswith("Z"), found
    return found["AccessKeyId"], found["SecretAccessKey"], found["Token"]


def is_refused(status):
    return lambda found: found.startswith(MetadataRetrievalError.__name__) and str(status) in found


case("a container's agent", of_container, OURS)
case("a container's agent, a wrong token", lambda: of_container(token="wrong"), is_refused(403))
case("a container's agent, no token", lambda: of_container(token=None), is_refused(401))
case("a container's agent, another path", lambda: of_container("/v2/credentials"), is_refused(404))

session = botocore.session.Session()
config = Config(retries={"total_max_attempts": 1}, proxies={})
portal = session.create_client("sso", region_name="eu-west-1", endpoint_url=CENTER, config=config)
oidc = session.create_client("sso-oidc", region_name="eu-west-1", endpoint_url=CENTER, config=config)


def of_role(role="reader", account="123456789012", token=CENTERS_TOKEN):
    found = portal.get_role_credentials(roleName=role, accountId=account, accessToken=token)["roleCredentials"]
    assert found["expiration"] > 1_000_000_000_000, "milliseconds"
    return found["accessKeyId"], found["secretAccessKey"], found["sessionToken"]


def renewed(**other):
    asked = {
        "clientId": "client",
        "clientSecret": "hunter2-client",
        "grantType": "refresh_token",
        "refreshToken": "hunter2-refresh",
    }
    found = oidc.create_token(**{**asked, **other})
    assert found["expiresIn"] == 3600 and found["tokenType"] == "Bearer", found
    return found["accessToken"]


case("Identity Center", of_role, OURS)
case("Identity Center, an unknown token", lambda: of_role(token="wrong"), "ClientError UnauthorizedException")
case("Identity Center, another role", lambda: of_role(role="writer"), "ClientError ForbiddenException")
case("a token, renewed by a wrong one", lambda: renewed(refreshToken="wrong"), "ClientError InvalidGrantException")
case("a token, renewed by another client", lambda: renewed(clientSecret="wrong"), "ClientError InvalidGrantException")
case("a token, renewed", renewed, "hunter2-renewed")
case("Identity Center, the token from before", of_role, "ClientError UnauthorizedException")
case("Identity Center, the new token", lambda: of_role(token="hunter2-renewed"), OURS)
sys.exit(f"not as expected: {', '.join(failed)}" if failed else 0)
