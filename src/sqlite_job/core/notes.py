"""Hold what a running job says of itself, its progress and its log records, and check what it says."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime
from numbers import Real
from typing import NamedTuple, Optional, Protocol, Tuple

from sqlite_job.core.jobs import ClaimedJob

_MOST = sys.float_info.max


@dataclass(frozen=True)
class JobProgress:
    """How far a job has come, as it said last; `total` is None where it does not know how much there is to do."""

    done: float
    total: Optional[float]
    message: Optional[str]
    updated_at: datetime

    @property
    def fraction(self) -> Optional[float]:
        """The part that is done, from 0.0 to 1.0; None without a total. Of nothing, all is done."""
        if self.total is None:
            return None
        return min(self.done / self.total, 1.0) if self.total else 1.0


@dataclass(frozen=True)
class JobLog:
    """One log record of a job; `level` is a number of `logging`, `number` its place among those of the job."""

    at: datetime
    try_number: int
    level: int
    logger: str
    message: str
    number: int

    @property
    def level_name(self) -> str:
        """The name of the level, as "INFO"."""
        import logging  # of the many who import this, few read logs

        return str(logging.getLevelName(self.level))


class ProgressNote(NamedTuple):
    """Progress on its way to the database; `updated_at` in microseconds."""

    done: float
    total: Optional[float]
    message: Optional[str]
    updated_at: int


class LogNote(NamedTuple):
    """A log record on its way to the database; `at` in microseconds."""

    at: int
    try_number: int
    level: int
    logger: str
    message: str


class JobNotes(NamedTuple):
    """What one claim of a job has noted: its newest progress, and log records, oldest first."""

    seq: int
    claim_number: int
    progress: Optional[ProgressNote]
    records: Tuple[LogNote, ...]


class Notes(Protocol):
    """Where a running job notes its progress."""

    def put_progress(self, job: ClaimedJob, done: float, total: Optional[float], message: Optional[str]) -> None:
        """Note progress, from any thread, without waiting for anything."""
        ...


def check_progress(
    done: float, total: Optional[float], message: Optional[str]
) -> Tuple[float, Optional[float], Optional[str]]:
    """Return the two numbers as floats and the text as a plain one; raises TypeError or ValueError with the mend."""
    if message is not None and type(message) is not str:
        if not isinstance(message, str):
            raise TypeError(f"message is a text, not {message!r}; write str(...) around it")
        message = str.__str__(message)
    return _amount("done", done), None if total is None else _amount("total", total), message


def _amount(name: str, value: float) -> float:
    kind = type(value)
    if kind is not int and kind is not float and (kind is bool or not isinstance(value, Real)):
        mend = "; leave it out where it is not known" if name == "total" else "; count what is done, as 3 or 0.5"
        raise TypeError(f"{name} is a number, not {value!r}{mend}")
    if not 0 <= value <= _MOST:
        raise ValueError(f"{name} is a finite number from 0, not {value!r}")
    return float(value)
