"""Move a queue to another database: `sqlite-job move`."""

from __future__ import annotations

from dataclasses import asdict
from typing import List, Union

import click

from sqlite_job.cli.facts import json_option, write_json
from sqlite_job.cli.printable import printable_line
from sqlite_job.cli.progress import progress_bar
from sqlite_job.core.moves import Moved, TakenBack
from sqlite_job.moving import move as move_queue
from sqlite_job.moving import undo as undo_move

_EPILOG = "\b\nExample:\n  sqlite-job move jobs.db 'postgresql://me@db.example/shop?schema=jobs'"


@click.command(short_help="Move a queue to another database.", epilog=_EPILOG)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option("--undo", is_flag=True, help="Let SRC be used again after a move to DST, which then cannot be used.")
@click.option("--force", is_flag=True, help="With --undo: do not look at DST, which is lost.")
@json_option
def move(source: str, target: str, *, undo: bool, force: bool, as_json: bool) -> None:
    """Move all jobs from SRC to DST, each a file or the URL of PostgreSQL; SRC cannot be used any more then.

    Ids, results, history, schedules and pauses are kept, and compared row by row. Stop the workers first; DST must be
    empty, and is made if it is not there. Cut off before its end, the same command goes on.
    """
    if force and not undo:
        raise click.UsageError("--force goes with --undo: a move never writes over what is there")
    done: Union[Moved, TakenBack]
    with progress_bar() as show:
        if undo:
            done = undo_move(source, target, force=force, on_progress=show)
        else:
            done = move_queue(source, target, on_progress=show)
    if as_json:
        write_json(asdict(done))
        return
    for line in _describe(done, force=force):
        click.echo(printable_line(line))


def _describe(done: Union[Moved, TakenBack], *, force: bool) -> List[str]:
    if isinstance(done, TakenBack):
        end = f"nobody has looked at {done.target}" if force else f"{done.target} cannot be used any more"
        return [f"Took the queue back to {done.source}; {end}"]
    others = sum(done.rows.values()) - done.jobs
    return [
        f"Moved {_count(done.jobs, 'job')} and {_count(others, 'other row')} from {done.source} to {done.target}",
        f"Both have the same rows (checksum {done.checksum}). Use the new address: the old one only names it",
    ]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
