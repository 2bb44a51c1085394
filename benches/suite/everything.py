"""What a hit and `update` cost with audit log, spans and metrics of each reference on, against all of them off."""

import socket
import tempfile

from .figures import Figure, compared

# Fresh workers on each side, in turn.
WORKERS = 4
PAIRS = 7
CALLS = 1_000_000

REFERENCES = [f"{{vault://hcv/everything/{number}/password}}" for number in range(10)]

MEASURED = {
    "get, one reference": ("hit/get", {"references": REFERENCES[:1], "interpreted": False}),
    "update, up to date, 10 references": ("hit/update", {"references": REFERENCES, "size": 10}),
}


def _closed_port():
    """A port of this machine on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def figures(house):
    with tempfile.TemporaryDirectory() as folder:
        everything = {
            "vault_audit_log": f"{folder}/audit.json",
            "vault_metrics_references": "named",
            "vault_otlp_endpoint": f"http://127.0.0.1:{_closed_port()}",
        }
        for name, (what, arguments) in MEASURED.items():
            name = f"{name}, audit log, spans and named metrics on"
            sides, skipped = {"on": [], "off": []}, None
            for _ in range(WORKERS):
                for side, options in (("on", everything), ("off", {})):
                    with house.gateway(**options) as gateway:
                        answer = gateway.run(what, pairs=PAIRS, calls=CALLS, **arguments)
                    skipped = answer.get("skipped", skipped)
                    sides[side] += answer.get("ours", [])
            if skipped:
                yield Figure(name, skipped=skipped)
            else:
                yield compared(name, sides["on"], sides["off"], "all off", "ns", target=1.1)
