"""Choose the database of a command, and refuse to make one where there is only something to read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

import click

from sqlite_job.cli.exit_code import ExitCode
from sqlite_job.cli.failure import Failure
from sqlite_job.inspection import Inspector
from sqlite_job.settings import DATABASE_VARIABLE, DEFAULT_DATABASE

F = TypeVar("F", bound=Callable[..., Any])

_DEFAULT = f"${DATABASE_VARIABLE}, else {DEFAULT_DATABASE} in this folder"
_SUFFIXES = {".db", ".sqlite", ".sqlite3"}
_MOST_SHOWN = 3


def database_option(command: F) -> F:
    """Give a command `--database`; what stands before the command's name counts for it too."""
    return _option(f"Database file, or URL of PostgreSQL.  [default: {_DEFAULT}]")(command)


def database_option_beside_settings(command: F) -> F:
    """Give a command `--database` where settings may name one of their own."""
    return _option(f"Database file, or URL of PostgreSQL.  [default: that of the settings, else {_DEFAULT}]")(command)


def open_existing(database: Optional[str]) -> Inspector:
    """Return the Inspector of a database that is there; nothing is made."""
    inspector = Inspector(database)
    if not inspector.exists():
        raise Failure(_missing(inspector.location, database), ExitCode.DATABASE)
    return inspector


def open_whatever_is_there(database: Optional[str]) -> Inspector:
    """Return the Inspector of a file that is there, in whatever state it is."""
    inspector = Inspector(database)
    if not inspector.is_on_server and not Path(inspector.location).exists():
        raise Failure(_missing(inspector.location, database), ExitCode.DATABASE)
    return inspector


def _option(text: str) -> Callable[[F], F]:
    return click.option("--database", metavar="PATH", callback=_own_or_of_program, help=text)


def _own_or_of_program(context: click.Context, _parameter: click.Parameter, own: Optional[str]) -> Optional[str]:
    if own is not None or context.parent is None:
        return own
    of_program: Optional[str] = context.parent.params.get("database")
    return of_program


def _missing(location: str, database: Optional[str]) -> str:
    if database is not None:
        origin = ""
    elif os.environ.get(DATABASE_VARIABLE):
        origin = f" (from ${DATABASE_VARIABLE})"
    else:
        origin = f" (the default; choose another with --database or ${DATABASE_VARIABLE})"
    return f"There is no database {location!r}{origin}{_found_beside(location)}; the first job enqueued there makes it"


def _found_beside(location: str) -> str:
    if "://" in location:
        return ""
    try:
        found = sorted(path.name for path in Path(location).parent.iterdir() if path.suffix in _SUFFIXES)
    except OSError:
        return ""
    return f"; that folder has {', '.join(found[:_MOST_SHOWN])}" if found else ""
