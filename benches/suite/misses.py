"""What a value costs that has to be fetched."""

import os
import time

from .figures import Figure, compared, median
from .nginx import AWS_KEYS

# Fresh workers: where the scheduler puts worker, engine and vault tends to stay as it began, and matters much.
WORKERS = 3
PAIRS = 9
COUNT = 100
WIDTH = 50

HCV = "{vault://hcv/bench/%d/password}"
AWS = "{vault://aws/bench/%d/}"
READ = "GET /v1/secret/data/bench/%d HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Vault-Token: bench\r\n\r\n"

CPU = {"target": 100, "goal": 50}

# Where the vault's process runs, seen from the worker's thread; the engine's thread is free to run anywhere, but for
# PINNED: there nginx bound the worker to a core, and a thread inherits that. None: as the scheduler has it.
ANOTHER, SAME = "vault on another core", "vault on the worker's core"
PINNED = "worker_cpu_affinity, vault on another core"


def _pin(house, gateway, place):
    cores = sorted(os.sched_getaffinity(0))
    one, other = cores[:1], cores[1:]
    worker, vault = {None: (cores, cores), ANOTHER: (one, other), SAME: (one, one), PINNED: (one, other)}[place]
    if place == PINNED:
        os.sched_setaffinity(gateway.worker, worker)
    # A thread's mask goes to those it starts: here the engine does.
    gateway.run("miss/ours", reference=HCV, width=1, count=1)
    os.sched_setaffinity(gateway.worker, worker)
    os.sched_setaffinity(house.vault.worker, vault)


def _blocks(house, door, place, width, **arguments):
    """Blocks of several workers, one after the other."""
    together = {"ours": [], "theirs": []}
    for _ in range(WORKERS):
        with house.gateway(door) as gateway:
            _pin(house, gateway, place)
            count = COUNT if width == 1 else COUNT * 4
            answer = gateway.run("miss/compare", keys=AWS_KEYS, width=width, count=count, pairs=PAIRS, **arguments)
        together["ours"] += answer["ours"]
        together["theirs"] += answer["theirs"]
    return together


def _walls(name, blocks, peer, **bounds):
    ours, theirs = ([block["wall"] for block in blocks[side]] for side in ("ours", "theirs"))
    return compared(name, ours, theirs, peer, "µs", **bounds)


def _cpu(name, blocks, peer):
    """Microseconds of CPU that a fetch takes of the worker's own thread, and of the engine's beside it."""
    worker = median([block["worker"] for block in blocks["ours"]])
    engine = median([block["engine"] for block in blocks["ours"]])
    theirs = median([block["worker"] for block in blocks["theirs"]])
    note = f"the engine's thread takes {engine:.1f} µs beside it"
    return Figure(name, value=worker, unit="µs", ours=worker, peer=theirs, peer_name=peer, scale="µs", note=note, **CPU)


def _hcv(house, door, name, bounds, places=(None,)):
    tls = {"tls": "localhost", "cold": door == "tls_cold"} if door.startswith("tls") else {}
    target = {"host": "127.0.0.1", "port": house.vault.ports[door]} | tls
    arguments = {"peer": "cosocket", "reference": HCV, "request": READ, "target": target}
    peer = "cosocket with TLS" if tls else "cosocket"
    for place in places:
        blocks = _blocks(house, door, place, 1, **arguments)
        where = f", {place}" if place else ""
        yield _walls(f"miss, {name}, one by one{where}", blocks, peer, **bounds)
        yield _cpu(f"worker CPU per fetch, {name}, one by one{where}", blocks, peer)
    blocks = _blocks(house, door, None, WIDTH, **arguments)
    yield _walls(f"miss, {name}, {WIDTH} at a time", blocks, peer, **bounds)
    yield _cpu(f"worker CPU per fetch, {name}, {WIDTH} at a time", blocks, peer)


def _boto3(house):
    name, bounds = "miss, aws, one by one", {"target": 1.0, "goal": 1.0}
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        return Figure(name, skipped="boto3 is not installed: make test installs it", **bounds)
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
        return median(times) * 1e6

    with house.gateway() as gateway:

        def ours():
            return gateway.run("miss/ours", reference=AWS, width=1, count=COUNT // 4)["wall"]

        theirs(), ours()
        pairs = [(ours(), theirs()) for _ in range(WORKERS * PAIRS)]
    return compared(name, *zip(*pairs), "boto3", "µs", **bounds)


def _aws(house):
    target = {"host": "127.0.0.1", "port": house.vault.ports["plain"]}
    peer = "SigV4 in Lua"
    yield _boto3(house)
    for width, manner in ((1, "one by one"), (WIDTH, f"{WIDTH} at a time")):
        blocks = _blocks(house, "plain", None, width, peer="sigv4", reference=AWS, target=target)
        yield _walls(f"miss, aws, {manner}, against Lua", blocks, peer)
        yield _cpu(f"worker CPU per fetch, aws, {manner}", blocks, peer)


def figures(house):
    places = (None, PINNED, ANOTHER, SAME) if len(os.sched_getaffinity(0)) > 1 else (None,)
    yield from _hcv(house, "plain", "http", {"target": 2.5, "goal": 2.0}, places)
    yield from _hcv(house, "tls", "https", {"goal": 1.0}, places)
    yield from _hcv(house, "tls_cold", "https, a handshake each", {"goal": 1.0})
    yield from _aws(house)
