"""Gather the commands into one program, and say what its exit codes mean."""

from __future__ import annotations

import io
import sys
from typing import Any, Optional

import click

from sqlite_job import __version__
from sqlite_job.cli.commands.backup import backup, restore
from sqlite_job.cli.commands.doctor import doctor
from sqlite_job.cli.commands.enqueue import enqueue
from sqlite_job.cli.commands.jobs import list_jobs, show
from sqlite_job.cli.commands.logs import logs
from sqlite_job.cli.commands.move import move
from sqlite_job.cli.commands.operate import cancel, delete, requeue
from sqlite_job.cli.commands.outcome import result, wait
from sqlite_job.cli.commands.prune import prune
from sqlite_job.cli.commands.queues import pause, resume
from sqlite_job.cli.commands.schedules import schedules
from sqlite_job.cli.commands.status import status
from sqlite_job.cli.commands.worker import worker
from sqlite_job.cli.database import database_option
from sqlite_job.cli.exit_code import MEANINGS
from sqlite_job.cli.failure import failures_reported

_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code.value:<4} {meaning}" for code, meaning in MEANINGS.items())


class Program(click.Group):
    """A group whose commands end with the exit codes of `ExitCode`, and in the order they were added."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the program's own options, and print its help."""
        with failures_reported():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with failures_reported():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of a job's life."""
        del ctx
        return list(self.commands)


@click.group(cls=Program, epilog=_EPILOG, context_settings={"help_option_names": ["--help", "-h"]})
@database_option
@click.version_option(__version__, "-V", "--version", prog_name="sqlite-job", message="%(prog)s %(version)s")
def program(database: Optional[str]) -> None:
    """Enqueue jobs, run workers, and look at what is in the queue's database."""
    del database  # each command asks for its own, which is this one where it has none


for command in (
    worker,
    enqueue,
    status,
    list_jobs,
    show,
    logs,
    wait,
    result,
    cancel,
    requeue,
    delete,
    schedules,
    prune,
    pause,
    resume,
    doctor,
    backup,
    restore,
    move,
):
    program.add_command(command)


def main() -> None:
    """Run the command line, and exit with one of `ExitCode`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an ASCII terminal is no reason to fail
    program()
