"""Define every error a user can meet: one base, one class for each thing a caller can act on."""

from __future__ import annotations

from typing import Iterable, Optional, Sequence


class SQLiteJobError(Exception):
    """The base of all errors of this package."""


class SettingsError(SQLiteJobError, ValueError):
    """Settings that cannot work; `problems` lists every one of them."""

    def __init__(self, owner: str, problems: Sequence[str]) -> None:
        """Gather all problems of one settings class into one message."""
        self.problems = tuple(problems)
        lines = "".join(f"\n  - {problem}" for problem in problems)
        super().__init__(f"{owner} cannot be used:{lines}")


class InvalidNameError(SQLiteJobError, ValueError):
    """A queue, function or job id that cannot be a name."""


class InvalidOptionError(SQLiteJobError, ValueError):
    """A value of `with_options` or `task` that cannot be used."""


class UnknownFunctionError(SQLiteJobError, ValueError):
    """A function that the settings do not list."""

    def __init__(self, name: str, owner: str, known: Iterable[str]) -> None:
        """Say where to add the function, and which known one was perhaps meant."""
        self.name = name
        super().__init__(f"No function named {name!r}; add it to {owner}.functions{did_you_mean(name, known)}")


class DuplicateJobError(SQLiteJobError, ValueError):
    """A unique job that exists already, with `on_conflict="raise"`; nothing was written."""

    def __init__(self, key: str, job_id: str) -> None:
        """Keep the unique key, and the id of the job that has it; empty when only its window is left."""
        self.key = key
        self.job_id = job_id
        holder = f"job {job_id} has" if job_id else "a job that was deleted had"
        super().__init__(f"{holder} the unique key {key!r}; wait for its end (or of its window), or use another key")


class EncodeError(SQLiteJobError, ValueError):
    """Arguments or a result that the serializer cannot encode; nothing was written."""


class PayloadTooLargeError(EncodeError):
    """Encoded arguments over the limit; nothing was written."""

    def __init__(self, what: str, size: int, limit: int) -> None:
        """Keep size and limit, both in bytes."""
        self.size = size
        self.limit = limit
        super().__init__(
            f"{what} takes {size:,} bytes, over the limit of {limit:,}; store it elsewhere and pass a key or a path, "
            f"or raise max_payload"
        )


class DecodeError(SQLiteJobError, ValueError):
    """Stored bytes that the serializer cannot decode, or that the accept-list refuses."""


class SignatureError(DecodeError):
    """Stored bytes whose signature is wrong: changed, moved from another job, or signed with an unknown key."""


class JobNotFoundError(SQLiteJobError, ValueError):
    """No job has this id: it never existed, or was deleted or pruned."""

    def __init__(self, job_id: str) -> None:
        """Keep the id that was looked for."""
        self.job_id = job_id
        super().__init__(f"No job with the id {job_id!r}; it never existed here, or was deleted since")


class JobStateError(SQLiteJobError):
    """A verb that the job's present status does not allow; nothing was changed."""

    def __init__(self, verb: str, job_id: str, status: str, mend: str) -> None:
        """Keep what was asked and what stood against it."""
        self.job_id = job_id
        self.status = status
        super().__init__(f"Cannot {verb} job {job_id!r}: it is {status}; {mend}")


