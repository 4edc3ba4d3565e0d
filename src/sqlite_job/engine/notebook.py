"""Gather what running jobs say of themselves, until it is written: of progress only the newest counts."""

from __future__ import annotations

import threading
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from sqlite_job.core.clock import Clock
from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.notes import JobNotes, LogNote, ProgressNote
from sqlite_job.core.outcomes import Outcome
from sqlite_job.engine.failures import clean_text

MAX_PROGRESS_MESSAGE = 500

# Who noted it: seq and claim number, so that the next try of a job is somebody else.
_Claim = Tuple[int, int]


class Notebook:
    """The notes of all jobs that run here, from any thread; its reader is woken by the first one only."""

    def __init__(self, wake: Callable[[], None], clock: Clock) -> None:
        """Call `wake` when there is something to take and there was nothing before."""
        self._wake = wake
        self._now = clock.now
        self._progress: Dict[_Claim, ProgressNote] = {}
        self._records: Dict[_Claim, List[LogNote]] = {}
        # Reentrant: garbage collected while it is held may log in its last moment.
        self._lock = threading.RLock()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take."""
        return not self._progress and not self._records

    def put_progress(self, job: ClaimedJob, done: float, total: Optional[float], message: Optional[str]) -> None:
        """Note progress in the place of what the job noted before."""
        note = ProgressNote(done, total, message, self._now())
        with self._lock:
            was_empty = self.is_empty
            self._progress[job.seq, job.claim_number] = note
        if was_empty:
            self._wake()

    def put_record(self, job: ClaimedJob, level: int, logger: str, message: str) -> None:
        """Note a log record."""
        record = LogNote(self._now(), job.tries, level, logger, message)
        with self._lock:
            was_empty = self.is_empty
            self._records.setdefault((job.seq, job.claim_number), []).append(record)
        if was_empty:
            self._wake()

    def put(self, notes: JobNotes) -> None:
        """Note what a job process has gathered."""
        claim = (notes.seq, notes.claim_number)
        with self._lock:
            was_empty = self.is_empty
            if notes.progress is not None:
                self._progress[claim] = notes.progress
            if notes.records:
                self._records.setdefault(claim, []).extend(notes.records)
        if was_empty:
            self._wake()

    def put_back(self, several: Sequence[JobNotes]) -> None:
        """Take back notes that could not be written: older than all that was noted since."""
        with self._lock:
            for notes in several:
                claim = (notes.seq, notes.claim_number)
                if notes.progress is not None:
                    self._progress.setdefault(claim, notes.progress)
                if notes.records:
                    self._records[claim] = [*notes.records, *self._records.get(claim, ())]

    def take(self) -> List[JobNotes]:
        """Return all notes, and forget them."""
        with self._lock:
            return [self._pop(claim) for claim in {**self._progress, **self._records}]

    def take_of(self, outcomes: Sequence[Outcome]) -> List[JobNotes]:
        """Return the notes of these runs, and forget them."""
        claims = [(outcome.seq, outcome.claim_number) for outcome in outcomes]
        with self._lock:
            return [self._pop(claim) for claim in claims if claim in self._progress or claim in self._records]

    def _pop(self, claim: _Claim) -> JobNotes:
        progress = self._progress.pop(claim, None)
        if progress is not None and progress.message is not None:
            progress = progress._replace(message=clean_text(progress.message, MAX_PROGRESS_MESSAGE))
        return JobNotes(*claim, progress, tuple(self._records.pop(claim, ())))
