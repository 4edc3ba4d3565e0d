"""Read what a job has logged: `sqlite-job logs`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Iterable, Iterator, Optional

import click

from sqlite_job.cli.console import styled, write_lines
from sqlite_job.cli.database import database_option, open_existing
from sqlite_job.cli.facts import json_option, log_facts, write_json, write_json_line
from sqlite_job.cli.moments import format_moment
from sqlite_job.cli.printable import printable_lines
from sqlite_job.core.notes import JobLog

if TYPE_CHECKING:
    from rich.text import Text


@click.command(short_help="Show the log records of a job.")
@click.argument("job_id", metavar="ID")
@click.option("--follow", "-f", "must_follow", is_flag=True, help="Go on with those to come, until the job has ended.")
@json_option
@database_option
def logs(job_id: str, *, must_follow: bool, as_json: bool, database: Optional[str]) -> None:
    """Show the log records that were kept of the job ID, oldest first.

    They are kept of functions with capture_logs, in the settings or in task(). With --follow and --json each record is
    one line of JSON.
    """
    inspector = open_existing(database)
    if must_follow:
        records: Iterable[JobLog] = inspector.follow_logs(job_id)
        count = _write_json_lines(records) if as_json else _write(records)
    else:
        records = inspector.logs(job_id)
        if as_json:
            write_json({"logs": [log_facts(record) for record in records]})
            return
        count = _write(records)
    if not count:
        click.echo("No log records; they are kept of functions with capture_logs=True", err=True)


def _write(records: Iterable[JobLog]) -> int:
    count, try_number = 0, 1
    for record in records:
        if record.try_number != try_number:
            try_number = record.try_number
            write_lines([styled(f"Try {try_number}", "bold")])
        write_lines(_lines(record))
        count += 1
    return count


def _write_json_lines(records: Iterable[JobLog]) -> int:
    count = 0
    for record in records:
        write_json_line(log_facts(record))
        count += 1
    return count


def _lines(record: JobLog) -> Iterator[Text]:
    first, *rest = printable_lines(record.message).split("\n")
    yield styled(f"{format_moment(record.at)} {record.level_name:<8} {record.logger}: {first}", _style(record.level))
    # Indented: no line of a message can pass for a record of its own.
    yield from (styled(f"  {line}") for line in rest)


def _style(level: int) -> str:
    if level >= logging.ERROR:
        return "bold red"
    return "yellow" if level >= logging.WARNING else ""
