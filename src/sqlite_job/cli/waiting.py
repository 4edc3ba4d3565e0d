"""Wait for a job, and report how it ended: what `wait`, `result` and `enqueue --wait` have in common."""

from __future__ import annotations

from typing import Iterator, Optional

import click

from sqlite_job.cli.exit_code import ExitCode
from sqlite_job.cli.facts import outcome_facts, write_json
from sqlite_job.cli.failure import Failure
from sqlite_job.cli.preview import SHORTENED_NOTE, is_shortened
from sqlite_job.cli.printable import printable_line
from sqlite_job.cli.progress import progress_bar
from sqlite_job.core.jobs import JobInfo
from sqlite_job.core.states import JobStatus
from sqlite_job.inspection import Inspector


def wait_for_end(inspector: Inspector, job_id: str, timeout: Optional[float]) -> JobInfo:
    """Return a job once it has ended; raises JobNotFoundError or ResultTimeoutError."""
    job = inspector.job(job_id)
    if job.status.is_final:
        return job
    hints = list(_why_it_may_wait(inspector, job.queue))
    with progress_bar() as show:
        for hint in hints:
            click.echo(printable_line(hint), err=True)
        return inspector.wait(job_id, timeout, on_progress=show)


def _why_it_may_wait(inspector: Inspector, queue: str) -> Iterator[str]:
    if not any(queue in worker.queues for worker in inspector.workers()):
        yield f"No worker serves the queue {queue!r}; start one: sqlite-job worker MODULE.CLASS --queue {queue}"
    if queue in inspector.paused_queues():
        yield f"The queue {queue!r} is paused; go on: sqlite-job resume {queue}"


def report_end(job: JobInfo, *, as_json: bool) -> None:
    """Print a job's result, or all its facts as JSON; raises Failure unless it is completed."""
    if as_json:
        write_json(outcome_facts(job))
    if job.status is JobStatus.COMPLETED:
        if not as_json:
            _print_result(job)
        return
    if not job.status.is_final:
        message = f"Job {job.id} has not finished, it is {job.status}; wait for it: sqlite-job wait {job.id}"
        raise Failure(message, ExitCode.NOT_FINISHED)
    reason = f": {printable_line(job.error)}" if job.error else ""
    if job.status is JobStatus.CANCELLED:
        raise Failure(f"Job {job.id} was cancelled{reason}", ExitCode.JOB_FAILED)
    raise Failure(f"Job {job.id} failed{reason}; its traceback: sqlite-job show {job.id}", ExitCode.JOB_FAILED)


def _print_result(job: JobInfo) -> None:
    if job.result is None:
        click.echo("(no preview of the result is stored; get_job_result() in Python returns it)", err=True)
        return
    click.echo(printable_line(job.result))
    if is_shortened(job.result):
        click.echo(SHORTENED_NOTE, err=True)
