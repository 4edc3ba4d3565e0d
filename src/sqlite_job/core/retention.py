"""Decide how long finished jobs are kept."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Callable, List, Mapping, NamedTuple, Optional, Union

from sqlite_job.core.clock import SECOND
from sqlite_job.core.retries import Seconds, to_seconds
from sqlite_job.core.states import JobStatus

KEEP_RESULT = timedelta(days=7)
KEEP_FAILED = timedelta(days=30)


class Unsaid(Enum):
    """The word for an option that was not given, where None means something: for ever."""

    UNSAID = "unsaid"

    def __repr__(self) -> str:
        """Be readable in a signature."""
        return "UNSAID"


UNSAID = Unsaid.UNSAID

MaybeKeep = Union[Seconds, None, Unsaid]


class Keep(NamedTuple):
    """How many microseconds a job is kept after its end: completed or cancelled, or failed; None: for ever."""

    result: Optional[int]
    failed: Optional[int]

    def of(self, status: JobStatus) -> Optional[int]:
        """Return how long a job that ended so is kept."""
        return self.failed if status is JobStatus.FAILED else self.result


class Retention:
    """How long the jobs of each function are kept."""

    def __init__(self, functions: Mapping[str, Keep], others: Keep = Keep(None, None)) -> None:  # noqa: B008 - a value
        """Take what is said of some functions, and what holds for all others: to keep them for ever."""
        self.functions = dict(functions)
        self._others = others

    def of(self, function: str, status: JobStatus) -> Optional[int]:
        """Return how many microseconds such a job is kept after its end; None: for ever."""
        return self.functions.get(function, self._others).of(status)

    def periods(self) -> List[int]:
        """Return the different lengths of time for which something is kept, the shortest first."""
        return sorted(
            {period for keep in [*self.functions.values(), self._others] for period in keep if period is not None}
        )


class Place(NamedTuple):
    """A finished job as a place in their order, oldest first; a walk goes on behind it."""

    finished_at: int
    seq: int


START = Place(-1, -1)


class Old(NamedTuple):
    """Which jobs to prune: that finished at `until` or before, and of which `is_old(queue, function, status)`."""

    until: int
    is_old: Callable[[str, str, JobStatus], bool]


class Pruned(NamedTuple):
    """What one batch did: how many jobs were pruned, how far it came, and whether that was as far as there are any.

    `missed`: how many it would have pruned, but for somebody who was quicker, or made them run again.
    """

    jobs: int
    place: Place
    is_end: bool
    missed: int = 0


def keep_of(result: MaybeKeep, failed: MaybeKeep, default: Keep = Keep(None, None)) -> Keep:  # noqa: B008 - a value
    """Return the periods that were given, and those of `default` where none was."""
    return Keep(
        default.result if isinstance(result, Unsaid) else _microseconds(result),
        default.failed if isinstance(failed, Unsaid) else _microseconds(failed),
    )


def _microseconds(period: Optional[Seconds]) -> Optional[int]:
    return None if period is None else round(to_seconds(period) * SECOND)
