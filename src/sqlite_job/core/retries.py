"""Decide when a job is tried again: back-off, and the exceptions by which a job decides for itself."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Callable, Optional, Tuple, Type, Union

Seconds = Union[float, timedelta]

# A thousand years: the sum with the present must still fit a datetime.
_LONGEST_SECONDS = 3.15e10


def to_seconds(duration: Seconds) -> float:
    """Return a duration in seconds; raises TypeError or ValueError unless it is a number or timedelta from 0 up."""
    if isinstance(duration, timedelta):
        duration = duration.total_seconds()
    if isinstance(duration, bool) or not isinstance(duration, (int, float)):
        message = f"a duration is a number of seconds or a timedelta, not {duration!r}"
        raise TypeError(message)
    # NaN fails the comparison too.
    if not 0 <= duration <= _LONGEST_SECONDS:
        message = f"a duration is from 0 up to 1,000 years in seconds, not {duration!r}"
        raise ValueError(message)
    return float(duration)


@dataclass(frozen=True)
class Backoff:
    """Seconds before each next try: `first`, then times `factor`, at most `max`, each varied by ±`jitter`."""

    first: float = 1.0
    factor: float = 2.0
    max: float = 3600.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        """Raise ValueError for numbers that make no delay."""
        in_range = 0 <= self.first <= _LONGEST_SECONDS and 0 <= self.max <= _LONGEST_SECONDS
        if not (in_range and self.factor >= 1 and 0 <= self.jitter <= 1):
            message = f"{self!r} is no back-off: first and max are seconds from 0, factor from 1, jitter from 0 to 1"
            raise ValueError(message)

    def delay(self, tries: int, draw: Callable[[], float] = random.random) -> float:
        """Return the seconds to wait after that many tries (1 = the first has just failed)."""
        try:
            plain = min(self.first * self.factor ** (tries - 1), self.max)
        except OverflowError:
            plain = self.max
        return min(plain * (1 + self.jitter * (2 * draw() - 1)), self.max)


class JobDecision(Exception):  # noqa: N818 - not an error: a job's way to say what comes next
    """The base of what a job may raise to decide for itself how it goes on."""


class Retry(JobDecision):
    """Try again after `delay` seconds (None: by the back-off); it counts as a try, and the last try fails."""

    def __init__(self, delay: Optional[Seconds] = None) -> None:
        """Keep the delay in seconds."""
        self.delay = None if delay is None else to_seconds(delay)
        super().__init__("retry" if self.delay is None else f"retry in {self.delay:g} s")


class Snooze(JobDecision):
    """Run again after `delay` seconds; it does not count as a try."""

    def __init__(self, delay: Seconds) -> None:
        """Keep the delay in seconds."""
        self.delay = to_seconds(delay)
        super().__init__(f"snooze for {self.delay:g} s")


class Cancel(JobDecision):
    """End this job as cancelled, not as failed."""

    def __init__(self, reason: str = "") -> None:
        """Keep the reason, which is stored with the job."""
        self.reason = str(reason)
        super().__init__(self.reason)


@dataclass(frozen=True)
class RetryPolicy:
    """When an exception is tried again: tries left, of `retry_on`, and not of `give_up_on`."""

    max_tries: int = 1
    backoff: Backoff = Backoff()
    retry_on: Tuple[Type[BaseException], ...] = (Exception,)
    give_up_on: Tuple[Type[BaseException], ...] = ()

    def delay_after(self, error: BaseException, tries: int, max_tries: Optional[int]) -> Optional[float]:
        """Return the seconds until the next try, or None when this failure is final.

        `tries` counts the one that just failed; `max_tries` of the job itself goes before the policy's.
        """
        if tries >= (self.max_tries if max_tries is None else max_tries):
            return None
        if isinstance(error, Retry):
            return self.backoff.delay(tries) if error.delay is None else error.delay
        if isinstance(error, self.give_up_on) or not isinstance(error, self.retry_on):
            return None
        return self.backoff.delay(tries)
