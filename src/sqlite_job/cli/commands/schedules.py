"""Look at schedules, and make them: `sqlite-job schedules`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Iterator, List, Optional, Tuple

import click

from sqlite_job.cli.commands.enqueue import EnqueueCommand
from sqlite_job.cli.console import Column, labelled, styled, write_lines, write_table
from sqlite_job.cli.database import database_option, database_option_beside_settings, open_existing
from sqlite_job.cli.duration import parse_duration
from sqlite_job.cli.facts import job_facts, json_option, schedule_facts, write_json
from sqlite_job.cli.function_arguments import parse_arguments
from sqlite_job.cli.moments import format_moment
from sqlite_job.cli.preview import preview_call
from sqlite_job.cli.printable import printable_line
from sqlite_job.cli.settings_path import load_settings
from sqlite_job.connections import SQLiteJob
from sqlite_job.core.schedule_info import ScheduleInfo
from sqlite_job.core.schedules import MISFIRES, ScheduleEntry, cron, every

if TYPE_CHECKING:
    from rich.text import Text

_COLUMNS = (Column("Name"), Column("When"), Column("Next"), Column("Call", is_flexible=True), Column("From"))

_NAME = click.argument("name")

_EPILOG = """\b
Examples:
  sqlite-job schedules create nightly report 7 --cron '0 3 * * *' --timezone Europe/Paris
  sqlite-job schedules create ping ping --every 30s --misfire latest
"""


@click.group(short_help="List schedules; create, pause, run and delete them.", invoke_without_command=True)
@json_option
@database_option
@click.pass_context
def schedules(context: click.Context, *, as_json: bool, database: Optional[str]) -> None:
    """List the schedules of a database with their next times; the commands below change them.

    What is listed in the settings of a worker is known here once such a worker has started.
    """
    if context.invoked_subcommand is not None:
        return
    found = open_existing(database).schedules()
    if as_json:
        write_json({"schedules": [schedule_facts(one) for one in found]})
    elif not found:
        click.echo("No schedules", err=True)
    else:
        write_table(_COLUMNS, [_row(one) for one in found])


@schedules.command(short_help="Show a schedule and its next times.")
@_NAME
@click.option("--runs", type=click.IntRange(0), default=5, metavar="N", help="So many next times.  [default: 5]")
@json_option
@database_option
def show(name: str, *, runs: int, as_json: bool, database: Optional[str]) -> None:
    """Show all that is known of the schedule NAME, and its next times."""
    found = open_existing(database).schedule(name)
    times = found.next_times(runs)
    if as_json:
        write_json({**schedule_facts(found), "next_times": times})
        return
    facts = [(label, value) for label, value in _facts(found) if value]
    widest = max(len(label) for label, _ in facts)
    write_lines([labelled(label.ljust(widest + 2), styled(value)) for label, value in facts])
    if times:
        click.echo()
        write_lines([styled(_moment_of(found, time)) for time in times])


@schedules.command(cls=EnqueueCommand, short_help="Make a schedule.", epilog=_EPILOG)
@_NAME
@click.argument("function")
@click.argument("arguments", nargs=-1, metavar="[ARGUMENTS]...")
@click.option("--cron", "expression", metavar="EXPRESSION", help="When: five fields, or six with seconds, or @daily.")
@click.option("--every", type=parse_duration, metavar="DURATION", help="Or how often: seconds, or 10m, 2h, 1d.")
@click.option("--timezone", metavar="ZONE", help="Where the expression is meant.  [default: UTC, or the settings']")
@click.option("--misfire", type=click.Choice(MISFIRES), default="skip", help="What to do about missed times.")
@click.option("--max-late", type=parse_duration, metavar="DURATION", help="Run no time that is older than this.")
@click.option("--jitter", type=parse_duration, metavar="DURATION", help="Let each job wait a random time up to this.")
@click.option("--queue", metavar="NAME", help="Queue for its jobs.  [default: the function's own, or default]")
@click.option("--priority", type=int, help="Higher runs first.  [default: 0]")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag for its jobs; may be repeated.")
@click.option("--replace", is_flag=True, help="Change the schedule of this name, if there is one.")
@click.option("--settings", metavar="MODULE.CLASS", help="Check the function, and use the database and serializer.")
@json_option
@database_option_beside_settings
def create(
    name: str,
    function: str,
    arguments: Tuple[str, ...],
    *,
    replace: bool,
    settings: Optional[str],
    as_json: bool,
    database: Optional[str],
    **options: Any,
) -> None:
    """Make a schedule NAME that calls FUNCTION, with arguments as for `enqueue`.

    It makes jobs while a worker runs that has the function.
    """
    args, kwargs = parse_arguments(arguments)
    entry = _entry(name, function, args, kwargs, **options)
    made = _open(settings, database).schedules.create(entry, replace=replace)
    _report("Created", made, as_json=as_json)


@schedules.command(short_help="Let a schedule make no jobs.")
@_NAME
@json_option
@database_option
def pause(name: str, *, as_json: bool, database: Optional[str]) -> None:
    """Let the schedule NAME make no jobs until it is resumed; restarts of workers change nothing about that."""
    _report("Paused", _open_existing(database).schedules.pause(name), as_json=as_json)


@schedules.command(short_help="Let a paused schedule go on.")
@_NAME
@json_option
@database_option
def resume(name: str, *, as_json: bool, database: Optional[str]) -> None:
    """Let the schedule NAME go on from now; what was due in the pause is not made up for."""
    _report("Resumed", _open_existing(database).schedules.resume(name), as_json=as_json)


@schedules.command(short_help="Enqueue a job of a schedule now.")
@_NAME
@click.option("--settings", metavar="MODULE.CLASS", help="For signed arguments: the settings that have the keys.")
@json_option
@database_option_beside_settings
def run(name: str, *, settings: Optional[str], as_json: bool, database: Optional[str]) -> None:
    """Enqueue a job of the schedule NAME now, also while that is paused, and print the job's id."""
    jobs = _open_existing(database) if settings is None else _open(settings, database)
    job = jobs.schedules.run_now(name)
    if as_json:
        write_json(job_facts(job.info()))
    else:
        click.echo(printable_line(job))


