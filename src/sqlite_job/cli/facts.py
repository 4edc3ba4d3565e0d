"""Write facts as JSON for programs: keys are the attributes of JobInfo, WorkerInfo and so on, times ISO."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any, Callable, Dict, Optional, Sequence, TypeVar

import click

from sqlite_job.cli.console import echo_lines
from sqlite_job.cli.preview import is_shortened
from sqlite_job.core.jobs import JobFailure, JobInfo
from sqlite_job.core.notes import JobLog, JobProgress
from sqlite_job.core.schedule_info import ScheduleInfo
from sqlite_job.inspection import WorkerInfo

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Give a command `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


def job_facts(job: JobInfo) -> Dict[str, Any]:
    """Return all facts of a job but its place in the list."""
    facts = asdict(job)
    del facts["cursor"]
    return facts


def job_facts_in_full(job: JobInfo, progress: Optional[JobProgress], failures: Sequence[JobFailure]) -> Dict[str, Any]:
    """Return the facts of a job, how far it has come, and each try that did not succeed, oldest first."""
    return {
        **job_facts(job),
        "progress": None if progress is None else asdict(progress),
        "failures": [asdict(failure) for failure in failures],
    }


def log_facts(record: JobLog) -> Dict[str, Any]:
    """Return the facts of a log record."""
    return {**asdict(record), "level_name": record.level_name}


def outcome_facts(job: JobInfo) -> Dict[str, Any]:
    """Return the facts of a job, and whether the preview of its result leaves something out."""
    return {**job_facts(job), "is_result_shortened": job.result is not None and is_shortened(job.result)}


def worker_facts(worker: WorkerInfo) -> Dict[str, Any]:
    """Return the facts of a worker."""
    return asdict(worker)


def schedule_facts(schedule: ScheduleInfo) -> Dict[str, Any]:
    """Return the facts of a schedule."""
    return asdict(schedule)


def write_json(facts: Dict[str, Any]) -> None:
    """Write one JSON object; all that is not ASCII is escaped, so no terminal and no encoding can be upset by it."""
    echo_lines(json.dumps(facts, indent=2, default=_as_text))


def write_json_line(facts: Dict[str, Any]) -> None:
    """Write one JSON object on one line."""
    click.echo(json.dumps(facts, default=_as_text))


def _as_text(value: object) -> str:
    # Always with microseconds: the same length and form each time.
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else str(value)
