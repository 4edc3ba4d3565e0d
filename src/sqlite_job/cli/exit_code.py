"""Say how a command ended, in numbers that scripts can tell apart."""

from __future__ import annotations

from enum import IntEnum
from typing import Mapping

from sqlite_job.core.errors import (
    BackupRefusedError,
    DatabaseError,
    JobNotFoundError,
    JobStateError,
    MoveDiffersError,
    MoveRefusedError,
    ResultTimeoutError,
    ScheduleNotFoundError,
    ScheduleStateError,
    SQLiteJobError,
)


class ExitCode(IntEnum):
    """The exit codes of all commands; a number is never given a second meaning."""

    OK = 0
    JOB_FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_FINISHED = 4
    DATABASE = 5
    REFUSED = 6
    IN_THE_WAY = 7
    WARNINGS = 8
    WRONG = 9
    DIFFERENT = 10
    GAVE_UP = 75  # EX_TEMPFAIL
    UNEXPECTED = 70  # EX_SOFTWARE of sysexits.h
    INTERRUPTED = 130  # 128 + SIGINT, as shells say it
    BROKEN_PIPE = 141  # 128 + SIGPIPE


MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.JOB_FAILED: "the job failed or was cancelled",
    ExitCode.USAGE: "the command, its arguments or the settings are wrong",
    ExitCode.NOT_FOUND: "no job has this id, or no schedule this name",
    ExitCode.NOT_FINISHED: "the job has not finished, or not in time",
    ExitCode.DATABASE: "the database does not exist or cannot be used",
    ExitCode.REFUSED: "the job's status does not allow it, or where the schedule comes from",
    ExitCode.IN_THE_WAY: "a file, a worker or a queue is in the way of a backup, a restore or a move",
    ExitCode.WARNINGS: "the doctor has warnings",
    ExitCode.WRONG: "the doctor has found something wrong",
    ExitCode.DIFFERENT: "what was moved reads otherwise than its source",
    ExitCode.GAVE_UP: "workers died right after their start, again and again",
    ExitCode.UNEXPECTED: "an unexpected error, shown with its traceback",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
    ExitCode.BROKEN_PIPE: "the reader of the output went away",
}

_BY_ERROR = (
    (JobNotFoundError, ExitCode.NOT_FOUND),
    (ResultTimeoutError, ExitCode.NOT_FINISHED),
    (DatabaseError, ExitCode.DATABASE),
    (JobStateError, ExitCode.REFUSED),
    (ScheduleNotFoundError, ExitCode.NOT_FOUND),
    (ScheduleStateError, ExitCode.REFUSED),
    (BackupRefusedError, ExitCode.IN_THE_WAY),
    (MoveRefusedError, ExitCode.IN_THE_WAY),
    (MoveDiffersError, ExitCode.DIFFERENT),
)


def exit_code_of(error: SQLiteJobError) -> ExitCode:
    """Return the code for an error; those that say what the user wrote wrongly are all USAGE."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), ExitCode.USAGE)
