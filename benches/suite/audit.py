"""What a request costs that reads a secret while each look-up has a line in the audit log, against the log turned off."""

import json
import pathlib
import shutil
import subprocess
import tempfile
import time

from .figures import Figure, compared
from .hits import LRUCACHE, PAIRS

ROUNDS = 8
SECONDS = 3
CLIENTS = 64
LINES_A_SECOND = 10_000

# Clients pause between requests, so that they ask for about 11,000 a second, and what is measured is what each waits for.
SCRIPT = """
function delay()
  return math.random(1, 10)
end

done = function(summary, latency)
  io.stderr:write(("{\\"mean\\":%f,\\"p50\\":%d,\\"p99\\":%d,\\"errors\\":%d,\\"rate\\":%f}"):format(latency.mean,
    latency:percentile(50), latency:percentile(99), summary.errors.status + summary.errors.connect +
    summary.errors.read + summary.errors.write + summary.errors.timeout, summary.requests / summary.duration * 1e6))
end
"""


def _load(gateway, script, seconds):
    url = f"http://127.0.0.1:{gateway.port}/read"
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "-s", str(script), url]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stderr)
    assert answer["errors"] == 0, answer
    return answer


def _cpu(gateway):
    """Seconds of CPU of the worker with all its threads."""
    fields = pathlib.Path(f"/proc/{gateway.worker}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _hit(house, log):
    """A hit with the log on, in its default form."""
    references = ["{vault://hcv/audited/password}"]
    with house.gateway(vault_audit_log=str(log)) as gateway:
        answer = gateway.run("hit/get", references=references, pairs=PAIRS, calls=1_000_000, interpreted=False)
    return compared("get, one reference, audit log on", answer["ours"], answer["theirs"], LRUCACHE, "ns", target=1.5)


def figures(house):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        yield _hit(house, folder / "hits.json")
        name = f"request that reads a secret, {LINES_A_SECOND:,} a second, each with an audit line"
        if not shutil.which("wrk"):
            yield Figure(name, skipped="wrk is not installed")
            return
        log, script = folder / "audit.json", folder / "load.lua"
        script.write_text(SCRIPT)
        audited = {"vault_audit_log": str(log), "vault_audit_reads": "all"}
        on, off, cpu = [], [], {"on": 0.0, "off": 0.0}
        with house.gateway(**audited) as with_log, house.gateway() as without:
            for gateway in (with_log, without):
                _load(gateway, script, 1)
            for _ in range(ROUNDS):
                for key, gateway, side in (("on", with_log, on), ("off", without, off)):
                    before = _cpu(gateway)
                    side.append(_load(gateway, script, SECONDS))
                    cpu[key] += _cpu(gateway) - before
            time.sleep(0.2)
            lines = sum(1 for _ in log.open())
        rate = sum(load["rate"] for load in on) / ROUNDS
        per_line = (cpu["on"] - cpu["off"]) / (rate * SECONDS * ROUNDS) * 1e6
        note = f"{rate:,.0f} requests a second, {lines:,} lines in the log; {per_line:.1f} µs of CPU more for each, of all threads"
        for what, bounds in (("mean", {"target": 1.01}), ("p50", {}), ("p99", {})):
            sides = ([load[what] for load in side] for side in (on, off))
            yield compared(f"{name}, {what}", *sides, "log off", "µs", note=note, **bounds)
