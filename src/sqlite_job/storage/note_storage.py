"""State the contract of what running jobs say of themselves: their progress and log records."""

from __future__ import annotations

from typing import List, Optional, Protocol, Sequence

from sqlite_job.core.notes import JobLog, JobNotes, JobProgress


class NoteStorage(Protocol):
    """The part of `Storage` that writes and reads notes."""

    def note(self, notes: Sequence[JobNotes]) -> None:
        """Write the notes in one transaction; those whose fence (seq, claim_number) no longer holds change nothing.

        Progress takes the place of what there was; log records are added, and of one job the oldest go when there are
        more than 2,000.
        """
        ...

    def progress(self, job_id: str) -> Optional[JobProgress]:
        """Return a job's newest progress, of whichever try, or None; raises JobNotFoundError."""
        ...

    def logs(self, job_id: str, after: int = 0) -> List[JobLog]:
        """Return a job's log records whose number is greater than `after`, oldest first; raises JobNotFoundError."""
        ...
