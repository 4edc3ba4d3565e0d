"""Hold what was compared: every sample, who was left out and why, and what went wrong."""

from __future__ import annotations

import json
from statistics import median
from typing import Any, Dict, List, NamedTuple, Optional


class Metric(NamedTuple):
    """A figure of the tables, better when it is higher or lower; `digits` behind the point."""

    name: str
    title: str
    unit: str
    is_more_better: bool
    digits: int = 0


METRICS: List[Metric] = [
    Metric("enqueue", "enqueue, one by one", "jobs/s", is_more_better=True),
    Metric("enqueue_bulk", "enqueue, 1,000 a call", "jobs/s", is_more_better=True),
    Metric("drain", "run no-ops, one worker", "jobs/s", is_more_better=True),
    Metric("drain_two", "run no-ops, two workers", "jobs/s", is_more_better=True),
    Metric("io", "run 10 ms naps, 50 at once", "jobs/s", is_more_better=True),
    Metric("payload 2 kB", "run jobs of 2 kB", "jobs/s", is_more_better=True),
    Metric("payload 100 kB", "run jobs of 100 kB", "jobs/s", is_more_better=True),
    Metric("p50", "enqueue to start, p50", "ms", is_more_better=False, digits=1),
    Metric("p99", "enqueue to start, p99", "ms", is_more_better=False, digits=1),
    Metric("idle_cpu", "CPU of an idle worker", "%", is_more_better=False, digits=1),
    Metric("idle_mb", "memory of an idle worker", "MB", is_more_better=False),
    Metric("busy_mb", "memory, 50 jobs at once", "MB", is_more_better=False),
    Metric("bytes", "store grown by, a job", "bytes", is_more_better=False),
    Metric("kill_seconds", "kill -9: until all done", "s", is_more_better=False, digits=1),
    Metric("kill_lost", "kill -9: lost", "jobs", is_more_better=False),
    Metric("kill_held", "kill -9: still held", "jobs", is_more_better=False),
    Metric("kill_twice", "kill -9: done twice", "jobs", is_more_better=False),
]


class Failure(NamedTuple):
    """A sample that could not be taken, or whose work was wrong."""

    system: str
    benchmark: str
    message: str


class Comparison:
    """`systems` are the facts of those that took part, in their order; a sample is None where something never ended."""

    def __init__(self, machine: Dict[str, Any], systems: List[Dict[str, Any]], left_out: Dict[str, str]) -> None:
        self.machine = machine
        self.systems = systems
        self.left_out = left_out
        self.failures: List[Failure] = []
        self.samples: Dict[str, Dict[str, List[Optional[float]]]] = {system["name"]: {} for system in systems}

    @property
    def names(self) -> List[str]:
        return [system["name"] for system in self.systems]

    def add(self, system: str, figures: Dict[str, Optional[float]]) -> None:
        for name, value in figures.items():
            self.samples[system].setdefault(name, []).append(value)

    def middle(self, system: str, metric: str) -> Optional[float]:
        """Return the median, where a sample that never ended counts as greater than any other; None if it is that."""
        values = self.samples[system].get(metric, [])
        if not values:
            return None
        value = median(float("inf") if value is None else value for value in values)
        return None if value == float("inf") else value

    def best(self, metric: Metric) -> List[str]:
        """Return whose median is best, more than one if they are equal."""
        found = {name: self.middle(name, metric.name) for name in self.names}
        values = [value for value in found.values() if value is not None]
        if not values:
            return []
        bound = max(values) if metric.is_more_better else min(values)
        return [name for name, value in found.items() if value == bound]

    def as_json(self) -> str:
        parts = {**vars(self), "failures": [failure._asdict() for failure in self.failures]}
        return json.dumps(parts, indent=1) + "\n"


def from_json(text: str) -> Comparison:
    parts = json.loads(text)
    made = Comparison(parts["machine"], parts["systems"], parts["left_out"])
    made.samples = parts["samples"]
    made.failures = [Failure(**failure) for failure in parts["failures"]]
    return made
