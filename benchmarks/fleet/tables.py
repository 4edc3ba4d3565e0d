"""Show what was reckoned, played and measured, in a terminal or in Markdown."""

from __future__ import annotations

from statistics import median
from typing import List, Mapping, NamedTuple, Sequence, Tuple

from rich.table import Table

from benchmarks.fleet.assumptions import Waking
from benchmarks.fleet.checking import COUNTED, Sample
from benchmarks.fleet.measuring import Samples
from benchmarks.fleet.playing import Played
from benchmarks.fleet.reckoning import Account

PLAYED_COLUMNS = (
    "workers are woken by",
    "jobs/s",
    "keeps up",
    "wait p50, p99",
    "cores",
    "commits/s",
    "settles and claims a turn",
    "NOTIFY/s",
    "sessions woken/s",
    "peeks/s",
    "turns in vain/s",
)


class Sheet(NamedTuple):
    """A table; the first column is text, the others are figures unless `is_text`."""

    columns: Sequence[str]
    rows: Sequence[Tuple[str, ...]]
    is_text: bool = False

    def as_rich(self) -> Table:
        table = Table()
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="left" if number == 0 or self.is_text else "right")
        for row in self.rows:
            table.add_row(*row)
        return table

    def as_markdown(self) -> str:
        rest = "---" if self.is_text else "---:"
        lines: List[Sequence[str]] = [self.columns, ["---", *[rest] * (len(self.columns) - 1)], *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def day_sheet(account: Account) -> Sheet:
    return Sheet(("what", "how much"), list(account.rows()), is_text=True)


def played_sheet(cases: Sequence[Played]) -> Sheet:
    return Sheet(PLAYED_COLUMNS, [_played(one) for one in cases])


def ceilings_sheet(ways: Sequence[Waking], found: Mapping[str, Sequence[float]]) -> Sheet:
    rows = [(what, *(f"{rate:,.0f}/s" for rate in rates)) for what, rates in found.items()]
    return Sheet(("fleet", *(way.name for way in ways)), rows)


def measured_sheet(samples: Samples) -> Sheet:
    rows = [
        (what, f"{median(values):,.1f}", f"{min(values):,.1f} to {max(values):,.1f}")
        for what, values in samples.items()
    ]
    return Sheet(("cost", "median", "range"), rows)


def checked_sheet(samples: Sequence[Sample]) -> Sheet:
    rows = []
    for one in samples:
        pairs = [f"{one.real[what]:.2f}, {one.modelled[what]:.2f}" for what in one.real]
        rows.append((f"{one.workers} workers, {one.rate:.0f} jobs/s", *pairs))
    return Sheet(("real, modelled", *(f"{what} a job" for what in COUNTED), "cores"), rows)


def _played(played: Played) -> Tuple[str, ...]:
    useful = played.rate("turns") - played.rate("turns in vain")
    handled = played.rate("settled") + played.rate("claimed")
    return (
        played.case.waking.name,
        f"{played.case.rate:,.0f}",
        "yes" if played.keeps_up else f"NO: {played.rate('claimed'):,.0f}/s",
        f"{_seconds(played.wait(0.5))}, {_seconds(played.wait(0.99))}" if played.keeps_up else "grows",
        f"{played.cores:.1f}",
        f"{played.rate('commits'):,.0f}",
        f"{handled / useful:.2f}" if useful else "-",
        f"{played.rate('notifies'):,.0f}",
        f"{played.rate('wakes'):,.0f}",
        f"{played.rate('peeks'):,.0f}",
        f"{played.rate('turns in vain'):,.0f}",
    )


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value >= 1 else f"{value * 1e3:.1f} ms"
