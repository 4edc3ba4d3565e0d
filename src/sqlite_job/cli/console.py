"""Write tables and styled lines with rich: for terminals in colour and to their width, else plain and uncut."""

from __future__ import annotations

import sys
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

# What is left of a flexible column at least: below it the terminal breaks the rows.
_LEAST_FLEXIBLE = 12

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


def open_console() -> Console:
    """Return a console on the standard output stream, which interprets nothing of what it is given."""
    from rich.console import Console

    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return Console(file=sys.stdout, width=None if is_terminal else _UNCUT, markup=False, emoji=False, highlight=False)


def write_lines(console: Console, lines: Iterable[Text]) -> None:
    """Write lines, which the terminal breaks where they are too long."""
    with console.capture() as captured:
        for line in lines:
            console.print(line, soft_wrap=True)
    _write(captured.get())


def write_table(console: Console, columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> None:
    """Write a table with one line for each row."""
    table = _open_table(columns, rows)
    with console.capture() as captured:
        console.print(table, crop=False)
    _write(captured.get())


def styled(value: object, style: str = "") -> Text:
    """Return a value from the database or the user as text on one line."""
    from rich.text import Text

    return Text(printable_line(str(value)), style=style, no_wrap=True, overflow="ellipsis")


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
            min_width=min(longest, _LEAST_FLEXIBLE) if column.is_flexible else longest,
        )
    for row in rows:
        table.add_row(*row)
    return table


def _write(text: str) -> None:
    # By click, and not by rich, which would end the program with a code of its own when the reader went away.
    click.echo("\n".join(line.rstrip() for line in text.splitlines()))
