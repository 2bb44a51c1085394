"""What it weighs: secrets in a worker, the library on disk."""

from .figures import Figure
from .nginx import Subject

REFERENCE = "{vault://hcv/memory/%d/password}"
# The first thousand pay for the engine, its connections and their buffers.
FIRST, LAST = 1000, 11000
THOUSANDS = (LAST - FIRST) / 1000


def _grown(answer, what):
    return (answer["after"][what] - answer["before"][what]) / THOUSANDS / 1000


def figures(house):
    with house.gateway() as gateway:
        gateway.run("memory/vault", reference=REFERENCE, **{"from": 1, "to": FIRST})
        ours = gateway.run("memory/vault", reference=REFERENCE, **{"from": FIRST + 1, "to": LAST})
    with house.gateway() as gateway:
        gateway.run("memory/lrucache", reference=REFERENCE, size=LAST, **{"from": 1, "to": FIRST})
        peer = gateway.run("memory/lrucache", reference=REFERENCE, size=LAST, **{"from": FIRST + 1, "to": LAST})
    rss, stated = _grown(ours, "rss"), _grown(ours, "bytes")
    note = (
        f"stats().bytes says {stated:.0f} kB, Lua's own part is {_grown(ours, 'lua'):.0f} kB; resty.lrucache holds the one "
        "value and not the document, and has its nodes from the start"
    )
    yield Figure(
        "memory per 1,000 secrets (resident)",
        value=rss,
        unit="kB",
        ours=rss,
        peer=_grown(peer, "rss"),
        peer_name="resty.lrucache",
        scale="kB",
        note=note,
    )
    library = Subject.lib / "kong" / "vault" / "native.so"
    yield Figure("size of native.so", value=library.stat().st_size / 1e6, unit="MB")
