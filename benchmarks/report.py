"""Show figures as a table, in a terminal or in Markdown, and as JSON with every sample."""

from __future__ import annotations

import json
from statistics import median
from typing import List, Sequence, Tuple

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure
from benchmarks.machine import Facts

COLUMNS = ("what", "ours", "compared to", "ratio (range)", "goal", "met")

# Where no terminal says how wide it is.
_WIDTH = 140


def make_table() -> Table:
    table = Table()
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("what", "met") else "right", no_wrap=True)
    return table


def make_console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


def cells(figure: Figure) -> Tuple[str, ...]:
    return (
        f"{figure.benchmark}: {figure.what}",
        f"{_number(median(figure.ours))} {figure.unit}" + ("" if figure.is_judged_by_ratio else _range(figure.ours)),
        f"{figure.yardstick}: {_number(median(figure.raw))}" if figure.raw else "-",
        f"{median(figure.ratios):.2f}{_range(figure.ratios)}" if figure.raw else "-",
        _goal(figure),
        _verdict(figure),
    )


def as_markdown(figures: Sequence[Figure], machine: Facts) -> str:
    lines = [_row(COLUMNS), _row(["---", "---:", "---:", "---:", "---:", "---"])]
    lines += [_row(cells(figure)) for figure in figures]
    facts = ", ".join(f"{name} {value}" for name, value in machine.items() if value != "")
    return "\n".join([*lines, "", f"Measured: {facts}.", ""])


def as_json(figures: Sequence[Figure], machine: Facts) -> str:
    rows = [
        {
            **figure._asdict(),
            "goal": figure.goal and figure.goal._asdict(),
            "ratios": figure.ratios,
            "judged": figure.judged,
            "met": figure.goal and figure.goal.is_met(figure.judged),
        }
        for figure in figures
    ]
    return json.dumps({"machine": machine, "figures": rows}, indent=2) + "\n"


def _row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _goal(figure: Figure) -> str:
    goal = figure.goal
    if goal is None:
        return "-"
    unit = "" if figure.is_judged_by_ratio else f" {figure.unit}"
    text = f"{'≥' if goal.is_least else '≤'} {goal.bound:g}{unit}"
    return text if goal.stretch is None else f"{text} ({goal.stretch:g})"


def _verdict(figure: Figure) -> str:
    goal = figure.goal
    if goal is None:
        return "-"
    if not goal.is_met(figure.judged):
        return "NO"
    return "yes, stretch" if goal.is_stretched(figure.judged) else "yes"


def _range(values: List[float]) -> str:
    return f" ({_number(min(values))}-{_number(max(values))})" if len(values) > 1 else ""


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
