"""Make text from the database or the user fit to be printed: a job must not be able to steer a terminal."""

from __future__ import annotations

import re
from typing import Match

# C0 and C1 controls, marks and overrides of direction, line separators, lone surrogates.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable_line(text: str) -> str:
    r"""Return `text` on one line, with what is not printable written as in Python: \n, \x1b."""
    return _UNPRINTABLE.sub(_escape, text)


def printable_lines(text: str) -> str:
    """Return `text` as `printable_line` does, with its line breaks and tabs kept."""
    return _UNPRINTABLE.sub(_escape_in_lines, text)


def _escape(found: Match[str]) -> str:
    return found.group().encode("unicode_escape").decode("ascii")


def _escape_in_lines(found: Match[str]) -> str:
    return found.group() if found.group() in "\n\t" else _escape(found)
