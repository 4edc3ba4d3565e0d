"""Say how many jobs may run at once, or start within a time: the limits that a task, or a queue, may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Tuple

from sqlite_job.core.errors import InvalidOptionError
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
