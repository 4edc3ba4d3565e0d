"""See what became of a job: `sqlite-job wait` and `sqlite-job result`."""

from __future__ import annotations

from typing import Optional

import click

from sqlite_job.cli.database import database_option, open_existing
from sqlite_job.cli.duration import parse_duration
from sqlite_job.cli.facts import json_option
from sqlite_job.cli.waiting import report_end, wait_for_end


@click.command(short_help="Wait for a job to end, and show its result.")
@click.argument("job_id", metavar="ID")
@click.option(
    "--timeout",
    type=parse_duration,
    metavar="DURATION",
    help="Wait at most this long: seconds, or 10m, 2h, 1d.  [default: for ever]",
)
@json_option
@database_option
def wait(job_id: str, *, timeout: Optional[float], as_json: bool, database: Optional[str]) -> None:
    """Wait for the job ID to end, and show its result as `result` does.

    The exit code is 0 when the job completed, 1 when it failed or was cancelled, 4 when the time was
    over first; the job goes on.
    """
    report_end(wait_for_end(open_existing(database), job_id, timeout), as_json=as_json)


@click.command(short_help="Show the result of a job.")
@click.argument("job_id", metavar="ID")
@json_option
@database_option
def result(job_id: str, *, as_json: bool, database: Optional[str]) -> None:
    """Show what the completed job ID returned: its stored preview, on one line.

    Results are never decoded here, since decoding a pickle can run code. A preview has at most 200 characters, and
    a note on the standard error stream says when it leaves something out.

    The exit code is 0 when the job completed, 1 when it failed or was cancelled, 4 when it has not finished.
    """
    report_end(open_existing(database).job(job_id), as_json=as_json)
