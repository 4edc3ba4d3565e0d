"""Ask in one statement what a turn would else ask in five, all of them between an enqueue and the start of its job."""

from __future__ import annotations

from typing import NamedTuple

from sqlite_job.storage.sql.glance import GLANCE
from sqlite_job.storage.transaction import Transaction


class Glance(NamedTuple):
    """What there is at all, in the order of the statement's columns."""

    is_registered: bool = False
    is_any_due: bool = False
    is_any_blocked: bool = False
    is_any_suspect: bool = False
    is_any_paused: bool = False


def glance(transaction: Transaction, worker_id: int, now: int) -> Glance:
    """Look whether this worker is registered, and whether any job is due, blocked or a suspect, and a queue paused."""
    (found,) = transaction.rows(GLANCE, worker_id, now)
    return Glance(*map(bool, found))
