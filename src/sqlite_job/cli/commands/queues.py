"""Stop and start the work on queues: `sqlite-job pause` and `resume`."""

from __future__ import annotations

from typing import Callable, Optional, Sequence

import click

from sqlite_job.cli.database import database_option, open_existing
from sqlite_job.cli.facts import json_option, write_json
from sqlite_job.cli.printable import printable_line
from sqlite_job.connections import SQLiteJob

_QUEUES = click.argument("queues", metavar="QUEUE...", nargs=-1, required=True)


@click.command(short_help="Let no worker take jobs from queues.")
@_QUEUES
@json_option
@database_option
def pause(queues: Sequence[str], *, as_json: bool, database: Optional[str]) -> None:
    """Let no worker take jobs from these queues until they are resumed.

    Jobs that run go on; those that a worker had taken but not started go back. A queue may be paused before it has
    jobs. `sqlite-job status` shows what is paused.
    """
    jobs = SQLiteJob(database=open_existing(database).database)
    _each(queues, jobs.pause, "paused", "was paused already", as_json=as_json)


@click.command(short_help="Let workers take jobs from paused queues again.")
@_QUEUES
@json_option
@database_option
def resume(queues: Sequence[str], *, as_json: bool, database: Optional[str]) -> None:
    """Let workers take jobs from these queues again, at once."""
    jobs = SQLiteJob(database=open_existing(database).database)
    _each(queues, jobs.resume, "resumed", "was not paused", as_json=as_json)


def _each(queues: Sequence[str], change: Callable[[str], bool], done: str, otherwise: str, *, as_json: bool) -> None:
    changes = {queue: change(queue) for queue in dict.fromkeys(queues)}
    if as_json:
        changed = [queue for queue, is_changed in changes.items() if is_changed]
        write_json({done: changed, "unchanged": [queue for queue in changes if queue not in changed]})
        return
    for queue, is_changed in changes.items():
        name = printable_line(repr(queue))
        if is_changed:
            click.echo(f"{done.capitalize()} the queue {name}")
        else:
            click.echo(f"The queue {name} {otherwise}", err=True)