@schedules.command(short_help="Delete a schedule.")
@_NAME
@click.option("--force", is_flag=True, help="Also one that settings list; a worker that lists it brings it back.")
@json_option
@database_option
def delete(name: str, *, force: bool, as_json: bool, database: Optional[str]) -> None:
    """Delete the schedule NAME; the jobs that it made stay."""
    _open_existing(database).schedules.delete(name, force=force)
    if as_json:
        write_json({"deleted": name})
    else:
        click.echo(f"Deleted {printable_line(name)}")


def _entry(
    name: str, function: str, args: List[Any], kwargs: Any, *, expression: Optional[str], **options: Any
) -> ScheduleEntry:
    seconds, timezone = options.pop("every"), options.pop("timezone")
    if (expression is None) == (seconds is None):
        raise click.UsageError("Give --cron or --every, and not both.")
    if expression is not None:
        return cron(expression, function, args, kwargs, name=name, timezone=timezone, **options)
    if timezone is not None:
        raise click.UsageError("--timezone goes with --cron: an interval is the same in every zone.")
    return every(seconds, function, args, kwargs, name=name, **options)


def _open(settings: Optional[str], database: Optional[str]) -> SQLiteJob:
    if settings is not None:
        return SQLiteJob("default", load_settings(settings, database))
    # As for `enqueue`: any worker may decode it, also one that refuses pickles.
    return SQLiteJob(database=database, serializer="json")


def _open_existing(database: Optional[str]) -> SQLiteJob:
    return SQLiteJob(database=open_existing(database).database, serializer="json")


def _report(done: str, schedule: ScheduleInfo, *, as_json: bool) -> None:
    if as_json:
        write_json(schedule_facts(schedule))
    else:
        click.echo(printable_line(f"{done} {schedule.name}: {_when(schedule)}; next {_next(schedule)}"))


def _row(schedule: ScheduleInfo) -> List[Text]:
    return [
        styled(schedule.name),
        styled(_when(schedule)),
        styled(_next(schedule), "yellow" if schedule.is_paused else ""),
        styled(preview_call(schedule.function, schedule.arguments)),
        styled(schedule.origin or "run time", "" if schedule.origin else "dim"),
    ]


def _when(schedule: ScheduleInfo) -> str:
    zone = "" if schedule.every is not None or schedule.timezone == "UTC" else f" ({schedule.timezone})"
    return f"{schedule.description}{zone}"


def _next(schedule: ScheduleInfo) -> str:
    if schedule.is_paused:
        return "paused"
    return "never" if schedule.next_at is None else _moment_of(schedule, schedule.next_at)


def _moment_of(schedule: ScheduleInfo, moment: datetime) -> str:
    """Return a moment on the clocks of this machine: whole seconds, unless the schedule has others."""
    text = format_moment(moment)
    return text.replace(".000", "") if schedule.cron is not None else text


def _facts(schedule: ScheduleInfo) -> Iterator[Tuple[str, str]]:
    yield "Name", schedule.name
    yield "Call", preview_call(schedule.function, schedule.arguments)
    yield "When", _when(schedule)
    yield "Cron", schedule.cron or ""
    yield "Misfire", schedule.misfire
    yield "Max late", _seconds(schedule.max_late)
    yield "Jitter", _seconds(schedule.jitter)
    yield "Options", ", ".join(f"{name}={value!r}" for name, value in sorted(schedule.options.items()))
    yield "From", schedule.origin or "made at run time"
    yield "Created", format_moment(schedule.created_at)
    yield "Paused", format_moment(schedule.paused_at) if schedule.paused_at else ""
    yield "Last", _moment_of(schedule, schedule.last_at) if schedule.last_at else ""
    yield "Last job", schedule.last_job_id or ""
    yield "Next", _next(schedule)


def _seconds(duration: Optional[float]) -> str:
    return "" if duration is None else f"{duration:g} s"
