"""Join what a task and `with_options` say of a job into its conditions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Tuple, Union

from sqlite_job.core.clock import SECOND
from sqlite_job.core.errors import InvalidOptionError
from sqlite_job.core.fingerprints import fingerprint
from sqlite_job.core.jobs import Conditions
from sqlite_job.core.limits import Limit, RateLimit, key_of
from sqlite_job.core.names import check_name
from sqlite_job.core.options import JobOptions
from sqlite_job.core.retries import Seconds, to_seconds

# True: the function and its arguments are the key.
Unique = Union[bool, str, Callable[..., Any]]


@dataclass(frozen=True)
class Flow:
    """What a task says of whether, when and how many of its jobs run."""

    unique: Optional[Unique] = None
    unique_for: Optional[Seconds] = None
    concurrency: Optional[Limit] = None
    rate_limit: Optional[RateLimit] = None

    @property
    def is_limited(self) -> bool:
        """Whether jobs may have to wait for others."""
        return self.concurrency is not None or self.rate_limit is not None


NO_FLOW = Flow()
_NO_OPTIONS = JobOptions()


def limits_of(flow: Flow, function: str, args: Tuple[Any, ...], kwargs: Mapping[str, Any]) -> Optional[Conditions]:
    """Return the limits alone, for a job that was enqueued without them."""
    limits = Flow(concurrency=flow.concurrency, rate_limit=flow.rate_limit)
    return conditions_of(_NO_OPTIONS, limits, function, args, kwargs, now=0, run_at=None)


def conditions_of(
    options: JobOptions,
    flow: Flow,
    function: str,
    args: Tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    now: int,
    run_at: Optional[int],
) -> Optional[Conditions]:
    """Return the conditions of one call, or None when it has none; what the options say goes before the flow.

    Raises InvalidOptionError, InvalidNameError or EncodeError.
    """
    group_key, group_limit = _group(options, flow, function, args, kwargs)
    rate_key, rate_starts, rate_per = _rate(flow, function, args, kwargs)
    conditions = Conditions(
        expires_at=_expiry(options, now, run_at),
        unique_key=_unique_key(options, flow, function, args, kwargs),
        unique_for=_window(options, flow),
        on_conflict=options.on_conflict or "existing",
        group_key=group_key,
        group_limit=group_limit,
        rate_key=rate_key,
        rate_starts=rate_starts,
        rate_per=rate_per,
    )
    return None if conditions == _NONE else conditions


_NONE = Conditions()


def _expiry(options: JobOptions, now: int, run_at: Optional[int]) -> Optional[int]:
    if options.expires_in is not None:
        return (now if run_at is None else run_at) + options.expires_in
    if options.expires_at is not None and run_at is not None and options.expires_at <= run_at:
        raise InvalidOptionError("expires is not after the time the job may start: it would never run")
    return options.expires_at


def _unique_key(
    options: JobOptions, flow: Flow, function: str, args: Tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Optional[str]:
    unique = flow.unique if options.unique is None else options.unique
    if unique is None or unique is False:
        return None
    if unique is True:
        return f"{function}#{fingerprint(args, kwargs)}"
    if isinstance(unique, str):
        return unique
    try:
        key = unique(*args, **kwargs)
    except Exception as error:
        message = f"the unique key of {function} raised {type(error).__name__}: {error}"
        raise InvalidOptionError(message) from error
    return None if key is None else f"{function}({check_name(str(key), 'unique key')})"


def _window(options: JobOptions, flow: Flow) -> Optional[int]:
    if options.unique_for is not None:
        return options.unique_for
    return None if flow.unique_for is None else round(to_seconds(flow.unique_for) * SECOND)


def _group(
    options: JobOptions, flow: Flow, function: str, args: Tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Tuple[Optional[str], Optional[int]]:
    limit = flow.concurrency
    if options.group is not None:
        # A group without a limit is a sequence.
        return options.group, 1 if limit is None else limit.n
    key = None if limit is None else key_of(limit.key, function, args, kwargs)
    return (None, None) if limit is None or key is None else (key, limit.n)


def _rate(
    flow: Flow, function: str, args: Tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Tuple[Optional[str], Optional[int], Optional[int]]:
    limit = flow.rate_limit
    key = None if limit is None else key_of(limit.key, function, args, kwargs)
    if limit is None or key is None:
        return None, None, None
    return key, limit.n, round(to_seconds(limit.per) * SECOND)
