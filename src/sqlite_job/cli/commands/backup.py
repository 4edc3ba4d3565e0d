"""Copy the database, and put a copy back: `sqlite-job backup` and `sqlite-job restore`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Optional

import click

from sqlite_job.backups import back_up
from sqlite_job.backups import restore as restore_copy
from sqlite_job.cli.database import database_option, open_existing
from sqlite_job.cli.facts import json_option, write_json
from sqlite_job.cli.printable import printable_line
from sqlite_job.core.copies import Copy

_BACKUP_EPILOG = "\b\nExample:\n  sqlite-job backup /backups/jobs-$(date +%F).db"


@click.command(short_help="Copy the database while it is in use.", epilog=_BACKUP_EPILOG)
@click.argument("file", metavar="FILE")
@click.option("--force", is_flag=True, help="Write over a FILE that is there.")
@json_option
@database_option
def backup(file: str, *, force: bool, as_json: bool, database: Optional[str]) -> None:
    """Copy the database to FILE, as it is at one moment, while workers and others go on.

    The copy is checked, readable for you alone, and one file. Never copy a database in use by other means.
    """
    copy = back_up(file, open_existing(database).database, force=force)
    if as_json:
        _write_facts(copy)
        return
    click.echo(printable_line(f"Backed up {_describe(copy)} to {copy.path}"))


@click.command(short_help="Put a copy in the place of the database.")
@click.argument("file", metavar="FILE")
@click.option("--force", is_flag=True, help="Also where there is a database: it is kept under another name.")
@json_option
@database_option
def restore(file: str, *, force: bool, as_json: bool, database: Optional[str]) -> None:
    """Put a copy of the backup FILE in the place of the database.

    Stop the workers first. Jobs that were running when the backup was made run again, as after a crash.
    """
    copy = restore_copy(file, database, force=force)
    if as_json:
        _write_facts(copy)
        return
    click.echo(printable_line(f"Restored {_describe(copy)} to {copy.path}"))
    if copy.replaced:
        click.echo(printable_line(f"What was there is kept as {copy.replaced}"))


def _write_facts(copy: Copy) -> None:
    write_json({**asdict(copy), "replaced": copy.replaced or None})


def _describe(copy: Copy) -> str:
    return f"{copy.jobs:,} {'job' if copy.jobs == 1 else 'jobs'} ({copy.size / 1e6:,.1f} MB, checked)"
