"""Enqueue a job: `sqlite-job enqueue`."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import click

from sqlite_job.cli.database import database_option_beside_settings
from sqlite_job.cli.duration import parse_duration
from sqlite_job.cli.facts import job_facts, json_option, write_json
from sqlite_job.cli.function_arguments import is_negative_number, parse_arguments
from sqlite_job.cli.preview import preview_job_call
from sqlite_job.cli.printable import printable_line
from sqlite_job.cli.settings_path import load_settings
from sqlite_job.cli.waiting import report_end, wait_for_end
from sqlite_job.connections import SQLiteJob
from sqlite_job.core.errors import JobNotFoundError, did_you_mean
from sqlite_job.inspection import Inspector
from sqlite_job.settings import WorkerSettings

_EPILOG = """\b
Arguments:
  10  1.5  true  null  [1,2]  {"a":1}   a number, a bool, None, a list, a dict
  hello  2024-01-31  007                text
  '"10"'                                the text 10: JSON in shell quotes
  multiplier=3  'name="10"'             keyword arguments
  '"a=b"'                               the text a=b
  -- -x                                 the text -x: no options after --

\b
Examples:
  sqlite-job enqueue add_numbers 10 20
  sqlite-job enqueue process_data '[1, 2, 3]' multiplier=3 --delay 10m
"""


class EnqueueCommand(click.Command):
    """A command to whose arguments negative numbers belong, while a misspelt option is still an error."""

    ignore_unknown_options = True

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        """Read options and arguments; what follows `--` is never an option."""
        verbatim = len(args) - args.index("--") - 1 if "--" in args else 0
        rest = super().parse_args(ctx, args)
        if ctx.resilient_parsing:  # a line that is still being typed, and wants to be completed
            return rest
        words = [ctx.params["function"], *ctx.params["arguments"]]
        for word in words[: len(words) - verbatim]:
            if word.startswith("-") and len(word) > 1 and not is_negative_number(word):
                hint = did_you_mean(word.partition("=")[0], [name for one in self.params for name in one.opts])
                message = f"No such option: {word}{hint}; to give it to the function, write -- before the arguments"
                raise click.UsageError(message, ctx)
        return rest


@click.command(cls=EnqueueCommand, short_help="Enqueue a call of a function.", epilog=_EPILOG)
@click.argument("function")
@click.argument("arguments", nargs=-1, metavar="[ARGUMENTS]...")
@click.option(
    "--settings", metavar="MODULE.CLASS", help="Check the name against these settings, and use their database."
)
@click.option("--queue", metavar="NAME", help="Queue to put the job in.  [default: the function's own, or default]")
@click.option(
    "--delay",
    type=parse_duration,
    metavar="DURATION",
    help="Run it no sooner than this from now: seconds, or 10m, 2h, 1d.",
)
@click.option("--priority", type=int, help="Higher runs first.  [default: 0]")
@click.option("--job-id", metavar="ID", help="An id of your own; a job that has it already is left as it is.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag to find the job by; may be repeated.")
@click.option(
    "--expires",
    type=parse_duration,
    metavar="DURATION",
    help="Do not start it any more when so much time has passed since it could: seconds, or 10m, 2h, 1d.",
)
@click.option("--unique", metavar="KEY", help="Store no second job with this key until the first has ended.")
@click.option("--group", metavar="NAME", help="Run the jobs of this group one after the other.")
@click.option("--wait", "must_wait", is_flag=True, help="Wait for the job to end, and show its result.")
@json_option
@database_option_beside_settings
def enqueue(
    function: str,
    arguments: Tuple[str, ...],
    *,
    settings: Optional[str],
    database: Optional[str],
    must_wait: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Enqueue a call of FUNCTION, by its name, and print the job's id.

    Each argument is read as JSON if it is JSON, and is text if it is not; key=value is a keyword argument.
    """
    args, kwargs = parse_arguments(arguments)
    worker_settings = None if settings is None else load_settings(settings, database)
    inspector = Inspector(database if worker_settings is None else worker_settings.location)
    verb, place = _verb(inspector, options["job_id"]), _place(inspector)
    jobs = _open_queue(inspector.database, worker_settings).with_options(**options)
    began = inspector.now()
    job = jobs.enqueue(function, *args, **kwargs).info()
    if options["unique"] is not None and job.created_at < began:
        verb = f"There is a job with the key {options['unique']!r} already, left as it is:"
    click.echo(printable_line(f"{verb} {preview_job_call(job)} in the queue {job.queue!r} of {place}"), err=True)
    if must_wait:
        report_end(wait_for_end(inspector, job.id, None), as_json=as_json)
    elif as_json:
        write_json(job_facts(job))
    else:
        click.echo(printable_line(job.id))


def _open_queue(location: str, settings: Optional[WorkerSettings]) -> SQLiteJob:
    if settings is not None:
        return SQLiteJob("default", settings)
    # What comes from a command line is JSON or text, so any worker may decode it, also one that refuses pickles.
    return SQLiteJob(database=location, serializer="json")


def _verb(inspector: Inspector, own_id: Optional[str]) -> str:
    if own_id is None or not inspector.exists():
        return "Enqueued"
    try:
        inspector.job(own_id)
    except JobNotFoundError:
        return "Enqueued"
    return f"There is a job {own_id!r} already, left as it is:"


def _place(inspector: Inspector) -> str:
    # A misspelt path makes a database where no worker looks.
    return inspector.location if inspector.exists() else f"the new database {inspector.location}"
