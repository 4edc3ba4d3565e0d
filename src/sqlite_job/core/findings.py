"""Say what an examination of a database found, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(str, Enum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"

    def __str__(self) -> str:
        """Return the word, so that f-strings read the same on every Python."""
        return self.value


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, and the mend where something is wrong."""

    check: str
    level: Level
    message: str
    mend: str = ""


def ok(check: str, message: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(check, Level.OK, message)


def warning(check: str, message: str, mend: str) -> Finding:
    """Return a finding that wants somebody's eye."""
    return Finding(check, Level.WARNING, message, mend)


def wrong(check: str, message: str, mend: str = "") -> Finding:
    """Return a finding that stops workers or endangers jobs; no mend where the message has it already."""
    return Finding(check, Level.ERROR, message, mend)
