"""What a value costs that has to be fetched."""

import time

from .figures import Figure, compared
from .nginx import AWS_KEYS

PAIRS = 25
COUNT = 100
WIDTH = 50

HCV = "{vault://hcv/bench/%d/password}"
AWS = "{vault://aws/bench/%d/}"
READ = "GET /v1/secret/data/bench/%d HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Vault-Token: bench\r\n\r\n"


def _cpu(name, blocks, **bounds):
    """Microseconds of CPU a fetch takes of the worker's own thread, and of the engine's beside it."""

    def median(side, thread):
        values = sorted(block[thread] for block in side)
        return values[len(values) // 2]

    ours, theirs = blocks["ours"], blocks["theirs"]
    worker = median(ours, "worker")
    note = f"the engine's thread beside it: {median(ours, 'engine'):.1f} µs"
    return Figure(
        name,
        value=worker,
        unit="µs",
        ours=worker,
        peer=median(theirs, "worker") if theirs else None,
        peer_name=blocks["peer"],
        scale="µs",
        note=note,
        **bounds,
    )


def _compare(gateway, peer, reference, target, width, request=""):
    return gateway.run(
        "miss/compare",
        reference=reference,
        request=request,
        target=target,
        keys=AWS_KEYS,
        peer=peer,
        width=width,
        count=COUNT if width == 1 else COUNT * 4,
        pairs=PAIRS,
    )


def _walls(name, blocks, **bounds):
    ours, theirs = ([block["wall"] for block in blocks[side]] for side in ("ours", "theirs"))
    return compared(name, ours, theirs, blocks["peer"], "µs", **bounds)


def _hcv(house, door, name, bounds, wide_bounds, cpu_bounds):
    tls = {"tls": "localhost", "cold": door == "tls_cold"} if door.startswith("tls") else {}
    target = {"host": "127.0.0.1", "port": house.vault.ports[door]} | tls
    peer = "cosocket with TLS" if tls else "cosocket"
    for width, limits in ((1, bounds), (WIDTH, wide_bounds)):
        with house.gateway(door) as gateway:
            blocks = _compare(gateway, "cosocket", HCV, target, width, READ) | {"peer": peer}
        manner = "one by one" if width == 1 else f"{width} at a time"
        yield _walls(f"miss, {name}, {manner}", blocks, **limits)
        yield _cpu(f"worker CPU per fetch, {name}, {manner}", blocks, **cpu_bounds)


def _boto3(house, gateway):
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        return Figure("miss, aws, one by one", skipped="boto3 is not installed: make test installs it")
    client = boto3.client(
        "secretsmanager",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{house.vault.ports['plain']}",
        aws_access_key_id=AWS_KEYS["id"],
        aws_secret_access_key=AWS_KEYS["secret"],
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )

    def theirs():
        times = []
        for number in range(COUNT // 4):
            start = time.perf_counter()
            assert client.get_secret_value(SecretId=f"bench/{number}")["SecretString"] == "password of bench"
            times.append(time.perf_counter() - start)
        times.sort()
        return times[len(times) // 2] * 1e6

    def ours():
        return gateway.run("miss/ours", reference=AWS, width=1, count=COUNT // 4)["wall"]

    theirs(), ours()
    pairs = [(ours(), theirs()) for _ in range(PAIRS)]
    return compared("miss, aws, one by one", *zip(*pairs), "boto3", "µs", target=1.0, goal=1.0)


def _aws(house):
    target = {"host": "127.0.0.1", "port": house.vault.ports["plain"]}
    with house.gateway() as gateway:
        yield _boto3(house, gateway)
    for width in (1, WIDTH):
        with house.gateway() as gateway:
            blocks = _compare(gateway, "sigv4", AWS, target, width) | {"peer": "SigV4 in Lua"}
        manner = "one by one" if width == 1 else f"{width} at a time"
        yield _walls(f"miss, aws, {manner}, against Lua", blocks)
        yield _cpu(f"worker CPU per fetch, aws, {manner}", blocks, target=100, goal=50)


def figures(house):
    cpu = {"target": 100, "goal": 50}
    yield from _hcv(house, "plain", "http", {"target": 2.5, "goal": 2.0}, {"target": 2.5, "goal": 2.0}, cpu)
    yield from _hcv(house, "tls", "https", {"goal": 1.0}, {"goal": 1.0}, cpu)
    yield from _hcv(house, "tls_cold", "https with a new connection each", {"goal": 1.0}, {"goal": 1.0}, cpu)
    yield from _aws(house)
