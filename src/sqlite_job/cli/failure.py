"""Turn errors into one line on the standard error stream and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import contextmanager
from types import TracebackType
from typing import Iterator, NoReturn, Optional

import click

from sqlite_job.cli.exit_code import ExitCode, exit_code_of
from sqlite_job.cli.printable import printable_lines
from sqlite_job.core.errors import SQLiteJobError


class Failure(Exception):  # noqa: N818 - the end of the program, in the words of its user
    """Ends the program with `Error: message` and an exit code."""

    def __init__(self, message: str, code: ExitCode) -> None:
        """Take a message with the value and the mend."""
        super().__init__(message)
        self.code = code


@contextmanager
def failures_reported() -> Iterator[None]:
    """End the program as `ExitCode` says for whatever is raised inside."""
    try:
        yield
    except Failure as failure:
        _end(str(failure), failure.code)
    except SQLiteJobError as error:
        _end(str(error), exit_code_of(error))
    except KeyboardInterrupt:
        click.echo("\nInterrupted", err=True)
        raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None
    except BrokenPipeError:
        _drop_output()
        raise click.exceptions.Exit(ExitCode.BROKEN_PIPE) from None
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:  # noqa: BLE001 - a bug, or a hook of the settings: whoever mends it needs to see where
        trace = "".join(traceback.format_exception(type(error), error, _below_click(error.__traceback__)))
        click.echo(printable_lines(trace.rstrip()), err=True)
        name = type(error).__name__
        _end(f"unexpected {name}: {error}" if str(error) else f"unexpected {name}", ExitCode.UNEXPECTED)


def print_error(message: str) -> None:
    """Write `Error: message` on the standard error stream."""
    click.echo(f"Error: {printable_lines(message)}", err=True)


def _end(message: str, code: ExitCode) -> NoReturn:
    print_error(message)
    raise click.exceptions.Exit(code) from None


def _below_click(trace: Optional[TracebackType]) -> Optional[TracebackType]:
    """Return the part of a traceback from the command on: the way through click is of no interest."""
    step = trace
    while step is not None and not step.tb_frame.f_globals["__name__"].startswith("sqlite_job.cli.commands"):
        step = step.tb_next
    return step or trace


def _drop_output() -> None:
    """Point the output nowhere: what is still in its buffer would fail again when Python ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
