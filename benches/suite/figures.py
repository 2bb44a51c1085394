"""Figures: what was measured, against whom, and whether that is enough."""

import dataclasses
import json
import re
from statistics import median, quantiles


@dataclasses.dataclass
class Figure:
    """`value` is what the bounds are for: the ratio to the peer where there is one, else the figure itself.

    `target` has to be met; `goal` is where the design wants to be.
    """

    name: str
    value: float | None = None
    unit: str = "×"
    ours: float | None = None
    peer: float | None = None
    peer_name: str = ""
    scale: str = ""
    spread: tuple[float, float] | None = None
    target: float | None = None
    goal: float | None = None
    note: str = ""
    skipped: str = ""

    @property
    def met(self):
        return None if self.value is None or self.target is None else self.value <= self.target

    @property
    def goal_met(self):
        return None if self.value is None or self.goal is None else self.value <= self.goal


def compared(name, ours, peer, peer_name, scale, **rest):
    """The median of the ratios of pairs that were measured in turn; the spread is their middle half."""
    ratios = [a / b for a, b in zip(ours, peer, strict=True)]
    quarters = quantiles(ratios, n=4)
    return Figure(
        name,
        value=median(ratios),
        ours=median(ours),
        peer=median(peer),
        peer_name=peer_name,
        scale=scale,
        spread=(quarters[0], quarters[2]),
        **rest,
    )


def _number(value):
    if value is None:
        return ""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return f"{value:,.{digits}f}"


def _bound(value, met):
    if value is None:
        return ""
    verdict = {True: "met", False: "MISSED", None: "–"}[met]
    return f"≤ {_number(value)} {verdict}"


def _row(figure):
    if figure.skipped:
        return [figure.name, "skipped", "", "", _bound(figure.target, None), _bound(figure.goal, None)]
    unit = f" {figure.unit}" if figure.unit else ""
    ours = f"{_number(figure.ours)} {figure.scale}" if figure.ours is not None else ""
    peer = f"{_number(figure.peer)} {figure.scale} {figure.peer_name}" if figure.peer is not None else ""
    spread = f" ({_number(figure.spread[0])} – {_number(figure.spread[1])})" if figure.spread else ""
    return [
        figure.name,
        _number(figure.value) + unit + spread,
        ours,
        peer,
        _bound(figure.target, figure.met),
        _bound(figure.goal, figure.goal_met),
    ]


def table(figures):
    rows = [["", "figure", "kong-vault", "peer", "target", "goal"], *map(_row, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    notes = [f"{figure.name}: {figure.skipped or figure.note}" for figure in figures if figure.skipped or figure.note]
    return "\n".join(lines + [""] + notes if notes else lines)


def _kind(machine):
    """What of a machine matters to figures: neither its kernel's build nor its name."""
    system = re.sub(r"^(\w+)-(\d+\.\d+).*-(\w+)-with-(\S+)$", r"\1 \2, \3, \4", machine["system"])
    return f"{system}, {machine['cpus']} processors"


def write_markdown(measured, page):
    """Puts the figures of a dump between the marks of a page."""
    kept = json.loads(measured.read_text())
    names = {field.name for field in dataclasses.fields(Figure)}
    figures = [Figure(**{name: value for name, value in row.items() if name in names}) for row in kept["figures"]]
    rows = [["figure", "kong-vault", "peer", "ratio or figure", "target"]]
    rows += [[name, ours, peer, value, target] for name, value, ours, peer, target, _ in map(_row, figures)]
    rows.insert(1, ["---"] * len(rows[0]))
    machine = kept["machine"]
    about = f"Run on {machine['day']} ({_kind(machine)}; load before: {machine['load_before']:.1f}):"
    lines = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    begin, end = "<!-- table: written by scripts/bench --table -->\n", "<!-- end of the table -->"
    before, rest = page.read_text().split(begin)
    page.write_text(f"{before}{begin}\n{about}\n\n{lines}\n\n{end}{rest.split(end)[1]}")


def dump(figures, path, about):
    rows = [dataclasses.asdict(figure) | {"met": figure.met, "goal_met": figure.goal_met} for figure in figures]
    path.write_text(json.dumps(about | {"figures": rows}, indent=2, ensure_ascii=False) + "\n")
