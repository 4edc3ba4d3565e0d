"""Register workers, keep them known as alive, and take the jobs of dead ones from them."""

from __future__ import annotations

import json
import os
import socket
from functools import partial
from typing import AbstractSet, Collection, List, Sequence

from sqlite_job.core.jobs import RescuedJob
from sqlite_job.storage.interface import WorkerRow
from sqlite_job.storage.rescuing import find_dead, rescue_all
from sqlite_job.storage.sql import worker
from sqlite_job.storage.tables import BY_LOCK
from sqlite_job.storage.transacting import Transacting
from sqlite_job.storage.transaction import Transaction


class WorkerVerbs(Transacting):
    """The verbs of `Storage` that are about workers."""

    # By what others know that a worker of this process lives: its lock and its lease, or (BY_LEASE) its lease alone.
    _liveness_kind: str = BY_LOCK

    def register_worker(self, queues: Sequence[str], now: int, lease: int) -> int:
        """Record a worker of this process."""
        facts = (socket.gethostname(), os.getpid(), json.dumps(list(queues)), now, now + lease, self._liveness_kind)
        shown: List[int] = []

        def register(transaction: Transaction) -> int:
            self._show_all_ended(shown)  # of an earlier run of this, which came to nothing
            while True:
                worker_id = int(transaction.rows(worker.REGISTER, *facts)[0][0])
                # Before the commit: nobody may see the row and find the lock free.
                if self._show_alive(worker_id):
                    shown.append(worker_id)
                    return worker_id
                # A worker of the database that was here before this one still has that number.
                transaction.run(worker.UNREGISTER, worker_id)

        try:
            return self._write(register)
        except BaseException:
            self._show_all_ended(shown)
            raise

    def heartbeat(self, worker_id: int, now: int, lease: int) -> bool:
        """Renew the lease."""
        return self._write(lambda transaction: transaction.run(worker.HEARTBEAT, now, now + lease, worker_id)) > 0

    def unregister_worker(self, worker_id: int) -> None:
        """Forget a worker."""
        self._write(lambda transaction: transaction.run(worker.UNREGISTER, worker_id))
        self._show_ended(worker_id)

    def abandon_worker(self, worker_id: int) -> None:
        """Show that a worker has ended, and leave its row to be found."""
        self._show_ended(worker_id)

    def workers(self) -> List[WorkerRow]:
        """Read the registered workers."""
        return [WorkerRow(*row) for row in self._read(lambda transaction: transaction.rows(worker.ALL))]

    def rescue(self, now: int, max_deaths: int, *, by_lease: bool = True) -> List[RescuedJob]:
        """Take the jobs of dead workers from them."""
        # Leases never run out before the beginning of time.
        dead = self._read(partial(find_dead, self._ended, now if by_lease else 0))
        if not dead:
            return []
        return self._write(partial(rescue_all, dead, now, max_deaths, self._array))

    def _show_alive(self, worker_id: int) -> bool:
        """Make it visible to others, for as long as this process lives, that the worker does.

        False when another process shows that already.
        """
        raise NotImplementedError

    def _show_ended(self, worker_id: int) -> None:
        """Undo `_show_alive`."""
        raise NotImplementedError

    def _show_all_ended(self, worker_ids: List[int]) -> None:
        while worker_ids:
            self._show_ended(worker_ids.pop())

    def _ended(self, worker_ids: Collection[int]) -> AbstractSet[int]:
        """Return those of these workers whose processes have surely ended."""
        raise NotImplementedError
