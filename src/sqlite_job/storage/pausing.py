"""Pause queues, and leave out of a claim those that are."""

from __future__ import annotations

from typing import Dict, Tuple

from sqlite_job.storage.interface import Wanted
from sqlite_job.storage.sql import queue as statements
from sqlite_job.storage.transacting import Transacting
from sqlite_job.storage.transaction import Transaction


class QueueVerbs(Transacting):
    """The verbs of `QueueStorage`."""

    def pause(self, queue: str, now: int) -> bool:
        """Pause a queue."""

        def stop(transaction: Transaction) -> bool:
            if transaction.run(statements.PAUSE, now, queue):
                return True
            if transaction.rows(statements.IS_KNOWN, queue):
                return False
            transaction.insert(statements.ADD_PAUSED, [(queue, now)])
            return True

        return self._write(stop)

    def resume(self, queue: str) -> bool:
        """Resume a queue."""

        def go_on(transaction: Transaction) -> bool:
            transaction.tell_workers()
            return transaction.run(statements.RESUME, queue) > 0

        return self._write(go_on)

    def paused_queues(self) -> Dict[str, int]:
        """Read which queues are paused."""
        return dict(self._read(lambda transaction: transaction.rows(statements.PAUSED)))


def leave_out_paused(transaction: Transaction, wanted: Wanted) -> Tuple[Wanted, Tuple[str, ...]]:
    """Return what is wanted of the queues that are not paused, and the others of them."""
    rows = transaction.rows(statements.PAUSED)
    if not rows:
        return wanted, ()
    paused = {row[0] for row in rows}
    return wanted.without(paused), tuple(queue for queue in wanted.queues if queue in paused)
