"""python -m suite [--only GROUP…] [--json FILE]: measures, prints a table, writes the same figures as JSON."""

import argparse
import datetime
import os
import pathlib
import platform
import sys
import time

from . import audit, everything, hits, latency, misses, sizes, wiping
from .figures import dump, table, write_markdown
from .nginx import ROOT, House, Subject

GROUPS = {
    "hits": hits.figures,
    "misses": misses.figures,
    "latency": latency.figures,
    "sizes": sizes.figures,
    "audit": audit.figures,
    "everything": everything.figures,
    "wiping": wiping.figures,
}


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    groups = {"nargs": "+", "choices": GROUPS, "default": list(GROUPS), "metavar": "GROUP"}
    parser.add_argument("--only", **groups, help="of " + ", ".join(GROUPS))
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "bench.json")
    parser.add_argument("--prefix", type=pathlib.Path, help="measure what `make install PREFIX=…` put there")
    parser.add_argument("--table", action="store_true", help="measure nothing, write the JSON's figures into benches/README.md")
    options = parser.parse_args()
    if options.table:
        write_markdown(options.json, ROOT / "benches" / "README.md")
        return
    if options.prefix:
        prefix = options.prefix.resolve()
        Subject.lua, Subject.lib = prefix / "share" / "lua" / "5.1", prefix / "lib" / "lua" / "5.1"
    start, figures, load = time.monotonic(), [], os.getloadavg()[0]
    house = House()
    try:
        for group in options.only:
            print(f"measuring {group} …", file=sys.stderr, flush=True)
            figures += GROUPS[group](house)
    finally:
        house.close()
    about = {
        "machine": {
            "day": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "cpus": os.cpu_count(),
            "system": platform.platform(),
            "load_before": load,
        },
        "seconds": round(time.monotonic() - start, 1),
    }
    dump(figures, options.json, about)
    print(table(figures))
    short = sum(figure.met is False for figure in figures)
    if load > 0.5:
        print(f"\nthe machine was not idle before (load {load:.1f}): expect wide spreads")
    print(f"\n{len(figures)} figures in {about['seconds']:.0f} s, {short} short of their target; also in {options.json.name}")


main()
