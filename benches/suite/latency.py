"""What other requests of a worker notice while a vault takes its time."""

import contextlib
import json
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time

from .figures import Figure, median

ROUNDS = 4
SECONDS = 4
CLIENTS = 8
FETCHES = 50

# wrk tells its percentiles to a script, in µs. Its clients pause between requests: what is measured is how long the worker
# lets a request wait, not how two busy processes share the machine's cores.
SCRIPT = """
function delay()
  return math.random(1, @longest@)
end

done = function(summary, latency)
  io.stderr:write(("{\\"mean\\":%f,\\"p50\\":%d,\\"p99\\":%d,\\"errors\\":%d,\\"rate\\":%f}"):format(latency.mean,
    latency:percentile(50), latency:percentile(99), summary.errors.status + summary.errors.connect +
    summary.errors.read + summary.errors.write + summary.errors.timeout, summary.requests / summary.duration * 1e6))
end
"""


@contextlib.contextmanager
def script(longest):
    """A file with the script; clients pause for at most so many ms."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(SCRIPT.replace("@longest@", str(longest)))
        file.flush()
        yield pathlib.Path(file.name)


def load(gateway, script, seconds, path="/ping", clients=CLIENTS):
    url = f"http://127.0.0.1:{gateway.port}{path}"
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(script), url]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stderr)
    assert answer["errors"] == 0, answer
    return answer


def _measure(house):
    idle, busy, late = [], [], []
    with house.gateway() as gateway, script(7) as pauses:
        load(gateway, pauses, 1)
        for _ in range(ROUNDS):
            idle.append(load(gateway, pauses, SECONDS))

            def fetch():
                time.sleep(0.3)
                reference = "{vault://hcv/slow/%d/password}"
                late.append(gateway.run("miss/burst", reference=reference, count=FETCHES)["last"])

            fetching = threading.Thread(target=fetch)
            fetching.start()
            busy.append(load(gateway, pauses, SECONDS))
            fetching.join()
    assert len(late) == ROUNDS and all(seconds < SECONDS - 0.3 for seconds in late), f"the fetches took {late} s"
    return idle, busy


def figures(house):
    name = f"others' latency while {FETCHES} fetches take 3 s each"
    if not shutil.which("wrk"):
        yield Figure(name, skipped="wrk is not installed")
        return
    idle, busy = _measure(house)
    for percentile, bounds in (("p50", {}), ("p99", {"target": 2.0, "goal": 2.0})):
        pairs = [(b[percentile], i[percentile]) for b, i in zip(busy, idle, strict=True)]
        ratio = median(b / i for b, i in pairs)
        ours, peer = (median(side) for side in zip(*pairs))
        measured = {"value": ratio, "ours": ours, "peer": peer, "peer_name": "with none", "scale": "µs"}
        yield Figure(f"{name}, {percentile}", **measured, **bounds)
    busiest, calmest = (max(one["p99"] for one in side) / 1000 for side in (busy, idle))
    note = f"of the worst round {busiest:.2f} ms, with no fetch under way {calmest:.2f} ms"
    p99 = median([one["p99"] for one in busy]) / 1000
    yield Figure(f"{name}, p99 itself", value=p99, unit="ms", target=5, goal=5, note=note)
