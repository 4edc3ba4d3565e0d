"""Delete old jobs: `sqlite-job prune`."""

from __future__ import annotations

from typing import Any, Optional

import click

from sqlite_job.cli.database import database_option, open_existing
from sqlite_job.cli.duration import parse_duration
from sqlite_job.cli.facts import json_option, write_json
from sqlite_job.connections import SQLiteJob
from sqlite_job.core.states import JobStatus

_EPILOG = "\b\nExample:\n  sqlite-job prune --older-than 1d --status completed --dry-run"


@click.command(short_help="Delete old finished jobs.", epilog=_EPILOG)
@click.option(
    "--older-than",
    type=parse_duration,
    metavar="DURATION",
    help="Only jobs that ended longer ago: 90, 10m, 2h, 7d.  [default: 7d, and 30d for failed ones]",
)
@click.option(
    "--status",
    type=click.Choice([status.value for status in JobStatus if status.is_final], case_sensitive=False),
    help="Only jobs that ended so.",
)
@click.option("--function", metavar="NAME", help="Only calls of this function.")
@click.option("--queue", metavar="NAME", help="Only jobs of this queue.")
@click.option("--dry-run", is_flag=True, help="Only count them.")
@json_option
@database_option
def prune(*, as_json: bool, database: Optional[str], **options: Any) -> None:
    """Delete finished jobs that ended long ago, with their arguments, results and history.

    All of the given filters must match. Workers do this by themselves, as their settings say. It goes in short batches,
    so that workers and others go on meanwhile.
    """
    jobs = SQLiteJob(database=open_existing(database).database)
    count = jobs.prune(**options)
    if as_json:
        write_json({"pruned": count, "dry_run": options["dry_run"]})
        return
    verb = "Would prune" if options["dry_run"] else "Pruned"
    click.echo(f"{verb} {count:,} {'job' if count == 1 else 'jobs'}")
