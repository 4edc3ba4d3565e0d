"""Look at jobs: `sqlite-job list` and `sqlite-job show`."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Iterator, List, Optional, Tuple

import click

from sqlite_job.cli.console import (
    Column,
    echo_lines,
    labelled,
    styled,
    styled_status,
    terminal_width,
    write_lines,
    write_table,
)
from sqlite_job.cli.database import database_option, open_existing
from sqlite_job.cli.facts import job_facts, job_facts_in_full, json_option, write_json
from sqlite_job.cli.function_arguments import parse_meta_filter
from sqlite_job.cli.moments import format_age, format_moment, format_span
from sqlite_job.cli.preview import SHORTENED_NOTE, is_shortened, preview_job_call, preview_outcome
from sqlite_job.cli.printable import printable_line, printable_lines
from sqlite_job.cli.progress import describe_progress
from sqlite_job.core.jobs import JobFailure, JobInfo
from sqlite_job.core.notes import JobProgress
from sqlite_job.core.states import JobStatus

if TYPE_CHECKING:
    from rich.text import Text

_OUTCOME = Column("Outcome", is_flexible=True)
_COLUMNS = (Column("ID"), Column("Queue"), Column("Status"), Column("Age"), Column("Call", is_flexible=True), _OUTCOME)

# A narrower terminal has no room for the last column.
_LEAST_WIDTH_FOR_OUTCOME = 100


@click.command("list", short_help="List jobs, newest first.")
@click.option(
    "--status",
    type=click.Choice([status.value for status in JobStatus], case_sensitive=False),
    help="Only jobs with this status.",
)
@click.option("--queue", metavar="NAME", help="Only jobs of this queue.")
@click.option("--function", metavar="NAME", help="Only calls of this function.")
@click.option("--tag", metavar="TAG", help="Only jobs with this tag.")
@click.option(
    "--meta",
    "meta_words",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only jobs with this in their metadata; may be repeated.",
)
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="At most this many.")
@click.option(
    "--after", type=click.IntRange(1), metavar="CURSOR", help="Go on where the list before ended; it said so."
)
@click.option("--ids", "only_ids", is_flag=True, help="Print only the ids, one a line.")
@json_option
@database_option
def list_jobs(
    *,
    status: Optional[str],
    queue: Optional[str],
    function: Optional[str],
    tag: Optional[str],
    meta_words: Tuple[str, ...],
    limit: int,
    after: Optional[int],
    only_ids: bool,
    as_json: bool,
    database: Optional[str],
) -> None:
    """List jobs, newest first; all of the given filters must match.

    When there are more than --limit, a note on the standard error stream says how to go on.
    """
    inspector = open_existing(database)
    meta = parse_meta_filter(meta_words)
    found = inspector.jobs(
        status=status, queue=queue, function=function, tag=tag, meta=meta, limit=limit + 1, after=after
    )
    jobs, following = found[:limit], found[limit - 1].cursor if len(found) > limit else None
    if as_json:
        write_json({"jobs": [job_facts(job) for job in jobs], "next": following})
        return
    if not jobs:
        click.echo("No jobs found", err=True)
    elif only_ids:
        echo_lines("\n".join(printable_line(job.id) for job in jobs))
    else:
        _write_list(jobs, inspector.now())
    if following is not None:
        click.echo(f"There are more: add --after {following}", err=True)


@click.command(short_help="Show all that is known of a job.")
@click.argument("job_id", metavar="ID")
@json_option
@database_option
def show(job_id: str, *, as_json: bool, database: Optional[str]) -> None:
    """Show all that is known of the job ID, with the traceback of each try that failed."""
    inspector = open_existing(database)
    job, progress, failures = inspector.job(job_id), inspector.progress(job_id), inspector.failures(job_id)
    if as_json:
        write_json(job_facts_in_full(job, progress, failures))
        return
    facts = [(name, value) for name, value in _facts(job, progress) if value]
    widest = max(len(name) for name, _ in facts)
    write_lines([labelled(name.ljust(widest + 2), value) for name, value in facts])
    if job.result is not None and is_shortened(job.result):
        click.echo(SHORTENED_NOTE, err=True)
    for failure in failures:
        click.echo()
        write_lines(_failure_lines(failure))


def _write_list(jobs: List[JobInfo], now: datetime) -> None:
    rows = [
        [
            styled(job.id),
            styled(job.queue),
            styled_status(job.status),
            styled(format_age(job.created_at, now)),
            styled(preview_job_call(job)),
            styled(preview_outcome(job)),
        ]
        for job in jobs
    ]
    shown = len(_COLUMNS) if terminal_width() >= _LEAST_WIDTH_FOR_OUTCOME else len(_COLUMNS) - 1
    write_table(_COLUMNS[:shown], [row[:shown] for row in rows])


def _facts(job: JobInfo, progress: Optional[JobProgress]) -> Iterator[Tuple[str, Text]]:
    """Yield what there is to say, as name and value; an empty value is not worth a line."""
    yield "ID", styled(job.id)
    yield "Call", styled(preview_job_call(job))
    yield "Status", styled_status(job.status)
    yield "Progress", styled("" if progress is None else describe_progress(progress))
    yield "Error", styled(job.error or "")
    yield "Result", styled(job.result or "")
    yield "Queue", styled(job.queue)
    yield "Priority", styled(job.priority or "")
    yield "Tries", styled(f"{job.tries} of {job.max_tries}" if job.max_tries else job.tries)
    yield "Deaths", styled(job.deaths or "")
    yield "Worker", styled(job.worker_id or "")
    yield "Created", styled(format_moment(job.created_at))
    yield "Run at", styled(format_moment(job.run_at) if job.run_at else "")
    yield "Started", styled(format_moment(job.started_at) if job.started_at else "")
    yield "Finished", styled(_finished(job))
    yield "Tags", styled(", ".join(job.tags))
    yield "Meta", styled(json.dumps(job.meta, ensure_ascii=False) if job.meta else "")


def _finished(job: JobInfo) -> str:
    if job.finished_at is None:
        return ""
    span = format_span(job.started_at, job.finished_at)
    return format_moment(job.finished_at) + (f" (took {span})" if span else "")


def _failure_lines(failure: JobFailure) -> Iterator[Text]:
    span = format_span(failure.started_at, failure.finished_at)
    yield styled(f"Try {failure.try_number} failed after {span}, {format_moment(failure.finished_at)}", "bold")
    text = failure.traceback.strip() or failure.summary
    yield from (styled(line) for line in printable_lines(text).split("\n"))
