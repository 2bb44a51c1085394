"""CyberArk's own client against the tests' Conjur: logins, values, versions, batches, and what is refused."""

import asyncio
import os
import sys

from conjur_api import Client
from conjur_api.models import ConjurConnectionInfo, CredentialsData, SslVerificationMode
from conjur_api.providers import AuthnAuthenticationStrategy, SimpleCredentialsProvider

URL, ACCOUNT, LOGIN, KEY = (os.environ[f"PROOF_{name}"] for name in ("URL", "ACCOUNT", "LOGIN", "KEY"))
failures = 0


def client(key=KEY, login=LOGIN, account=ACCOUNT):
    info = ConjurConnectionInfo(conjur_url=URL, account=account)
    provider = SimpleCredentialsProvider()
    provider.save(CredentialsData(machine=URL, username=login, api_key=key))
    strategy = AuthnAuthenticationStrategy(provider)
    return Client(info, authn_strategy=strategy, ssl_verification_mode=SslVerificationMode.TRUST_STORE)


async def case(name, call, expected):
    """`expected`: the value, or the status of a refusal."""
    global failures
    try:
        found = await call
        if isinstance(found, bytes):
            found = found.decode()
    except Exception as error:  # noqa: BLE001
        found = getattr(error, "status", None) or next(
            (status for status in (400, 401, 403, 404, 406, 422) if str(status) in str(error)), repr(error)
        )
    good = found == expected
    failures += not good
    print("ok" if good else "NOT OK", name, "" if good else f"{found!r} is not {expected!r}")


def of(*names):
    """A batch's answer has names without the account."""
    return {name: value for name, value in names}


async def main():
    conjur = client()
    await case("latest", conjur.get("BotApp/secretVar"), '{"user":"two"}')
    await case("version", conjur.get("BotApp/secretVar", "1"), "one")
    await case("no such version", conjur.get("BotApp/secretVar", "9"), 404)
    await case("odd name", conjur.get("a b+c,d?e#f%2F"), "odd")
    await case("missing", conjur.get("none"), 404)
    await case("without a value", conjur.get("empty"), 404)
    await case("invisible", conjur.get("invisible"), 404)
    await case("denied", conjur.get("denied"), 403)
    await case("batch", conjur.get_many("BotApp/secretVar", "plain"), of(("BotApp/secretVar", '{"user":"two"}'), ("plain", "plain")))
    await case("batch with one missing", conjur.get_many("plain", "empty"), 404)
    await case("batch with one denied", conjur.get_many("plain", "denied"), 403)
    await case("batch with one invisible", conjur.get_many("plain", "invisible"), 403)
    await case("batch with one twice", conjur.get_many("plain", "plain"), 404)
    await case("batch with one that is no text", conjur.get_many("plain", "bin"), 406)
    await case("wrong key", client(key="other").get("plain"), 401)
    await case("unknown host", client(login="host/other").get("plain"), 401)
    await case("unknown account", client(account="other").get("plain"), 401)
    sys.exit(1 if failures else 0)


asyncio.run(main())
