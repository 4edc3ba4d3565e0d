"""Look for what is wrong with a database: `sqlite-job doctor`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Iterator, List, Optional

import click

from sqlite_job.cli.console import styled, write_lines
from sqlite_job.cli.database import database_option, open_whatever_is_there
from sqlite_job.cli.exit_code import ExitCode
from sqlite_job.cli.facts import json_option, write_json
from sqlite_job.cli.printable import printable_line
from sqlite_job.core.findings import Finding, Level

if TYPE_CHECKING:
    from rich.text import Text

_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "bold red"}
_CODES = {Level.OK: ExitCode.OK, Level.WARNING: ExitCode.WARNINGS, Level.ERROR: ExitCode.WRONG}

_LEVEL_WIDTH = 9
_CHECK_WIDTH = 14


@click.command(short_help="Look for what is wrong with the database.")
@click.option("--full", is_flag=True, help="Check every page and index; reads the whole file.")
@json_option
@database_option
def doctor(*, full: bool, as_json: bool, database: Optional[str]) -> None:
    """Look for what is wrong with the database, its files, its disk and its workers, and say what mends it.

    Nothing is changed. The exit code is 0 when all is well, 8 with warnings, 9 when something is wrong.
    """
    inspector = open_whatever_is_there(database)
    findings = inspector.examine(full=full)
    worst = _worst(findings)
    if as_json:
        write_json(
            {"database": inspector.location, "level": worst.value, "findings": [asdict(one) for one in findings]}
        )
    else:
        click.echo(printable_line(f"Database {inspector.location}"))
        click.echo()
        write_lines([line for finding in findings for line in _lines(finding)])
        click.echo()
        click.echo(_summary(findings))
    if worst is not Level.OK:
        raise click.exceptions.Exit(_CODES[worst])


def _worst(findings: List[Finding]) -> Level:
    found = {finding.level for finding in findings}
    return next((level for level in (Level.ERROR, Level.WARNING) if level in found), Level.OK)


def _lines(finding: Finding) -> Iterator[Text]:
    from rich.text import Text

    level = Text(finding.level.value.ljust(_LEVEL_WIDTH), style=_STYLES[finding.level])
    yield Text.assemble(level, finding.check.ljust(_CHECK_WIDTH), styled(finding.message))
    if finding.mend:
        yield Text.assemble(" " * (_LEVEL_WIDTH + _CHECK_WIDTH), "-> ", styled(finding.mend))


def _summary(findings: List[Finding]) -> str:
    counts = Counter(finding.level for finding in findings)
    named = [
        f"{counts[level]} {level}{'' if counts[level] == 1 else 's'}"
        for level in (Level.ERROR, Level.WARNING)
        if counts[level]
    ]
    return ", ".join(named) or "All is well"
