"""What it costs a worker's own Lua that memory is wiped when it is freed, against a worker that never loaded the module."""

from .figures import compared

PAIRS = 9

WORK = {
    "short": ("strings of 40 bytes", 300_000),
    "long": ("strings of 4,000 bytes", 60_000),
    "bodies": ("JSON bodies decoded and encoded", 20_000),
    "tables": ("tables grown to 64 entries", 60_000),
}


def figures(house):
    with house.gateway() as gateway, house.gateway(environment={"BENCH_BARE": "1"}) as bare:
        for work, (name, count) in WORK.items():
            ours, peer = (
                [side.run("garbage/run", work=work, count=count)["each"] for _ in range(PAIRS)] for side in (gateway, bare)
            )
            yield compared(f"garbage of the worker: {name}", ours, peer, "without the module", "ns")
