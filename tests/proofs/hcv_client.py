"""What HashiCorp Vault's logins by clouds meet in the tests, asked by the clouds' own clients and by hvac.

tests/proofs/hcv.rs starts the servers and says where they are.
"""

import os
import sys
import urllib.error
import urllib.request

GCE, SIGNER, EC2 = os.environ["PROOF_GCE"], os.environ["PROOF_SIGNER"], os.environ["PROOF_EC2"]
AZURE, APP_SERVICE = os.environ["PROOF_AZURE"], os.environ["PROOF_APP_SERVICE"]
GCP_VAULT, AZURE_VAULT, AWS_VAULT = (os.environ[f"PROOF_{name}_VAULT"] for name in ("GCP", "AZURE", "AWS"))
# Read when the library is loaded.
os.environ.update(GCE_METADATA_HOST=GCE, GCE_METADATA_IP=GCE)

import hvac  # noqa: E402
from azure import identity  # noqa: E402
from botocore.utils import IMDSFetcher  # noqa: E402
from google.api_core import exceptions  # noqa: E402
from google.auth import compute_engine, jwt  # noqa: E402
from google.auth.transport.requests import Request  # noqa: E402
from google.cloud import iam_credentials_v1  # noqa: E402
from google.oauth2 import credentials as oauth2_credentials  # noqa: E402
from hvac import exceptions as refused  # noqa: E402

failed = []


def case(name, does, expected):
    try:
        found = does()
    except urllib.error.HTTPError as error:
        found = f"status {error.code}"
    except Exception as error:
        found = f"{type(error).__name__} {str(error)[:120]}".replace("\n", " ")
    good = expected(found) if callable(expected) else found == expected
    print("ok " if good else "BAD", name, "->", repr(str(found)[:120]), flush=True)
    if not good:
        failed.append(name)


def is_error(error):
    return lambda found: str(found).startswith(error.__name__)


def plain(url, method="GET", **headers):
    """What a client gets that does not ask as the vendor's own does."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with urllib.request.urlopen(urllib.request.Request(url, method=method, headers=named)) as answer:
        return answer.read()


# Google: a machine's identity, and a signature by the API.
AUDIENCE = "http://vault/reader"
METADATA = f"http://{GCE}/computeMetadata/v1/instance/service-accounts/default"


def of_machine():
    found = compute_engine.IDTokenCredentials(Request(), AUDIENCE, use_metadata_identity_endpoint=True)
    found.refresh(Request())
    claims = jwt.decode(found.token, verify=False)
    return claims["aud"], claims["full"]


def token_of_machine():
    found = compute_engine.Credentials()
    found.refresh(Request())
    return found.token


def signed(token="ya29.s3cret", account="gateway"):
    client = iam_credentials_v1.IAMCredentialsClient(
        transport="rest",
        credentials=oauth2_credentials.Credentials(token),
        client_options={"api_endpoint": SIGNER},
    )
    name = f"projects/-/serviceAccounts/{account}@p.iam.gserviceaccount.com"
    payload = '{"aud":"vault/reader","sub":"gateway"}'
    return jwt.decode(client.sign_jwt(name=name, payload=payload, retry=None).signed_jwt, verify=False)["aud"]


case("Google, a machine's identity", of_machine, (AUDIENCE, True))
case("Google, a machine's token", token_of_machine, "ya29.s3cret")
case("Google, without the header", lambda: plain(METADATA + "/token"), "status 403")
forwarded = {"Metadata_Flavor": "Google", "X_Forwarded_For": "10.0.0.1"}
case("Google, forwarded", lambda: plain(METADATA + "/token", **forwarded), "status 403")
case("Google, an identity for nobody", lambda: plain(METADATA + "/identity", Metadata_Flavor="Google"), "status 400")
case("Google, signed by the API", signed, "vault/reader")
case("Google, another account's signature", lambda: signed(account="other"), is_error(exceptions.Forbidden))
# After a 401 it wants another token, which this one can't be.
case("Google, an unknown token", lambda: signed(token="ya29.wrong"), lambda found: "RefreshError" in found)

# Azure: managed identities.
SCOPE = "https://management.azure.com/.default"


def managed(**named):
    claims = jwt.decode(identity.ManagedIdentityCredential(**named).get_token(SCOPE).token, verify=False)
    return claims["aud"].rstrip("/")


os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = AZURE
case("Azure, a machine's identity", managed, "https://management.azure.com")
case("Azure, an identity that is not there", lambda: managed(client_id="unknown"), lambda found: "Error" in found)
case("Azure, without the header", lambda: plain(AZURE + "/metadata/identity/oauth2/token?resource=a&api-version=2018-02-01"), "status 400")
del os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"]
os.environ.update(IDENTITY_ENDPOINT=APP_SERVICE + "/msi/token", IDENTITY_HEADER="app-s3cret")
case("App Service", managed, "https://management.azure.com")
os.environ["IDENTITY_HEADER"] = "wrong"
case("App Service, a wrong secret", managed, lambda found: "Error" in found)


# AWS: a machine's identity, by a session.
class Identity(IMDSFetcher):
    PATH = "latest/dynamic/instance-identity/pkcs7"

    def read(self, path=PATH):
        return self._get_request(path, None, token=self._fetch_metadata_token()).text


case("AWS, a machine's identity", Identity(num_attempts=1, base_url=EC2).read, "MIAGCSqG\nSIb3DQEH\n")
case("AWS, without a session", lambda: plain(f"{EC2}/{Identity.PATH}"), "status 401")


# Vault.
def at(url, login):
    vault = hvac.Client(url=url)
    login(vault.auth)
    return vault.secrets.kv.v1.read_secret(path="hello", mount_point="secret")["data"]["foo"]


def by_gcp(role="reader", token="a.b.c"):
    return at(GCP_VAULT, lambda auth: auth.gcp.login(role=role, jwt=token))


def by_azure(machine="vm7"):
    named = {"subscription_id": "sub-1", "resource_group_name": "group", "vm_name": machine}
    return at(AZURE_VAULT, lambda auth: auth.azure.login(role="reader", jwt="a.b.c", **named))


def by_aws(role="reader"):
    return at(AWS_VAULT, lambda auth: auth.aws.iam_login("AKIAEXAMPLE", "key", "session", role=role, region="eu-west-1"))


case("Vault, by Google's identity", by_gcp, "bar")
case("Vault, another role", lambda: by_gcp(role="writer"), is_error(refused.InvalidRequest))
case("Vault, another identity", lambda: by_gcp(token="a.b.d"), is_error(refused.InvalidRequest))
case("Vault, by Azure's identity", by_azure, "bar")
case("Vault, another machine", lambda: by_azure(machine="vm8"), is_error(refused.InvalidRequest))
case("Vault, by AWS's signature", by_aws, "bar")
case("Vault, another of AWS's roles", lambda: by_aws(role="writer"), is_error(refused.InvalidRequest))
anybody = hvac.Client(url=GCP_VAULT)
case("Vault, without a token", lambda: anybody.secrets.kv.v1.read_secret(path="hello", mount_point="secret"), is_error(refused.Forbidden))
case("Vault, a method that is not mounted", lambda: anybody.auth.azure.login(role="reader", jwt="a.b.c"), is_error(refused.Forbidden))
sys.exit(f"not as expected: {', '.join(failed)}" if failed else 0)
