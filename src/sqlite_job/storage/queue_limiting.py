"""Keep limits on whole queues: claim no more of a queue than may run at once, and start within a time.

As with other limits every place is read from the jobs' rows and the recorded starts, in the transaction that claims.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.limits import QueueLimit
from sqlite_job.storage.interface import Wanted
from sqlite_job.storage.limiting import oldest_that_counts
from sqlite_job.storage.sql import queue as statements
from sqlite_job.storage.sql import rate
from sqlite_job.storage.transaction import Transaction


class QueueLimitedClaim:
    """One worker's claim from queues of which some have a limit."""

    def __init__(self, transaction: Transaction, wanted: Wanted, now: int) -> None:
        """Read how many jobs may be claimed from each of these."""
        self._transaction = transaction
        self._wanted = wanted
        self._now = now
        transaction.serialize(f"queue {limit.queue}" for limit in wanted.queue_limits if limit.queue in wanted.queues)
        self._limits = {limit.queue: limit for limit in wanted.queue_limits if limit.queue in wanted.queues}
        self._rooms = {queue: _room(transaction, limit, now) for queue, limit in self._limits.items()}
        self._starts: Dict[str, List[ClaimedJob]] = {}

    def leave_out_full(self) -> Wanted:
        """Return what is wanted of the queues that have room."""
        return self._wanted.without({queue for queue, room in self._rooms.items() if room <= 0})

    def claim(self, claim: Callable[[Wanted], List[ClaimedJob]], wanted: Wanted) -> List[ClaimedJob]:
        """Call `claim` for one queue after the other, each for no more than it has room for."""
        claimed: List[ClaimedJob] = []
        for queue in wanted.queues:
            room = wanted.room - len(claimed)
            found = claim(wanted._replace(queues=(queue,), room=min(room, self._rooms.get(queue, room))))
            self.take(found)
            claimed += found
        return claimed

    def take(self, jobs: Sequence[ClaimedJob]) -> None:
        """Take note of what was claimed."""
        for job in jobs:
            if job.queue in self._rooms:
                self._rooms[job.queue] -= 1
                self._starts.setdefault(job.queue, []).append(job)

    def record(self) -> None:
        """Record the starts where they count, and forget those that do not any more."""
        for queue, jobs in self._starts.items():
            per = self._limits[queue].per
            if per is not None:
                key = _key(queue)
                self._transaction.run(rate.FORGET_STARTS, key, oldest_that_counts(self._now, per))
                starts = [(key, self._now, job.seq, job.claim_number) for job in jobs]
                self._transaction.insert(rate.RECORD_START, starts)


def leave_out_full(transaction: Transaction, wanted: Wanted, now: int) -> Tuple[Tuple[str, ...], Optional[int]]:
    """Return the wanted queues that have room, and when the first of the others may start a job, if a rate says so.

    One that is full of running jobs has room when one of them is settled, which is a commit.
    """
    limits = {limit.queue: limit for limit in wanted.queue_limits}
    if not limits:
        return wanted.queues, None
    full = {queue for queue in wanted.queues if queue in limits and _room(transaction, limits[queue], now) <= 0}
    times = [time for time in (_next_start(transaction, limits[queue], now) for queue in full) if time is not None]
    return tuple(queue for queue in wanted.queues if queue not in full), min(times, default=None)


def _room(transaction: Transaction, limit: QueueLimit, now: int) -> int:
    rooms = []
    if limit.running is not None:
        rooms.append(limit.running - transaction.rows(statements.COUNT_RUNNING, limit.queue)[0][0])
    if limit.starts is not None and limit.per is not None:
        rooms.append(limit.starts - transaction.rows(rate.COUNT_STARTS, _key(limit.queue), now - limit.per)[0][0])
    return int(min(rooms))


def _next_start(transaction: Transaction, limit: QueueLimit, now: int) -> Optional[int]:
    if limit.starts is None or limit.per is None:
        return None
    latest = transaction.rows(rate.NTH_LATEST_START, _key(limit.queue), limit.starts - 1)
    time = latest[0][0] + limit.per if latest else now
    return int(time) if time > now else None


def _key(queue: str) -> str:
    # No key of a function has control characters.
    return f"queue\x1f{queue}"
