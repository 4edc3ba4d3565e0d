"""Check what `with_options` may say of the next jobs."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Iterable, Mapping, Optional, Tuple, Union

from sqlite_job.core.clock import SECOND, to_microseconds
from sqlite_job.core.errors import InvalidOptionError
from sqlite_job.core.jobs import ON_CONFLICT
from sqlite_job.core.names import check_name
from sqlite_job.core.numbers import is_whole
from sqlite_job.core.retries import Seconds, to_seconds

# What jobs are found by: the values of JSON that have no parts.
MetaValue = Union[str, int, float, bool, None]


@dataclass(frozen=True)
class JobOptions:
    """Checked options of jobs to come; `delay` in microseconds, `tags` and `meta` as JSON, None: the task decides.

    `session` is whatever has the transaction that the jobs belong to.
    """

    job_id: Optional[str] = None
    queue: Optional[str] = None
    priority: Optional[int] = None
    delay: Optional[int] = None
    run_at: Optional[int] = None
    max_tries: Optional[int] = None
    timeout: Optional[int] = None
    tags: Optional[str] = None
    meta: Optional[str] = None
    expires_in: Optional[int] = None
    expires_at: Optional[int] = None
    unique: Union[bool, str, None] = None
    unique_for: Optional[int] = None
    on_conflict: Optional[str] = None
    group: Optional[str] = None
    session: Any = None

    def with_changes(self, changes: JobOptions) -> JobOptions:
        """Return these options with those of `changes` that say something; a new time takes the place of an old one."""
        said = {name: value for name, value in vars(changes).items() if value is not None}
        if changes.delay is not None or changes.run_at is not None:
            said.update(delay=changes.delay, run_at=changes.run_at)
        if changes.expires_in is not None or changes.expires_at is not None:
            said.update(expires_in=changes.expires_in, expires_at=changes.expires_at)
        return replace(self, **said)

    @property
    def has_conditions(self) -> bool:
        """Whether they say more of the job than a plain row holds."""
        return not (self.expires_in is self.expires_at is self.unique is self.group is None)

    def run_time(self, now: int) -> Optional[int]:
        """Return when the job may start, or None for at once."""
        run_at = now + self.delay if self.delay else self.run_at
        return run_at if run_at is not None and run_at > now else None


# What most jobs have, and are quicker made for.
NO_OPTIONS = JobOptions()


def check_options(
    *,
    job_id: Optional[str],
    queue: Optional[str],
    priority: Optional[int],
    delay: Optional[Seconds],
    run_at: Optional[datetime],
    max_tries: Optional[int],
    timeout: Optional[Seconds],
    tags: Iterable[str],
    meta: Optional[Mapping[str, Any]],
    expires: Union[Seconds, datetime, None],
    unique: Union[bool, str, None],
    unique_for: Optional[Seconds],
    on_conflict: Optional[str],
    group: Optional[str],
    session: Any,
) -> JobOptions:
    """Return the options, or raise InvalidOptionError or InvalidNameError with the value and the mend."""
    if job_id is not None:
        job_id = check_name(job_id, "job id")
    if queue is not None:
        queue = check_name(queue, "queue name")
    if priority is not None and not is_whole(priority):
        raise InvalidOptionError(f"priority is a whole number (higher is first), not {priority!r}")
    if max_tries is not None and not is_whole(max_tries, least=1):
        raise InvalidOptionError(f"max_tries is a whole number from 1, not {max_tries!r}")
    if delay is not None and run_at is not None:
        raise InvalidOptionError("give delay or run_at, not both")
    if on_conflict is not None and on_conflict not in ON_CONFLICT:
        raise InvalidOptionError(f"on_conflict is {' or '.join(map(repr, ON_CONFLICT))}, not {on_conflict!r}")
    is_moment = isinstance(expires, datetime)
    return JobOptions(
        job_id=job_id,
        queue=queue,
        priority=priority,
        delay=None if delay is None else check_duration("delay", delay),
        run_at=None if run_at is None else _moment("run_at", run_at),
        max_tries=max_tries,
        timeout=None if timeout is None else _positive("timeout", timeout, "for no limit"),
        tags=_tags(tags),
        meta=None if meta is None else _meta(meta),
        expires_in=None if expires is None or is_moment else _positive("expires", expires, "never to expire"),
        expires_at=_moment("expires", expires) if is_moment else None,
        unique=None if unique is None else _unique(unique),
        unique_for=None if unique_for is None else _positive("unique_for", unique_for, "for no window"),
        on_conflict=on_conflict,
        group=None if group is None else check_name(group, "group"),
        session=session,
    )


def amend(
    options: JobOptions, *, queue: str, priority: int, tags: Iterable[str], meta: Mapping[str, Any]
) -> JobOptions:
    """Return the options with these four, checked as those of `with_options` are."""
    if not is_whole(priority):
        raise InvalidOptionError(f"priority is a whole number (higher is first), not {priority!r}")
    return replace(
        options,
        queue=check_name(queue, "queue name"),
        priority=priority,
        tags=_tags(tags),
        meta=None if meta == {} else _meta(meta),
    )


def check_duration(option: str, duration: Seconds) -> int:
    """Return a duration in microseconds; raises InvalidOptionError that names the option."""
    try:
        return round(to_seconds(duration) * SECOND)
    except (TypeError, ValueError) as error:
        raise InvalidOptionError(f"{option}: {error}") from None


def _positive(option: str, duration: Any, otherwise: str) -> int:
    checked = check_duration(option, duration)
    if not checked:
        raise InvalidOptionError(f"{option} is more than 0 seconds; leave it out {otherwise}")
    return checked


def _unique(unique: object) -> Union[bool, str]:
    return unique if isinstance(unique, bool) else check_name(unique, "unique key")


def _moment(option: str, moment: Any) -> int:
    if not isinstance(moment, datetime):
        raise InvalidOptionError(f"{option} is a datetime, not {moment!r}")
    try:
        return to_microseconds(moment)
    except ValueError as error:
        raise InvalidOptionError(f"{option}: {error}") from None


def _tags(tags: Iterable[str]) -> Optional[str]:
    if isinstance(tags, str):
        raise InvalidOptionError(f"tags is a list of tags, not one text: write tags=[{tags!r}]")
    if not isinstance(tags, Iterable):
        raise InvalidOptionError(f"tags is a list of tags, not {tags!r}")
    checked = list(dict.fromkeys(check_name(tag, "tag") for tag in tags))
    return json.dumps(checked, ensure_ascii=False) if checked else None


def _meta(meta: Mapping[str, Any]) -> str:
    if not isinstance(meta, dict):
        raise InvalidOptionError(f"meta is a dict, not {meta!r}")
    try:
        return json.dumps(meta, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidOptionError(f"meta takes values of JSON only: {error}") from None


def check_meta_filter(meta: Optional[Mapping[str, MetaValue]]) -> Tuple[Tuple[str, MetaValue], ...]:
    """Return the keys and values to look for, or raise InvalidOptionError for what no metadata holds."""
    if meta is None:
        return ()
    if not isinstance(meta, dict):
        raise InvalidOptionError(f'meta is a dict of keys and values to look for, as {{"customer": 42}}, not {meta!r}')
    for key, value in meta.items():
        if not isinstance(key, str) or not _is_storable(key):
            raise InvalidOptionError(f"a key of meta is a text, not {key!r}; JSON has no others")
        if not _is_findable(value):
            raise InvalidOptionError(
                f"meta is searched for texts, finite numbers, True, False and None, not {value!r} under {key!r}"
            )
    return tuple(meta.items())


def _is_findable(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return _is_storable(value)
    return value is None or isinstance(value, bool) or is_whole(value)


def _is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a pair of surrogates, which no database holds
        return False
    return True
