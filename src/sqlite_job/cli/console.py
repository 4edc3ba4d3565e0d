"""Write tables and styled lines with rich: for terminals in colour and to their width, else plain and uncut."""

from __future__ import annotations

import sys
from io import StringIO
from typing import TYPE_CHECKING, Iterable, NamedTuple, Sequence

import click

from sqlite_job.cli.printable import printable_line
from sqlite_job.core.states import JobStatus

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

# Wider than any row: in a pipe each row stays on one line, uncut, for grep and awk.
_UNCUT = 100_000

_STYLES = {
    JobStatus.PENDING: "yellow",
    JobStatus.SCHEDULED: "blue",
    JobStatus.BLOCKED: "magenta",
    JobStatus.RUNNING: "cyan",
    JobStatus.COMPLETED: "green",
    JobStatus.FAILED: "bold red",
    JobStatus.CANCELLED: "dim",
}


class Column(NamedTuple):
    """A column of a table; only a flexible one is cut where the terminal is narrow."""

    header: str
    is_flexible: bool = False
    is_number: bool = False


def terminal_width() -> int:
    """Return the width of the terminal; where there is none, more than any row needs."""
    return _open_console().width


def write_lines(lines: Iterable[Text]) -> None:
    """Write lines, which the terminal breaks where they are too long."""
    console = _open_console()
    for line in lines:
        console.print(line, soft_wrap=True)
    _write(console)


def write_table(columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> None:
    """Write a table with one line for each row."""
    console = _open_console()
    console.print(_open_table(columns, rows), crop=False)
    _write(console)


def echo_lines(text: str) -> None:
    """Write text line by line: of one long write, an unbuffered stream silently drops what a pipe does not take."""
    for line in text.rstrip("\n").split("\n"):
        click.echo(line.rstrip())


def styled(value: object, style: str = "") -> Text:
    """Return a value from the database or the user as text on one line."""
    from rich.text import Text

    return Text(printable_line(str(value)), style=style)


def labelled(label: str, value: Text) -> Text:
    """Return a line with a label in front of its value."""
    from rich.text import Text

    return Text.assemble((label, "bold"), value)


def styled_status(status: JobStatus) -> Text:
    """Return a status in its colour."""
    return styled(status, _STYLES[status])


def _open_table(columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for position, column in enumerate(columns):
        longest = max([len(column.header), *(row[position].cell_len for row in rows)])
        table.add_column(
            column.header,
            justify="right" if column.is_number else "left",
            no_wrap=not column.is_flexible,
            min_width=None if column.is_flexible else longest,
        )
    for row in rows:
        table.add_row(*map(_as_cell, row))
    return table


def _as_cell(text: Text) -> Text:
    cell = text.copy()
    cell.no_wrap, cell.overflow = True, "ellipsis"
    return cell


def _open_console() -> Console:
    """Return a console that interprets nothing of what it is given, and keeps what it renders.

    Rich itself would end the program by a code of its own when the reader of the output went away.
    """
    from rich.console import Console

    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return Console(
        file=StringIO(),
        force_terminal=is_terminal,
        width=None if is_terminal else _UNCUT,
        markup=False,
        emoji=False,
        highlight=False,
    )


def _write(console: Console) -> None:
    assert isinstance(console.file, StringIO)  # noqa: S101 - for the type checker
    echo_lines(console.file.getvalue())
