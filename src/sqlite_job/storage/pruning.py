"""Prune finished jobs in short transactions, and delete what belongs to a job."""

from __future__ import annotations

from functools import partial
from typing import List, NamedTuple, Optional, Sequence, Tuple

from sqlite_job.core.clock import elapsed
from sqlite_job.core.retention import Old, Place, Pruned
from sqlite_job.core.states import JobStatus
from sqlite_job.storage.sql import belongings, job
from sqlite_job.storage.statement import Row
from sqlite_job.storage.transacting import Transacting
from sqlite_job.storage.transaction import Transaction

# The most that one transaction deletes: a claim behind it waits about 5 ms.
_MOST = 500

# The most that is looked at for it, without a lock: what is kept longer lies in between.
_MOST_LOOKED_AT = 4_000

# Large arguments and results take long to delete: after this time no further part of the batch is begun.
_SECONDS = 0.005
_PART = 20


class _Batch(NamedTuple):
    jobs: List[Place]
    place: Place
    is_end: bool


class PruneVerbs(Transacting):
    """The verbs of `RetentionStorage`."""

    def prune(self, old: Old, after: Place, now: int) -> Pruned:
        """Delete some old jobs."""
        batch = self._look(old, after)
        if not batch.jobs:
            return Pruned(0, batch.place, batch.is_end)
        pruned, missed, done = self._write(partial(self._prune_some, batch.jobs, now))
        if done < len(batch.jobs):
            return Pruned(pruned, batch.jobs[done - 1], is_end=False, missed=missed)
        return Pruned(pruned, batch.place, batch.is_end, missed)

    def find_old(self, old: Old, after: Place) -> Pruned:
        """Count some old jobs."""
        batch = self._look(old, after)
        return Pruned(len(batch.jobs), batch.place, batch.is_end)

    def give_back_space(self) -> bool:
        """Have nothing to give: most databases see to it themselves."""
        return False

    def _delete_jobs(self, transaction: Transaction, seqs: Sequence[int]) -> None:
        """Delete jobs that do not run, with all that belongs to them."""
        keys = transaction.rows(job.ENDS, self._array(seqs))
        # A key whose window goes on outlives its job.
        _delete(transaction, [(seq, key if until is None else None) for seq, _, key, until in keys])

    def _look(self, old: Old, after: Place) -> _Batch:
        jobs: List[Place] = []
        looked_at = 0
        while looked_at < _MOST_LOOKED_AT and len(jobs) < _MOST:
            rows = self._read(partial(_finished, after, old.until))
            looked_at += len(rows)
            for finished_at, seq, queue, function, status in rows:
                after = Place(finished_at, seq)
                if old.is_old(queue, function, JobStatus(status)):
                    jobs.append(after)
            if len(rows) < _MOST:
                return _Batch(jobs, after, is_end=True)
        return _Batch(jobs, after, is_end=False)

    def _prune_some(self, jobs: Sequence[Place], now: int, transaction: Transaction) -> Tuple[int, int, int]:
        """Delete jobs until the time is over; returns how many it deleted, missed, and dealt with in all."""
        deadline = elapsed() + _SECONDS
        pruned = missed = done = 0
        while done < len(jobs) and (not done or elapsed() < deadline):
            part = set(jobs[done : done + _PART])
            done += len(part)
            rows = transaction.rows(job.ENDS, self._array([place.seq for place in part]))
            # One that has run again since has another end, or none yet.
            seen = [row for row in rows if (row[1], row[0]) in part]
            missed += len(part) - len(seen)
            old = [(seq, key) for seq, _, key, until in seen if until is None or until <= now]
            _delete(transaction, old)
            pruned += len(old)
        return pruned, missed, done


def _finished(after: Place, until: int, transaction: Transaction) -> List[Row]:
    return transaction.rows(job.FINISHED, *after, until, _MOST)


def _delete(transaction: Transaction, jobs: Sequence[Tuple[int, Optional[str]]]) -> None:
    """Delete jobs, given by seq and unique key."""
    seqs = [seq for seq, _ in jobs]
    if transaction.is_alone:
        for statement in (job.DELETE, *belongings.DELETE_ALL):
            transaction.many(statement, [(seq,) for seq in seqs])
    else:
        for statement in (job.DELETE_MANY, *belongings.DELETE_ALL_OF_MANY):
            transaction.run(statement, seqs)
    keys = [(key, seq) for seq, key in jobs if key is not None]
    if keys:
        transaction.many(belongings.RELEASE_KEY, keys)
