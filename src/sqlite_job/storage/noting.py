"""Write and read what running jobs say of themselves, on any SQL database."""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import List, Optional, Sequence, Tuple

from sqlite_job.core.clock import to_datetime
from sqlite_job.core.errors import JobNotFoundError
from sqlite_job.core.notes import JobLog, JobNotes, JobProgress, LogNote, ProgressNote
from sqlite_job.storage.sql import job, log, progress
from sqlite_job.storage.statement import Row
from sqlite_job.storage.transacting import Transacting
from sqlite_job.storage.transaction import Transaction

# The records of at least one whole try, and of one more: what a job that is tried again and again keeps.
MOST_RECORDS = 2_000


class NotingVerbs(Transacting):
    """The verbs of `NoteStorage`."""

    def note(self, notes: Sequence[JobNotes]) -> None:
        """Write the notes in one transaction."""
        self._write(partial(write_notes, notes))

    def progress(self, job_id: str) -> Optional[JobProgress]:
        """Read the newest progress of one job."""
        rows = self._read(lambda transaction: transaction.rows(progress.OF_JOB, job_id))
        if not rows:
            raise JobNotFoundError(job_id)
        done, total, message, updated_at = rows[0]
        return None if updated_at is None else JobProgress(done, total, message, to_datetime(updated_at))

    def logs(self, job_id: str, after: int = 0) -> List[JobLog]:
        """Read the log records of one job."""

        def read(transaction: Transaction) -> List[Row]:
            found = transaction.rows(job.STATUS, job_id)
            if not found:
                raise JobNotFoundError(job_id)
            return transaction.rows(log.OF_JOB, found[0][0], after)

        return [
            JobLog(to_datetime(at), try_number, level, logger, message, number)
            for number, at, try_number, level, logger, message in self._read(read)
        ]


def write_notes(notes: Sequence[JobNotes], transaction: Transaction) -> None:
    """Write notes, inside a transaction; those about a job that was taken from its worker change nothing."""
    transaction.tell_waiters()
    # In the order in which a turn ends jobs: the two are of one worker, and may meet.
    for seq, claim_number, newest, records in sorted(notes, key=attrgetter("seq")):
        if transaction.rows(job.IS_RUNNING, seq, claim_number):
            if newest is not None:
                _write_progress(transaction, seq, newest)
            if records:
                _add_records(transaction, seq, records)


def _write_progress(transaction: Transaction, seq: int, note: ProgressNote) -> None:
    if not transaction.run(progress.UPDATE, *note, seq):
        transaction.insert(progress.INSERT, [(seq, *note)])


def _add_records(transaction: Transaction, seq: int, records: Tuple[LogNote, ...]) -> None:
    last = transaction.rows(log.LAST_NUMBER, seq)[0][0] or 0
    transaction.insert(log.INSERT, [(seq, number, *record) for number, record in enumerate(records, last + 1)])
    surplus = last + len(records) - MOST_RECORDS
    if surplus > 0:
        transaction.run(log.DELETE_OLDEST, seq, surplus)
