"""Turn an exception into what is kept of it: bounded texts, never an object that somebody would have to unpickle."""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Optional

from sqlite_job.core.outcomes import FailureReport

MAX_MESSAGE = 2_000
MAX_TRACEBACK = 20_000

# Frames kept of a very deep traceback, counted from where it was raised.
_MAX_FRAMES = 100


def report_failure(error: BaseException, try_number: int, own_frames: int = 0) -> FailureReport:
    """Return type, message and traceback as text; `own_frames` of ours at the top are left out. Never raises."""
    name, message = clean_text(_name(type(error)), MAX_MESSAGE), clean_text(_message(error), MAX_MESSAGE)
    return FailureReport(try_number, name, message, _traceback(error, own_frames))


def _name(kind: type) -> str:
    module = str(kind.__module__ or "builtins")  # a class made by hand may have none
    is_short = module in ("builtins", "__main__") or module.startswith("sqlite_job.")
    return kind.__qualname__ if is_short else f"{module}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - a user's __str__ may raise anything
        return "(the exception cannot be shown: its __str__ raises)"


def _traceback(error: BaseException, own_frames: int) -> str:
    trace: Optional[TracebackType] = error.__traceback__
    for _ in range(own_frames):
        trace = trace.tb_next if trace is not None else None
    try:
        text = "".join(traceback.format_exception(type(error), error, trace, limit=-_MAX_FRAMES))
    except BaseException:  # noqa: BLE001 - as above, or the recursion limit was hit again while formatting
        return "(the traceback cannot be shown)"
    if len(text) > MAX_TRACEBACK:
        # What was raised, and where, stands at the end.
        text = f"… ({len(text) - MAX_TRACEBACK:,} characters left out)\n{text[-MAX_TRACEBACK:]}"
    return clean_text(text, 2 * MAX_TRACEBACK)


def clean_text(text: str, most: int = MAX_MESSAGE) -> str:
    """Return text that every database takes: no lone surrogates, no NUL, not too long."""
    text = text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
    return text if len(text) <= most else text[: most - 1] + "…"
