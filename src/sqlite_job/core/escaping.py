"""Escape what could forge a log line or steer a terminal, in text that somebody else may have written."""

from __future__ import annotations

import logging
import re
import traceback
from typing import Match

# C0 and C1 controls, marks and overrides of direction, line separators, lone surrogates.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class EscapedLines(str):
    """Lines that are escaped already, and whose breaks a log record keeps."""

    __slots__ = ()


def escape_controls(text: str) -> str:
    r"""Return `text` on one line, with its control characters written as in Python: \n, \x1b."""
    return CONTROLS.sub(_escape, text)


def escape_lines(text: str) -> EscapedLines:
    """Return several lines, each escaped, and indented: so none of them can pass for a log line of its own."""
    return EscapedLines("\n".join([f"  {escape_controls(line)}" for line in text.rstrip().split("\n")]))


def escape_record(record: logging.LogRecord) -> bool:
    """Escape what a log record is about, and its traceback; a filter that lets every record pass.

    The sentence itself is ours, and stays: collectors of errors group by it.
    """
    if isinstance(record.args, tuple):
        record.args = tuple(map(_escape_argument, record.args))
    if record.exc_info and not record.exc_text:
        # Formatters take this text where there is one.
        record.exc_text = escape_lines("".join(traceback.format_exception(*record.exc_info)))
    return True


class _Escaped:
    """An object whose texts are escaped when a log line is made of them."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return escape_controls(str(self._value))

    def __repr__(self) -> str:
        return escape_controls(repr(self._value))


def _escape_argument(value: object) -> object:
    if isinstance(value, (int, float, EscapedLines)):
        return value
    return escape_controls(value) if isinstance(value, str) else _Escaped(value)


def _escape(found: Match[str]) -> str:
    return found.group().encode("unicode_escape").decode("ascii")


# Here, so that no writer of a log line has to think of it, in a worker or in its job processes.
logging.getLogger("sqlite_job").addFilter(escape_record)
