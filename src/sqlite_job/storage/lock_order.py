"""Take locks in one order, where several transactions write at once: whoever holds some waits only for later ones.

The order: the rows of workers, the keys of `Transaction.serialize` (`transaction.RANKS`), the rows of jobs. Who needs a
key of which it could not know before it changed a row still takes it: what comes of that, at worst, is a deadlock,
which the database ends after a second, and the transaction is run again.
"""

from __future__ import annotations

from typing import Any, Callable, Iterable, Sequence, Set, Tuple

from sqlite_job.core.errors import JobNotFoundError
from sqlite_job.core.outcomes import Limited, Outcome, Retried, Snoozed
from sqlite_job.core.states import JobStatus
from sqlite_job.storage.sql import group, job
from sqlite_job.storage.transaction import Transaction

Array = Callable[[Sequence[Any]], Any]


def unique_lock(key: str) -> str:
    """Return what stands for a unique key in `Transaction.serialize`."""
    return f"unique {key}"


def group_lock(key: str) -> str:
    """Return what stands for a group in `Transaction.serialize`."""
    return f"group {key}"


def rate_lock(key: str) -> str:
    """Return what stands for a rate in `Transaction.serialize`."""
    return f"rate {key}"


def serialize_groups(transaction: Transaction, array: Array, seqs: Sequence[int]) -> None:
    """Serialize the groups of jobs that are about to be changed."""
    if seqs and not transaction.is_alone:
        transaction.serialize({group_lock(key) for (key,) in transaction.rows(group.OF_JOBS, array(seqs))})


def serialize_turn(transaction: Transaction, array: Array, outcomes: Sequence[Outcome], now: int) -> bool:
    """Serialize what a turn is about to settle and promote; False if nothing is due to be promoted."""
    if transaction.is_alone:
        return True
    rows = transaction.rows(group.AHEAD, array([outcome.seq for outcome in outcomes]), now)
    keys = {group_lock(key) for key, _ in rows if key is not None}
    keys.update(_locks_of_limited(outcomes))
    transaction.serialize(keys)
    return any(is_due for _, is_due in rows) or any(
        isinstance(outcome, (Retried, Snoozed)) and outcome.run_at <= now for outcome in outcomes
    )


def locate(transaction: Transaction, job_id: str) -> Tuple[int, JobStatus]:
    """Return seq and status of a job that is about to be changed, kept as it is until this transaction ends.

    Raises JobNotFoundError.
    """
    if not transaction.is_alone:
        transaction.serialize(_locks_of_job(transaction, job_id))
    rows = transaction.rows(job.LOCATE, job_id)
    if not rows:
        raise JobNotFoundError(job_id)
    return rows[0][0], JobStatus(rows[0][1])


def _locks_of_job(transaction: Transaction, job_id: str) -> Set[str]:
    makers = (unique_lock, group_lock, rate_lock)
    rows = transaction.rows(job.KEYS, job_id)
    return {make(key) for row in rows for make, key in zip(makers, row) if key is not None}


def _locks_of_limited(outcomes: Sequence[Outcome]) -> Iterable[str]:
    for outcome in outcomes:
        if type(outcome) is Limited:
            if outcome.conditions.group_key is not None:
                yield group_lock(outcome.conditions.group_key)
            if outcome.conditions.rate_key is not None:
                yield rate_lock(outcome.conditions.rate_key)