class ScheduleNotFoundError(SQLiteJobError, ValueError):
    """No schedule has this name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        """Keep the name that was looked for, and say which known one was perhaps meant."""
        self.name = name
        super().__init__(f"No schedule named {name!r}{did_you_mean(name, known)}")


class ScheduleStateError(SQLiteJobError):
    """A verb that does not go with where a schedule comes from; nothing was changed."""

    def __init__(self, verb: str, name: str, reason: str) -> None:
        """Keep the name."""
        self.name = name
        super().__init__(f"Cannot {verb} schedule {name!r}: {reason}")


class JobFailedError(SQLiteJobError):
    """The job ended as failed; `traceback` is the text from where it ran."""

    def __init__(self, job_id: str, error_type: str, message: str, traceback: str) -> None:
        """Keep the facts of the last try."""
        self.job_id = job_id
        self.error_type = error_type
        self.message = message
        self.traceback = traceback
        super().__init__(f"Job {job_id} failed with {error_type}: {message}\n\n{traceback}".rstrip())


class JobTimeoutError(SQLiteJobError, TimeoutError):
    """A try of a job ran longer than its `timeout`; how such a try fails, and what `retry_on` may name."""

    def __init__(self, seconds: float) -> None:
        """Keep the limit."""
        self.seconds = seconds
        super().__init__(f"ran longer than its timeout of {seconds:g} s")


class JobCancelledError(SQLiteJobError):
    """The job ended as cancelled, with `reason` where one was given."""

    def __init__(self, job_id: str, reason: Optional[str]) -> None:
        """Keep the reason."""
        self.job_id = job_id
        self.reason = reason
        super().__init__(f"Job {job_id} was cancelled" + (f": {reason}" if reason else ""))


class ResultTimeoutError(SQLiteJobError, TimeoutError):
    """The job did not finish within the time given to wait; it goes on."""

    def __init__(self, job_id: str, seconds: float) -> None:
        """Keep how long was waited."""
        self.job_id = job_id
        super().__init__(
            f"Job {job_id} did not finish within {seconds:g} s; it goes on, wait again or look at its status"
        )


class OtherDatabaseError(SQLiteJobError, ValueError):
    """A session or connection to another database than the queue's: no transaction spans both; nothing was written."""

    def __init__(self, ours: str, theirs: str, mend: str) -> None:
        """Keep the queue's database, and the one that was given."""
        self.ours = ours
        self.theirs = theirs
        super().__init__(f"The queue is in {ours!r}, and the session is connected to {theirs!r}: {mend}")


class TransactionStateError(SQLiteJobError, RuntimeError):
    """A transaction that is not where the call needs it: none has begun, it has ended, or there is one already."""


class NoCurrentJobError(SQLiteJobError, RuntimeError):
    """`current_job()` was called where no job runs."""


class BackupRefusedError(SQLiteJobError):
    """A backup or a restore that would write over a file, or take a database from its workers; nothing was changed."""


class MoveRefusedError(SQLiteJobError):
    """A move that would take a queue from its workers, or mix it with another; nothing was changed."""


class MoveDiffersError(SQLiteJobError):
    """What a move has written reads otherwise than its source: the source stays in use, the target does not begin."""

    def __init__(self, table: str, key: str, target: str) -> None:
        """Keep the table and the key of the first row that differs."""
        self.table = table
        self.key = key
        super().__init__(
            f"{target} has not what was written to it: the first difference is the row {key} of {table}. The queue was "
            f"not moved, and is in use where it was; see what else writes to {target}, then move again"
        )


class DatabaseError(SQLiteJobError):
    """The database cannot be used; the base of the errors below."""


class DatabaseUnavailableError(DatabaseError):
    """The file cannot be opened, made or written: a missing or read-only folder, rights, a disk in trouble."""


class DatabaseFullError(DatabaseUnavailableError):
    """The disk has no room for another job; nothing was written, and workers go on with what is there."""


class DatabaseUnusableError(DatabaseUnavailableError):
    """The file is damaged, read-only, or not to be trusted: until somebody mends it, trying again is of no use."""


class DatabaseMovedError(DatabaseUnusableError):
    """The queue was moved to another database, or is being moved into this one; nothing was written."""


class NotOurDatabaseError(DatabaseError):
    """The file is not a SQLite database, or belongs to another application."""


class DatabaseTooNewError(DatabaseError):
    """The database was made by a newer version of sqlite-job."""


class DatabaseReplacedError(DatabaseError):
    """The file was deleted, moved or replaced while in use: writes would be lost."""


class DatabaseBusyError(DatabaseError):
    """Another program held the write lock longer than the operation may wait; nothing was written."""


class SQLiteTooOldError(DatabaseError):
    """The SQLite library is older than 3.37, which brought STRICT tables (3.35 brought RETURNING)."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint in brackets, or nothing when no known name resembles it."""
    from difflib import get_close_matches  # needed when something is wrong, not before

    matches = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
