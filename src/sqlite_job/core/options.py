"""Check what `with_options` may say of the next jobs."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Iterable, Mapping, Optional

from sqlite_job.core.clock import SECOND, to_microseconds
from sqlite_job.core.errors import InvalidOptionError
from sqlite_job.core.names import check_name
from sqlite_job.core.retries import Seconds, to_seconds
from sqlite_job.core.tasks import is_whole


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
    session: Any = None

    def with_changes(self, changes: JobOptions) -> JobOptions:
        """Return these options with those of `changes` that say something; a new time takes the place of an old one."""
        said = {name: value for name, value in vars(changes).items() if value is not None}
        if changes.delay is not None or changes.run_at is not None:
            said.update(delay=changes.delay, run_at=changes.run_at)
        return replace(self, **said)

    def run_time(self, now: int) -> Optional[int]:
        """Return when the job may start, or None for at once."""
        run_at = now + self.delay if self.delay else self.run_at
        return run_at if run_at is not None and run_at > now else None


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
    return JobOptions(
        job_id=job_id,
        queue=queue,
        priority=priority,
        delay=None if delay is None else _duration("delay", delay),
        run_at=None if run_at is None else _moment(run_at),
        max_tries=max_tries,
        timeout=None if timeout is None else _timeout(timeout),
        tags=_tags(tags),
        meta=None if meta is None else _meta(meta),
        session=session,
    )


def _duration(option: str, duration: Seconds) -> int:
    try:
        return round(to_seconds(duration) * SECOND)
    except (TypeError, ValueError) as error:
        raise InvalidOptionError(f"{option}: {error}") from None


def _timeout(timeout: Seconds) -> int:
    duration = _duration("timeout", timeout)
    if not duration:
        raise InvalidOptionError("timeout is more than 0 seconds; leave it out for no limit")
    return duration


def _moment(run_at: datetime) -> int:
    if not isinstance(run_at, datetime):
        raise InvalidOptionError(f"run_at is a datetime, not {run_at!r}")
    try:
        return to_microseconds(run_at)
    except ValueError as error:
        raise InvalidOptionError(f"run_at: {error}") from None


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
