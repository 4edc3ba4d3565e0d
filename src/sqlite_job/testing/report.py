"""Describe what was expected and what was enqueued, for the person whose test failed."""

from __future__ import annotations

from reprlib import Repr
from typing import TYPE_CHECKING, Any, List, Mapping, Sequence

from sqlite_job.core.errors import DecodeError

if TYPE_CHECKING:
    from sqlite_job.testing.assertions import EnqueuedJob
    from sqlite_job.testing.expectation import Expectation

# What fits on a screen; the nearest stand first.
_MOST_SHOWN = 10

_short = Repr()
_short.maxstring = _short.maxother = 120
_short.maxdict = _short.maxlist = _short.maxtuple = 10


def describe_missing(wanted: Expectation, everything: Sequence[EnqueuedJob]) -> str:
    """Return the message for a job that is not there."""
    return f"No such job was enqueued: {_describe(wanted)}\n\n{_list_all(wanted, everything)}"


def describe_wrong_count(
    wanted: Expectation, count: int, found: Sequence[EnqueuedJob], everything: Sequence[EnqueuedJob]
) -> str:
    """Return the message for matching jobs of another number."""
    text = f"Expected {_jobs(count)}, and {len(found)} {_were(len(found))} enqueued: {_describe(wanted)}"
    return f"{text}\n\n{_list_all(wanted, everything)}"


def describe_unexpected(wanted: Expectation, found: Sequence[EnqueuedJob]) -> str:
    """Return the message for jobs that should not be there."""
    lines = _lines(wanted, found)
    return f"Expected no such job: {_describe(wanted)}\n\n{_jobs(len(found))} {_were(len(found))} enqueued:\n{lines}"


def _list_all(wanted: Expectation, everything: Sequence[EnqueuedJob]) -> str:
    if not everything:
        return "Nothing was enqueued at all in this database."
    nearest = sorted(everything, key=lambda job: _distance(wanted, job))
    return f"{_jobs(len(everything))} {_were(len(everything))} enqueued, nearest first:\n{_lines(wanted, nearest)}"


def _distance(wanted: Expectation, job: EnqueuedJob) -> Any:
    is_other = wanted.function not in (None, job.function)
    return is_other, len(list(wanted.differences(job))) - wanted.likeness(job)


def _lines(wanted: Expectation, jobs: Sequence[EnqueuedJob]) -> str:
    lines = [_line(wanted, job) for job in jobs[:_MOST_SHOWN]]
    if len(jobs) > _MOST_SHOWN:
        lines.append(f"  and {len(jobs) - _MOST_SHOWN:,} more")
    return "\n".join(lines)


def _line(wanted: Expectation, job: EnqueuedJob) -> str:
    try:
        call = _call(job.function, job.args, job.kwargs)
    except DecodeError:
        call = f"{job.function}({job.info.arguments or '...'})"
    differences = ", ".join(wanted.differences(job))
    return f"  {call}  <- {differences}" if differences else f"  {call}  <- matches"


def _describe(wanted: Expectation) -> str:
    name = wanted.function or "any function"
    call = name if wanted.arguments is None else _call(name, *wanted.arguments)
    options = ", ".join(f"{option}={_short.repr(value)}" for option, value in wanted.options_said().items())
    arguments = ", with whatever arguments" if wanted.arguments is None and wanted.function else ""
    return f"{call}{arguments}" + (f", with {options}" if options else "")


def _call(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    shown: List[str] = [_short.repr(value) for value in args]
    shown += [f"{key}={_short.repr(value)}" for key, value in kwargs.items()]
    return f"{name}({', '.join(shown)})"


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
