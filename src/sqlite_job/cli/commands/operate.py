"""Change jobs by hand: `sqlite-job cancel`, `requeue` and `delete`."""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence

import click

from sqlite_job.cli.database import database_option, open_existing
from sqlite_job.cli.exit_code import ExitCode, exit_code_of
from sqlite_job.cli.facts import json_option, write_json
from sqlite_job.cli.failure import print_error
from sqlite_job.cli.printable import printable_line
from sqlite_job.connections import SQLiteJob
from sqlite_job.core.errors import JobNotFoundError, JobStateError

_IDS = click.argument("job_ids", metavar="ID...", nargs=-1, required=True)


_REQUEUE_EPILOG = "\b\nExample:\n  sqlite-job list --status failed --ids | xargs sqlite-job requeue"


@click.command(short_help="Run finished jobs again.", epilog=_REQUEUE_EPILOG)
@_IDS
@json_option
@database_option
def requeue(job_ids: Sequence[str], *, as_json: bool, database: Optional[str]) -> None:
    """Run finished jobs again, each from its first try; results are dropped, the history of failures is kept.

    Jobs that cannot be requeued are named, the others are requeued all the same, and the exit code is that of the first
    problem.
    """
    jobs = SQLiteJob(database=open_existing(database).database)
    _each(job_ids, jobs.requeue, "requeued", as_json=as_json)


@click.command(short_help="Delete jobs.")
@_IDS
@json_option
@database_option
def delete(job_ids: Sequence[str], *, as_json: bool, database: Optional[str]) -> None:
    """Delete jobs with their arguments, results and history; a job that runs is not deleted.

    Jobs that cannot be deleted are named, the others are deleted all the same, and the exit code is that of the first
    problem.
    """
    jobs = SQLiteJob(database=open_existing(database).database)
    _each(job_ids, jobs.delete, "deleted", as_json=as_json)


@click.command(short_help="Cancel jobs.")
@_IDS
@click.option("--reason", metavar="TEXT", help="Why; kept with the job.")
@json_option
@database_option
def cancel(job_ids: Sequence[str], *, reason: Optional[str], as_json: bool, database: Optional[str]) -> None:
    """Cancel jobs: those that wait at once; those that run are told within a second, and stopped if they do not.

    Jobs that have ended already are named, the others are cancelled all the same, and the exit code is that of the
    first problem.
    """
    jobs = SQLiteJob(database=open_existing(database).database)

    def cancel_one(job_id: str) -> None:
        if not jobs.cancel(job_id, reason):
            raise JobStateError("cancel", job_id, jobs.get_job(job_id).status, "it has ended already")

    _each(job_ids, cancel_one, "cancelled", as_json=as_json)


def _each(job_ids: Sequence[str], change: Callable[[str], object], done: str, *, as_json: bool) -> None:
    changed: List[str] = []
    problems: List[Dict[str, str]] = []
    code = ExitCode.OK
    for job_id in dict.fromkeys(job_ids):
        try:
            change(job_id)
        except (JobNotFoundError, JobStateError) as error:
            code = code or exit_code_of(error)
            problems.append({"id": job_id, "error": str(error)})
            print_error(str(error))
        else:
            changed.append(job_id)
            if not as_json:
                click.echo(f"{done.capitalize()} {printable_line(job_id)}")
    if as_json:
        write_json({done: changed, "problems": problems})
    if code:
        raise click.exceptions.Exit(code)
