"""Check what `cron` and `every` were given, and make the schedule that is stored."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from sqlite_job.core.clock import SECOND
from sqlite_job.core.errors import InvalidNameError, InvalidOptionError, UnknownFunctionError
from sqlite_job.core.job_maker import JobMaker, Resolved
from sqlite_job.core.names import MAX_CHARACTERS, check_name
from sqlite_job.core.options import JobOptions, check_options
from sqlite_job.core.retries import to_seconds
from sqlite_job.core.schedules import MISFIRES, Plan, Schedule, ScheduleEntry, dump_options, payload_id
from sqlite_job.core.tasks import Task, as_task

# A job's id is the schedule's name and the slot: nightly@2026-11-24T03:00:00.000000Z.
_LONGEST_NAME = MAX_CHARACTERS - len("@2026-11-24T03:00:00.000000Z")

# Each slot is a commit: below this a worker would do little else.
_SHORTEST_INTERVAL = 0.01

_HOW = "write cron('0 3 * * *', function) or every(60, function)"


class CheckedEntry(NamedTuple):
    """An entry in which nothing is wrong."""

    name: str
    entry: ScheduleEntry
    plan: Plan
    options: JobOptions


def check_entries(entries: Any, functions: Any, owner: str, timezone: Any) -> Tuple[List[CheckedEntry], List[str]]:
    """Return the checked entries of settings, and all that is wrong with them."""
    if isinstance(entries, (str, bytes)) or not isinstance(entries, (list, tuple)):
        return [], [f"cron_jobs is a list of schedules, not {entries!r}; {_HOW}"]
    tasks = [as_task(one) for one in functions if callable(one)] if isinstance(functions, (list, tuple)) else []
    checked: Dict[str, CheckedEntry] = {}
    problems: List[str] = []
    for entry in entries:
        if not isinstance(entry, ScheduleEntry):
            problems.append(f"cron_jobs has {entry!r}, which is no schedule; {_HOW}")
            continue
        one, wrong = check_entry(entry, timezone, lambda function: _find(function, tasks, owner))
        problems += [f"schedule {one.name!r}: {problem}" for problem in wrong]
        if one.name in checked:
            problems.append(f"two schedules are named {one.name!r}; give one another name: cron(..., name='...')")
        checked[one.name] = one
    return list(checked.values()), problems


def check_entry(
    entry: ScheduleEntry, timezone: Any, find: Callable[[Any], Optional[Callable[..., Any]]]
) -> Tuple[CheckedEntry, List[str]]:
    """Return an entry with what is wrong with it; `find` returns the code of its function, if that is known here."""
    problems: List[str] = []
    found = None
    try:
        found = find(entry.function)
    except (UnknownFunctionError, InvalidNameError) as error:
        problems.append(str(error))
    name = _name_of(entry, problems)
    problems += _wrong_arguments(entry, found)
    plan = _check_plan(entry, timezone, problems)
    return CheckedEntry(name, entry, plan, _check_options(entry, problems)), problems


def make_schedule(checked: CheckedEntry, resolved: Resolved, origin: Optional[str], maker: JobMaker) -> Schedule:
    """Return a schedule, not due yet, with its arguments encoded; raises EncodeError or PayloadTooLargeError."""
    args, kwargs = tuple(checked.entry.args), dict(checked.entry.kwargs or {})
    options = checked.options
    if options.queue is None:
        options = replace(options, queue=resolved.queue)
    if options.priority is None:
        options = replace(options, priority=resolved.priority)
    return Schedule(
        checked.name,
        origin,
        *checked.plan,
        function=resolved.name,
        codec=maker.codec,
        args=maker.encode(resolved.name, payload_id(checked.name), args, kwargs),
        preview=maker.preview(resolved.name, resolved.parameters, args, kwargs),
        options=dump_options(options),
    )


def _find(function: Any, tasks: Sequence[Task[..., Any]], owner: str) -> Callable[..., Any]:
    for task in tasks:
        if isinstance(function, str):
            is_it = task.name == function
        elif isinstance(function, Task):
            is_it = task.name == function.name and task.function == function.function
        else:
            is_it = task.function is function
        if is_it:
            return task.function
    if not isinstance(function, str) and not callable(function):
        raise InvalidNameError(f"a schedule runs a function, or its name, not {function!r}")
    raise UnknownFunctionError(
        _default_name(function) or repr(function), owner, [task.name for task in tasks if task.name is not None]
    )


def _check_plan(entry: ScheduleEntry, timezone: Any, problems: List[str]) -> Plan:
    """Return when an entry is due, with what is wrong about it added to `problems`."""
    zone = timezone if entry.timezone is None else entry.timezone
    if entry.cron is None:
        zone = "UTC"  # an interval asks no clock of a zone
    plan = Plan(
        cron=entry.cron,
        every=_duration("every", entry.every, problems, _SHORTEST_INTERVAL) if entry.cron is None else None,
        timezone=zone if isinstance(zone, str) else str(getattr(zone, "key", zone)),
        misfire=entry.misfire,
        max_late=None if entry.max_late is None else _duration("max_late", entry.max_late, problems),
        jitter=None if entry.jitter is None else _duration("jitter", entry.jitter, problems),
    )
    if entry.misfire not in MISFIRES:
        problems.append(f"misfire is {', '.join(map(repr, MISFIRES[:-1]))} or {MISFIRES[-1]!r}, not {entry.misfire!r}")
    if entry.cron is not None:
        problems += _wrong_times(entry)
    return plan


def _check_options(entry: ScheduleEntry, problems: List[str]) -> JobOptions:
    unsaid: Dict[str, Any] = dict.fromkeys(inspect.signature(check_options).parameters)
    try:
        return check_options(**{**unsaid, "tags": (), **entry.options})
    except (InvalidOptionError, InvalidNameError) as error:
        problems.append(str(error))
    return JobOptions()


def _wrong_arguments(entry: ScheduleEntry, function: Optional[Callable[..., Any]]) -> Iterator[str]:
    if isinstance(entry.args, (str, bytes)) or not isinstance(entry.args, (list, tuple)):
        yield f"args is a list of arguments, not {entry.args!r}"
    elif entry.kwargs is not None and not isinstance(entry.kwargs, dict):
        yield f"kwargs is a dict of arguments, not {entry.kwargs!r}"
    elif function is not None:
        try:
            inspect.signature(function).bind(*entry.args, **(entry.kwargs or {}))
        except TypeError as error:
            yield f"the function cannot be called with these arguments: {error}"
        except ValueError:  # it does not tell what it takes
            return


def _wrong_times(entry: ScheduleEntry) -> Iterator[str]:
    from sqlite_job.core.timetables import check_expression
    from sqlite_job.core.zones import find_zone

    try:
        check_expression(entry.cron)
    except InvalidOptionError as error:
        yield str(error)
    try:
        if entry.timezone is not None:
            find_zone(entry.timezone)
    except InvalidOptionError as error:
        yield str(error)


def _duration(option: str, duration: Any, problems: List[str], least: float = 0) -> int:
    try:
        seconds = to_seconds(duration)
    except (TypeError, ValueError) as error:
        problems.append(f"{option}: {error}")
        return 0
    if seconds < least:
        problems.append(f"{option} is {least:g} seconds or more, not {duration!r}")
    return round(seconds * SECOND)


def _name_of(entry: ScheduleEntry, problems: List[str]) -> str:
    """Return the name of a schedule, or what it can be called in a message."""
    name = _default_name(entry.function) if entry.name is None else entry.name
    if name is None:
        if callable(entry.function):
            problems.append("the function has no name of its own; give the schedule one: name='...'")
        return repr(entry.function)
    try:
        checked = check_name(name, "schedule name")
        if len(checked) > _LONGEST_NAME:
            message = f"A schedule name may have {_LONGEST_NAME} characters, this one has {len(checked)}"
            problems.append(f"{message}; give it another: name='...'")
    except InvalidNameError as error:
        problems.append(str(error))
    return str(name)


def _default_name(function: Any) -> Optional[str]:
    if isinstance(function, str):
        return function
    return as_task(function).name if callable(function) else None
