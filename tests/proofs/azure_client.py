"""Microsoft's own clients read from the tests' Azure: what they accept and refuse, kong-vault has to.

tests/proofs/azure.rs starts the servers and says where they are.
"""

import os
import socket
import sys

PORT, LOCAL, CA = os.environ["PROOF_PORT"], os.environ["PROOF_LOCAL"], os.environ["PROOF_CA"]
TENANT, APP, SECRET = os.environ["PROOF_TENANT"], os.environ["PROOF_APP"], os.environ["PROOF_SECRET"]
os.environ["REQUESTS_CA_BUNDLE"] = CA

# The system does not resolve names below localhost.
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **named: resolve(
    "127.0.0.1" if str(host).endswith("localhost") else host, *rest, **named
)

from azure import identity  # noqa: E402
from azure.core.exceptions import HttpResponseError  # noqa: E402
from azure.keyvault.secrets import SecretClient  # noqa: E402

AUTHORITY = {"authority": f"https://localhost:{PORT}", "disable_instance_discovery": True}
failed = []


def client(credential, url=f"https://127.0.0.1:{PORT}", **named):
    return SecretClient(url, credential, retry_total=0, **named)


def unverified(credential):
    return client(credential, verify_challenge_resource=False)


def case(name, does, expected):
    try:
        found = does()
    except Exception as error:
        status = getattr(error, "status_code", None)
        found = f"{type(error).__name__} {status}" if status else f"{type(error).__name__} {str(error)[:90]}"
        found = found.replace("\n", " ")
    good = expected(found) if callable(expected) else found == expected
    print("ok " if good else "BAD", name, "->", str(found)[:120], flush=True)
    if not good:
        failed.append(name)


def value(vault, name, version=None):
    return lambda: vault.get_secret(name, version).value


secret = identity.ClientSecretCredential(TENANT, APP, SECRET, **AUTHORITY)
vault = unverified(secret)
case("a secret", value(vault, "plain"), "just text")
case("the newest version", value(vault, "db"), lambda text: "u3" in text)
case("a version", value(vault, "db", "a" * 32), lambda text: "u1" in text)
case("no such version", value(vault, "db", "0" * 32), "ResourceNotFoundError 404")
case("a disabled secret", value(vault, "off"), "HttpResponseError 403")
case("an expired secret", value(vault, "old"), "expired")
case("a secret that is not valid yet", value(vault, "early"), "not yet")
case("no secret", value(vault, "none"), "ResourceNotFoundError 404")
# The second page's address is at another host, so this client is asked for the first alone.
pages = vault.list_properties_of_secret_versions("db").by_page()
case("a page of versions", lambda: [version.version[0] for version in next(pages)], ["b", "a"])
case("a certificate as PEM", lambda: vault.get_secret("site", out_content_type="application/x-pem-file").value[:10], "-----BEGIN")

case("a vault below its resource", value(client(secret, f"https://mine.vault.localhost:{PORT}"), "plain"), "just text")
case("a vault that is not", value(client(secret), "plain"), lambda found: "does not match the requested domain" in str(found))

wrong = identity.ClientSecretCredential(TENANT, APP, "wrong", **AUTHORITY)
case("a wrong secret", value(unverified(wrong), "plain"), lambda found: "ClientAuthenticationError" in found)
case("an unknown tenant", value(unverified(identity.ClientSecretCredential("x.example", APP, SECRET, **AUTHORITY)), "plain"), lambda found: "Error" in found)
federated = identity.WorkloadIdentityCredential(
    tenant_id=TENANT, client_id=APP, token_file_path=os.environ["PROOF_FEDERATED"], **AUTHORITY
)
case("a federated token", value(unverified(federated), "plain"), "just text")

os.environ.update(IDENTITY_ENDPOINT=f"{LOCAL}/msi/token", IDENTITY_HEADER=os.environ["PROOF_HEADER"])
case("App Service", value(unverified(identity.ManagedIdentityCredential()), "plain"), "just text")
machine = identity.ManagedIdentityCredential(client_id=os.environ["PROOF_MACHINE"])
case("App Service, a named identity", value(unverified(machine), "plain"), "just text")
del os.environ["IDENTITY_ENDPOINT"], os.environ["IDENTITY_HEADER"]
os.environ.update(MSI_ENDPOINT=f"{LOCAL}/ml/token", MSI_SECRET=os.environ["PROOF_HEADER"])
case("Azure Machine Learning", value(unverified(identity.ManagedIdentityCredential()), "plain"), "just text")
del os.environ["MSI_ENDPOINT"], os.environ["MSI_SECRET"]
os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = LOCAL
case("a virtual machine", value(unverified(identity.ManagedIdentityCredential()), "plain"), "just text")
case(
    "a virtual machine, another's identity",
    value(unverified(identity.ManagedIdentityCredential(client_id=APP)), "plain"),
    lambda found: "Error" in found,
)

# Last, as the client remembers it.
case("a certificate", value(unverified(identity.CertificateCredential(TENANT, APP, os.environ["PROOF_CERTIFICATE"], **AUTHORITY)), "plain"), "just text")
assert HttpResponseError
sys.exit(f"not as expected: {', '.join(failed)}" if failed else 0)
