"""python -m suite [--only GROUP…] [--json FILE]: measures, prints a table, writes the same figures as JSON."""

import argparse
import os
import pathlib
import platform
import sys
import time

from . import hits, latency, misses, sizes
from .figures import dump, table
from .nginx import ROOT, House

GROUPS = {"hits": hits.figures, "misses": misses.figures, "latency": latency.figures, "sizes": sizes.figures}


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), metavar="GROUP",
                        help="of " + ", ".join(GROUPS))
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "bench.json")
    options = parser.parse_args()
    start, figures = time.monotonic(), []
    house = House()
    try:
        for group in options.only:
            print(f"measuring {group} …", file=sys.stderr, flush=True)
            figures += GROUPS[group](house)
    finally:
        house.close()
    about = {
        "machine": {"cpus": os.cpu_count(), "system": platform.platform()},
        "seconds": round(time.monotonic() - start, 1),
    }
    dump(figures, options.json, about)
    print(table(figures))
    short = sum(figure.met is False for figure in figures)
    print(f"\n{len(figures)} figures in {about['seconds']:.0f} s, {short} short of their target; also in {options.json.name}")


main()
