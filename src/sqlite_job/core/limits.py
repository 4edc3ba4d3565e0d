"""Say how many jobs may run at once, or start within a time: the limits that a task, or a queue, may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from sqlite_job.core.clock import SECOND
from sqlite_job.core.errors import InvalidNameError, InvalidOptionError
from sqlite_job.core.names import check_name
from sqlite_job.core.retries import Seconds, to_seconds

Key = Callable[..., Any]

_MOST = 1_000_000


@dataclass(frozen=True)
class Limit:
    """At most `n` jobs at once, over all workers; with `key`, for each of its values.

    `key` is called with the job's arguments at enqueue; None from it means: no limit for this job.
    """

    n: int
    key: Optional[Key] = None

    def __post_init__(self) -> None:
        """Raise ValueError for what is no limit."""
        _check_number(self, self.n)
        _check_key(self.key)


@dataclass(frozen=True)
class RateLimit:
    """At most `n` starts in any `per` seconds, over all workers; with `key`, for each of its values.

    `key` is called with the job's arguments at enqueue; None from it means: no limit for this job.
    """

    n: int
    per: Seconds
    key: Optional[Key] = None

    def __post_init__(self) -> None:
        """Raise ValueError for what is no limit."""
        _check_number(self, self.n)
        try:
            is_time = to_seconds(self.per) > 0
        except (TypeError, ValueError) as error:
            message = f"per: {error}"
            raise ValueError(message) from None
        if not is_time:
            message = f"per is more than 0 seconds, not {self.per!r}"
            raise ValueError(message)
        _check_key(self.key)


# What a setting says of one queue.
LimitsOfQueue = Union[Limit, RateLimit, Sequence[Union[Limit, RateLimit]]]


class QueueLimit(NamedTuple):
    """Of a queue's jobs at most `running` at once, and at most `starts` in any `per` microseconds; None: no limit."""

    queue: str
    running: Optional[int] = None
    starts: Optional[int] = None
    per: Optional[int] = None


def make_queue_limits(limits: Mapping[str, LimitsOfQueue], queues: Sequence[str]) -> Tuple[QueueLimit, ...]:
    """Return those limits of a setting that are on one of `queues`."""
    return tuple(_make_queue_limit(queue, limits[queue]) for queue in queues if queue in limits)


def wrong_queue_limits(limits: object) -> Optional[str]:
    """Return what is wrong with limits on queues, as it stands behind their name, or None."""
    if not isinstance(limits, Mapping):
        return f' is a mapping of queues to limits, as {{"mail": Limit(5)}}, not {limits!r}'
    for queue, given in limits.items():
        try:
            check_name(queue, "queue name")
        except InvalidNameError as error:
            return f": {error}"
        problem = _wrong_limits_of_queue(given)
        if problem is not None:
            return f" of {queue!r}: {problem}"
    return None


def key_of(limit_key: Optional[Key], function: str, args: Tuple[Any, ...], kwargs: Mapping[str, Any]) -> Optional[str]:
    """Return the text that a limit's jobs have in common: `function()`, or `function(value)`; None: no limit.

    Raises InvalidOptionError when `key` fails, or gives what makes no key.
    """
    if limit_key is None:
        return f"{function}()"
    try:
        value = limit_key(*args, **kwargs)
    except Exception as error:
        message = f"the key of {function}'s limit raised {type(error).__name__}: {error}"
        raise InvalidOptionError(message) from error
    return None if value is None else f"{function}({check_name(str(value), 'key of a limit')})"


def _check_number(limit: object, n: object) -> None:
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= _MOST:
        message = f"{type(limit).__name__} takes a whole number from 1 to {_MOST:,}, not {n!r}"
        raise ValueError(message)


def _check_key(key: object) -> None:
    if key is not None and not callable(key):
        message = f"key is a function of the job's arguments, as key=lambda customer: customer, not {key!r}"
        raise ValueError(message)


def _wrong_limits_of_queue(given: object) -> Optional[str]:
    limits = _as_list(given)
    if not limits or not all(isinstance(limit, (Limit, RateLimit)) for limit in limits):
        return f"a queue has a Limit, a RateLimit, or both, as (Limit(3), RateLimit(10, per=1)), not {given!r}"
    if len({type(limit) for limit in limits}) < len(limits):
        return f"a queue has one Limit and one RateLimit at most, not {given!r}"
    if any(limit.key is not None for limit in limits):
        return "a limit on a queue has no key; give the one with a key to a function: task(function, concurrency=...)"
    return None


def _make_queue_limit(queue: str, given: LimitsOfQueue) -> QueueLimit:
    made: Dict[str, int] = {}
    for limit in _as_list(given):
        if isinstance(limit, Limit):
            made["running"] = limit.n
        else:
            made.update(starts=limit.n, per=max(round(to_seconds(limit.per) * SECOND), 1))
    return QueueLimit(queue, **made)


def _as_list(given: Any) -> List[Any]:
    return list(given) if isinstance(given, (list, tuple)) else [given]
