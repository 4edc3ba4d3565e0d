"""Hold measured figures: a row of the table with every sample, and the goal it is judged by."""

from __future__ import annotations

from statistics import median
from typing import Any, List, Mapping, NamedTuple, Optional


class Goal(NamedTuple):
    """A bound for the ratio, or for our own figure, at the median of the repeats; `stretch` is hoped for."""

    bound: float
    is_least: bool = True
    stretch: Optional[float] = None
    is_of_ratio: bool = True

    def is_met(self, value: float) -> bool:
        return _holds(value, self.bound, self.is_least)

    def is_stretched(self, value: float) -> bool:
        return self.stretch is not None and _holds(value, self.stretch, self.is_least)


class Figure(NamedTuple):
    """One thing that was measured, once in each repeat; `raw` is empty where nothing is compared.

    `count` is how many jobs (imports) one sample is made from, each of them checked.
    """

    benchmark: str
    what: str
    unit: str
    count: int
    ours: List[float]
    raw: List[float]
    goal: Optional[Goal] = None
    yardstick: str = "raw"
    details: Mapping[str, Any] = {}  # for the JSON only

    @property
    def ratios(self) -> List[float]:
        """Ours in units of the yardstick, repeat by repeat: what disturbed one side disturbed the other too."""
        return [ours / raw for ours, raw in zip(self.ours, self.raw)]

    @property
    def judged(self) -> float:
        """What the goal speaks of."""
        return median(self.ratios if self.is_judged_by_ratio else self.ours)

    @property
    def is_judged_by_ratio(self) -> bool:
        return bool(self.raw) and (self.goal is None or self.goal.is_of_ratio)


def at_most(bound: float) -> Goal:
    """Return a goal for our own figure."""
    return Goal(bound, is_least=False, is_of_ratio=False)


def at_least(bound: float, stretch: Optional[float] = None) -> Goal:
    """Return a goal for our own figure, where more is better."""
    return Goal(bound, stretch=stretch, is_of_ratio=False)


def _holds(value: float, bound: float, is_least: bool) -> bool:  # noqa: FBT001 - a field of Goal
    return value >= bound if is_least else value <= bound
