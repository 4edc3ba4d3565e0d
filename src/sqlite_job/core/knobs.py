"""Check the values of settings: each check returns nothing, or what stands behind the knob's name in an error."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, Optional

from sqlite_job.core.errors import InvalidOptionError
from sqlite_job.core.limits import wrong_queue_limits
from sqlite_job.core.numbers import is_whole
from sqlite_job.core.parameters import why_not_callable_with
from sqlite_job.core.retries import Backoff, to_seconds
from sqlite_job.core.serializers import find_serializer
from sqlite_job.core.tasks import EXECUTORS, runs_as_coroutine

Check = Callable[[Any], Optional[str]]

# A call that holds the GIL stops the heartbeat: 1.24 s were seen for one regular expression.
_SHORTEST_LEASE = 3

# Below this a limit is a mistake: a commit takes as long.
_SHORTEST_TIMEOUT = 0.001


def whole(least: int, *, may_be_none: bool = False) -> Check:
    """Return a check for whole numbers from `least`."""

    def check(value: Any) -> Optional[str]:
        if (value is None and may_be_none) or is_whole(value, least):
            return None
        return f" is a whole number from {least}{', or None' if may_be_none else ''}, not {value!r}"

    return check


def seconds(least: float = 0, *, may_be_none: bool = False) -> Check:
    """Return a check for durations: numbers of seconds, or timedeltas, from `least`."""

    def check(value: Any) -> Optional[str]:
        if value is None and may_be_none:
            return None
        try:
            duration = to_seconds(value)
        except (TypeError, ValueError) as error:
            return f": {error}"
        return None if duration >= least else f" is {least:g} seconds or more, not {value!r}"

    return check


def one_of(*words: str) -> Check:
    """Return a check for one of these texts."""
    listed = " or ".join(f'"{word}"' for word in words)
    return lambda value: None if value in words else f" is {listed}, not {value!r}"


def flag(value: Any) -> Optional[str]:
    """Check for True or False."""
    return None if isinstance(value, bool) else f" is True or False, not {value!r}"


def backoff(value: Any) -> Optional[str]:
    """Check for a Backoff."""
    return None if isinstance(value, Backoff) else f" is a Backoff, as Backoff(first=2), not {value!r}"


def serializer(value: Any) -> Optional[str]:
    """Check for the name of a serializer, or one."""
    try:
        find_serializer(value)
    except (TypeError, ValueError) as error:
        return f": {error}"
    return None


def serializers(value: Any) -> Optional[str]:
    """Check for several serializers."""
    if isinstance(value, str) or not isinstance(value, (list, tuple, set, frozenset)):
        return f' is a tuple of serializers, as ("json",), not {value!r}'
    return next(filter(None, map(serializer, value)), None)


def redact(value: Any) -> Optional[str]:
    """Check for a function that redacts."""
    if value is None:
        return None
    if not callable(value) or runs_as_coroutine(value):
        return f" is a plain function of (function, name, value), or None, not {value!r}"
    problem = why_not_callable_with(value, "function", "name", object())
    if problem is not None:
        return f" is called with (function, name, value), which {value!r} does not take: {problem}"
    return None


def subscribers(value: Any) -> Optional[str]:
    """Check for functions that take an event."""
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        return f" is a list of functions that take an event, not {value!r}"
    for one in value:
        if not callable(one) or runs_as_coroutine(one):
            return f" has {one!r}, which is not a plain function of an event"
        problem = why_not_callable_with(one, "event")
        if problem is not None:
            return f" has {one!r}, which is called with an event alone: {problem}"
    return None


def timezone(value: Any) -> Optional[str]:
    """Check for the name of a time zone."""
    if value == "UTC":
        return None
    from sqlite_job.core.zones import find_zone  # finding zones takes a while, and most settings have none

    try:
        find_zone(value)
    except InvalidOptionError as error:
        return f": {error}"
    return None


def schema(value: Any) -> Optional[str]:
    """Check for the name of a schema."""
    if value is None or (isinstance(value, str) and value and "\0" not in value):
        return None
    return f' is the name of a schema, as "jobs", or None, not {value!r}'


CHECKS: Dict[str, Check] = {
    "schema": schema,
    "timezone": timezone,
    "executor": one_of(*EXECUTORS),
    "job_timeout": seconds(_SHORTEST_TIMEOUT, may_be_none=True),
    "max_jobs_per_child": whole(1, may_be_none=True),
    "max_rss_mb": whole(1, may_be_none=True),
    "max_jobs": whole(1),
    "queue_limits": wrong_queue_limits,
    "max_tries": whole(1),
    "max_deaths": whole(1),
    "keep_result": seconds(may_be_none=True),
    "keep_failed": seconds(may_be_none=True),
    "max_payload": whole(1),
    "lease": seconds(_SHORTEST_LEASE),
    "poll_delay": seconds(),
    "shutdown_timeout": seconds(),
    "backoff": backoff,
    "durability": one_of("full", "normal"),
    "allow_network_fs": flag,
    "preview": flag,
    "capture_logs": flag,
    "redact": redact,
    "serializer": serializer,
    "accept": serializers,
    "subscribers": subscribers,
}


def wrong_values(settings: object) -> Iterator[str]:
    """Yield what is wrong with the knobs of these settings, each as a sentence with the value and the mend."""
    for knob, check in CHECKS.items():
        problem = check(getattr(settings, knob))
        if problem is not None:
            yield f"{knob}{problem}"
