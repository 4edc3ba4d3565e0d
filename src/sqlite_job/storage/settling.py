"""Settle one outcome: the transition it asks for, and what is kept of it; each tells whether its fence still held."""

from __future__ import annotations

from typing import Any, Callable, Dict

from sqlite_job.core.outcomes import (
    Cancelled,
    Committed,
    Completed,
    Died,
    Failed,
    Limited,
    Outcome,
    Retried,
    Returned,
    Snoozed,
)
from sqlite_job.storage.limiting import note_rate
from sqlite_job.storage.sql import completion, failure, group, job, result, suspect
from sqlite_job.storage.transaction import Transaction


def settle_one(transaction: Transaction, worker_id: int, outcome: Outcome, now: int) -> bool:
    """Record how a run ended; False, with nothing changed, when the job was taken from this worker meanwhile.

    A job that would wait again, and whose cancellation was asked for while it ran, is cancelled instead.
    """
    if not _SETTLERS[type(outcome)](transaction, worker_id, outcome):
        return False
    if type(outcome) in MAY_WAIT_AGAIN and transaction.run(job.CANCEL_IF_REQUESTED, now, outcome.seq):
        transaction.run(suspect.REMOVE, outcome.seq)
    return True


def _complete(transaction: Transaction, _worker_id: int, done: Completed) -> bool:
    if not transaction.run(completion.COMPLETE, *done[:4]):
        return False
    transaction.insert(result.INSERT, [(done.seq, *done[4:])])
    return True


def _leave(_transaction: Transaction, _worker_id: int, _committed: Committed) -> bool:
    return True  # it is on record; whatever became of the job since is not this claim's business


def _fail(transaction: Transaction, worker_id: int, failed: Failed) -> bool:
    if not transaction.run(job.FAIL, *failed[:4]):
        return False
    _record_failure(transaction, worker_id, failed)
    return True


def _retry(transaction: Transaction, worker_id: int, retried: Retried) -> bool:
    if not transaction.run(job.RETRY, retried.started_at, retried.run_at, retried.seq, retried.claim_number):
        return False
    _record_failure(transaction, worker_id, retried)
    return True


def _record_failure(transaction: Transaction, worker_id: int, outcome: Any) -> None:
    times = (outcome.started_at, outcome.finished_at)
    transaction.insert(failure.INSERT, [(outcome.seq, outcome.claim_number, *outcome.failure, *times, worker_id)])


def _snooze(transaction: Transaction, _worker_id: int, snoozed: Snoozed) -> bool:
    return transaction.run(job.SNOOZE, snoozed.started_at, snoozed.run_at, snoozed.seq, snoozed.claim_number) > 0


def _cancel(transaction: Transaction, _worker_id: int, ended: Cancelled) -> bool:
    times = (ended.started_at, ended.finished_at)
    return transaction.run(job.CANCEL_RUNNING, *times, ended.reason or None, ended.seq, ended.claim_number) > 0


def _return(transaction: Transaction, _worker_id: int, returned: Returned) -> bool:
    if not transaction.run(job.RETURN, *returned):
        return False
    _suspect_again(transaction, returned.seq)
    return True


def _suspect_again(transaction: Transaction, seq: int) -> None:
    if transaction.rows(suspect.WAS_SUSPECT, seq):
        transaction.insert(suspect.ADD, [(seq,)])


def _die(transaction: Transaction, worker_id: int, died: Died) -> bool:
    fence = (died.seq, died.claim_number)
    if died.is_final:
        changed = transaction.run(job.FAIL_DEAD, died.finished_at, *fence)
    else:
        changed = transaction.run(job.RESCUE, *fence)
    if not changed:
        return False
    _record_failure(transaction, worker_id, died)
    if not died.is_final:
        transaction.insert(suspect.ADD, [(died.seq,)])
    return True


def _limit(transaction: Transaction, _worker_id: int, limited: Limited) -> bool:
    conditions = limited.conditions
    limits = (conditions.group_key, conditions.group_limit, conditions.rate_key)
    if not transaction.run(group.LIMIT, *limits, limited.seq, limited.claim_number):
        return False
    _suspect_again(transaction, limited.seq)
    note_rate(transaction, conditions)
    return True


_SETTLERS: Dict[type, Callable[[Transaction, int, Any], bool]] = {
    Completed: _complete,
    Committed: _leave,
    Failed: _fail,
    Retried: _retry,
    Snoozed: _snooze,
    Cancelled: _cancel,
    Died: _die,
    Returned: _return,
    Limited: _limit,
}

MAY_WAIT_AGAIN = frozenset({Retried, Snoozed, Died, Returned, Limited})
