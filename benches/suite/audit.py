"""What a request costs that reads a secret while each look-up has a line in the audit log, against the log turned off."""

import pathlib
import shutil
import tempfile
from operator import sub
from statistics import mean, median

from .figures import Figure, compared
from .hits import LRUCACHE, PAIRS
from .latency import load, script

# Pairs of fresh workers, one with the log and one without: two workers of the same kind differ by some per cent, too.
WORKERS = 3
ROUNDS = 4
SECONDS = 2
CLIENTS = 64
LINES_A_SECOND = 10_000

# Clients pause between requests, for at most so many ms: then they ask for about 11,000 a second.
PAUSE = 10

REQUESTS = {
    "/read": "request that reads a secret",
    "/passed-on": "request that reads a secret and is passed on to a server",
}


def _cpu(gateway):
    """Microseconds of CPU of nginx's own thread of the worker, and of the library's threads that live."""
    own, others = 0, 0
    for task in pathlib.Path(f"/proc/{gateway.worker}/task").iterdir():
        try:
            spent = int((task / "schedstat").read_text().split()[0]) / 1000
        except FileNotFoundError:
            continue
        if task.name == str(gateway.worker):
            own += spent
        else:
            others += spent
    return own, others


def _hit(house, log):
    """A hit with the log on, in its default form."""
    references = ["{vault://hcv/audited/password}"]
    with house.gateway(vault_audit_log=str(log)) as gateway:
        answer = gateway.run("hit/get", references=references, pairs=PAIRS, calls=1_000_000, interpreted=False)
    return compared("get, one reference, audit log on", answer["ours"], answer["theirs"], LRUCACHE, "ns", target=1.5)


def _measure(house, path, log):
    """What wrk says of each round, and µs of CPU for each request, with the log on and off."""
    audited = {"vault_audit_log": str(log), "vault_audit_reads": "all"}
    rounds, cpu = {"on": [], "off": []}, {"on": [], "off": []}
    for _ in range(WORKERS):
        with house.gateway(**audited) as with_log, house.gateway() as without, script(PAUSE) as pauses:
            for gateway in (with_log, without):
                load(gateway, pauses, 1, path, CLIENTS)
            sides = [("on", with_log), ("off", without)]
            for _ in range(ROUNDS):
                # What the machine does besides grows or wanes: neither side is always the first.
                sides.reverse()
                for side, gateway in sides:
                    before = _cpu(gateway)
                    rounds[side].append(load(gateway, pauses, SECONDS, path, CLIENTS))
                    requests = rounds[side][-1]["rate"] * SECONDS
                    cpu[side].append([spent / requests for spent in map(sub, _cpu(gateway), before)])
    return rounds, cpu


def figures(house):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        yield _hit(house, folder / "hits.json")
        for path, name in REQUESTS.items():
            name = f"{name}, {LINES_A_SECOND:,} a second, each with an audit line"
            if not shutil.which("wrk"):
                yield Figure(name, skipped="wrk is not installed")
                continue
            log = folder / f"{path.strip('/')}.json"
            rounds, cpu = _measure(house, path, log)
            with log.open() as file:
                lines = sum(1 for _ in file)
            rate = mean(one["rate"] for one in rounds["on"])
            threads = median(others for _, others in cpu["on"])
            note = f"{rate:,.0f} requests a second, {lines:,} lines; the log's thread takes {threads:.1f} µs of CPU for each"
            own = ([nginx for nginx, _ in cpu[side]] for side in ("on", "off"))
            yield compared(f"{name}, CPU of nginx's thread", *own, "log off", "µs", note=note)
            for what, bounds in (("mean", {"target": 1.01}), ("p50", {}), ("p99", {})):
                sides = ([one[what] for one in rounds[side]] for side in ("on", "off"))
                yield compared(f"{name}, {what}", *sides, "log off", "µs", **bounds)
