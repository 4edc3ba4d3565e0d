"""Keep jobs in a PostgreSQL database, for workers on any number of machines."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from functools import partial
from operator import itemgetter
from typing import AbstractSet, Any, Callable, Collection, List, Mapping, Optional, Sequence, TypeVar

import psycopg
from sqlalchemy.exc import DBAPIError

from sqlite_job.core.clock import SECOND, elapsed, pause
from sqlite_job.core.errors import DatabaseError
from sqlite_job.core.jobs import NewJob, RescuedJob
from sqlite_job.core.notes import JobNotes
from sqlite_job.core.outcomes import Outcome
from sqlite_job.storage.commit_hub import CommitHub
from sqlite_job.storage.group_commit import GroupCommit
from sqlite_job.storage.interface import CommitWatcher, Exchange, Peek, Wanted
from sqlite_job.storage.postgres.address import Address, channel, lock_number
from sqlite_job.storage.postgres.clock import ServerClock
from sqlite_job.storage.postgres.committing import Committer
from sqlite_job.storage.postgres.connections import Connections, check_server
from sqlite_job.storage.postgres.dialect import dialect_of
from sqlite_job.storage.postgres.listening import Listener
from sqlite_job.storage.postgres.preparing import is_ready, prepare
from sqlite_job.storage.postgres.sharing import PostgresSharing
from sqlite_job.storage.postgres.transaction import PostgresTransaction
from sqlite_job.storage.postgres.unheard import UnheardExchanges
from sqlite_job.storage.postgres.watching import NotifyWatcher
from sqlite_job.storage.sql import completion, enqueue
from sqlite_job.storage.statement import Row
from sqlite_job.storage.tables import BY_LEASE, BY_LOCK
from sqlite_job.storage.transaction import Transaction

T = TypeVar("T")

# Workers take their locks again when the server, or the way to it, has come back: until then locks tell nothing.
_GRACE_SECONDS = 10.0

# One whose connection alone was cut has it again by then.
_SECOND_LOOK_SECONDS = 0.25

# How many looks for dead workers a second a whole fleet makes: each costs the server more the more workers there are.
_LOOKS_A_SECOND = 20

_UPTIME = "SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8"


class PostgresStorage(PostgresSharing):
    """One schema of one database, for any number of threads; a forked child opens everything anew."""

    def __init__(self, address: Address, durability: str) -> None:
        """Take the address and "full" or "normal"; nothing is opened before the first use."""
        self._address = address
        self._durability = durability
        schema = address.schema
        self._dialect = dialect_of(schema)
        self._connections = Connections(address, durability)
        self._work, self._news = channel(schema, "work"), channel(schema, "news")
        self._committer = Committer(
            self._connections, self._dialect, address.shown, durability=durability, notify=self._notification
        )
        self._listener = Listener(self._connections, [self._work, self._news], lock_number(schema, "worker", size=4))
        self._clock = ServerClock()
        self._group_commit = GroupCommit()
        self._hub = CommitHub()
        self._opening = threading.Lock()
        self._is_open = False
        self._fleet = 0  # the workers there were at the last look
        self._unheard = UnheardExchanges()
        sequence = self._dialect.qualified("sqlitejob_job_seq_seq").replace("'", "''")
        self._next_seqs_text = f"SELECT nextval('{sequence}') FROM generate_series(1, %s)"  # noqa: S608 - a quoted name
        _all_storages.add(self)

    @property
    def location(self) -> str:
        """The URL without its password."""
        return self._address.shown

    @property
    def clock_offset(self) -> int:
        """How many microseconds the server's clock is ahead of this machine's."""
        if self._clock.is_due():
            self._compare_clocks()
        return self._clock.offset

    def enqueue(self, jobs: Sequence[NewJob]) -> Mapping[str, str]:
        """Store jobs, sharing a commit with other threads."""
        return self._group_commit.submit(jobs, self._write_jobs)

    def exchange(
        self,
        worker_id: int,
        outcomes: Sequence[Outcome],
        wanted: Optional[Wanted],
        now: int,
        notes: Sequence[JobNotes] = (),
    ) -> Exchange:
        """Settle, promote and claim in one transaction; also after one whose end is not known."""
        if self._unheard and self._unheard.find_out(worker_id, self._committer.is_committed):
            settle = partial(super().exchange, worker_id, wanted=None, now=now, notes=notes)
            return self._unheard.report(worker_id, outcomes, settle)
        run = partial(super().exchange, worker_id, wanted=wanted, now=now, notes=notes)
        return self._unheard.attempt(worker_id, outcomes, run)

    def peek(self, wanted: Wanted, now: int) -> Peek:
        """Read what an exchange would find."""
        if self._unheard:  # perhaps jobs that are claimed already, and nobody runs them
            return Peek(is_ready=True, next_run_at=None)
        return super().peek(wanted, now)

    def unregister_worker(self, worker_id: int) -> None:
        """Forget a worker."""
        self._unheard.forget(worker_id)
        super().unregister_worker(worker_id)

    def abandon_worker(self, worker_id: int) -> None:
        """Show that a worker has ended, and leave its row to be found."""
        self._unheard.forget(worker_id)
        super().abandon_worker(worker_id)

    def rescue(self, now: int, max_deaths: int, *, by_lease: bool = True) -> List[RescuedJob]:
        """Take the jobs of dead workers from them; of many workers only some look each time."""
        if self._draw() * self._fleet > _LOOKS_A_SECOND:
            return []
        return super().rescue(now, max_deaths, by_lease=by_lease)

    def watch(self) -> CommitWatcher:
        """Return a new watcher of this database's new work."""
        self._open()
        return self._watcher(self._work.__eq__)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after commits that change what is known of jobs, from a thread of its own."""
        self._open()
        return self._hub.subscribe(callback, partial(self._watcher, self._news.__eq__))

    def close(self) -> None:
        """Close all connections; the next use opens new ones, and looks at the tables again: they may have moved."""
        self._is_open, self._identity = False, None
        self._hub.stop()
        self._listener.close()
        self._connections.forget()

    def __del__(self) -> None:
        """Let go of what nobody holds any more, without waiting for anybody."""
        try:
            self._hub.abandon()
            self._listener.abandon()
            self._connections.forget()
        except Exception:  # noqa: BLE001, S110 - half of what it needs may be gone
            pass

    def _watcher(self, is_ours: Callable[[str], bool]) -> NotifyWatcher:
        return self._committer.keep_trying(lambda: NotifyWatcher(self._listener.subscribe, is_ours))

    def _write(self, work: Callable[[Transaction], T]) -> T:
        self._open()
        return self._committer.write(work)

    def _read(self, work: Callable[[Transaction], T]) -> T:
        self._open()
        return self._committer.read(work)

    def _open(self) -> None:
        if self._is_open:
            return
        with self._opening:
            if not self._is_open:
                self._committer.outside(self._look_over)
                self._is_open = True

    def _compare_clocks(self) -> None:
        if not self._clock.is_known:
            self._open()
            return
        # Running jobs and event loops ask for the time: none of them is to wait for a server, or to fail without it.
        self._clock.begin()
        threading.Thread(target=self._compare_again, name="sqlite-job-clock", daemon=True).start()

    def _compare_again(self) -> None:
        with suppress(DatabaseError):  # until the next time the old difference is as good as any
            self._committer.outside(self._clock.compare)

    def _look_over(self, connection: psycopg.Connection[Any]) -> None:
        check_server(connection, self.location)
        if not is_ready(connection, self._address.schema, self.location):
            self._prepare()
        self._committer.learn(connection)
        self._clock.compare(connection)

    def _prepare(self) -> None:
        try:
            prepare(self._connections.engine, self._address.schema)
        except DBAPIError as error:
            raise (error.orig or error) from error

    def _write_jobs(self, jobs: Sequence[NewJob]) -> Mapping[str, str]:
        if any(new.conditions is not None or new.has_own_id or new.tags for new in jobs):
            return self._write(partial(self._enqueue_all, jobs))
        if not jobs:
            return {}
        # Nothing to look at before, so one round trip does it.
        self._open()
        self._committer.at_once(enqueue.AT_ONCE, [*map(list, zip(*(new[:13] for new in jobs))), self._work])
        return {}

    def _enqueue_all(self, jobs: Sequence[NewJob], transaction: Transaction) -> Mapping[str, str]:
        return self._enqueue(transaction, jobs)

    def _notification(self, transaction: PostgresTransaction) -> Optional[str]:
        told = [(transaction.wakes_workers, self._work), (transaction.wakes_waiters, self._news)]
        calls = [f"pg_notify('{name}', '')" for is_told, name in told if is_told]
        return ", ".join(calls) or None

    def _next_seqs(self, transaction: Transaction, count: int) -> Sequence[int]:
        assert isinstance(transaction, PostgresTransaction)  # noqa: S101 - this storage's own
        return transaction.numbers(self._next_seqs_text, count)

    def _array(self, values: Sequence[Any]) -> List[Any]:
        return list(values)

    def _complete(self, transaction: Transaction, rows: Sequence[Row]) -> int:
        # By seq, the third of each, as notes are written: the database locks them in the order of the arrays.
        return transaction.run(completion.COMPLETE_ALL, *map(list, zip(*sorted(rows, key=itemgetter(2)))))

    def _require_space(self) -> None:
        """Have nothing to look at: the server refuses by itself."""

    @property
    def _liveness_kind(self) -> str:  # type: ignore[override]
        return BY_LEASE if self._listener.is_deaf else BY_LOCK

    def _show_alive(self, worker_id: int) -> bool:
        return self._listener.hold(worker_id)

    def _show_ended(self, worker_id: int) -> None:
        self._listener.release(worker_id)

    def _ended(self, worker_ids: Collection[int]) -> AbstractSet[int]:
        self._fleet = len(worker_ids)
        looked_for = set(worker_ids) - self._listener.own()
        if not looked_for:
            return set()
        missing: AbstractSet[int] = looked_for - self._committer.outside(self._listener.held)
        missing = self._without_latecomers(missing) if missing else missing
        if not missing:
            return missing
        pause(_SECOND_LOOK_SECONDS)
        return missing - self._committer.outside(self._listener.held)

    def _without_latecomers(self, missing: AbstractSet[int]) -> AbstractSet[int]:
        """Leave out who may not have had the time yet to take the lock again, after the server was gone."""
        listener = self._listener
        if listener.connections_made > 1 and elapsed() - listener.connected_at < _GRACE_SECONDS:
            return set()
        uptime = self._committer.outside(_uptime)
        if uptime > _GRACE_SECONDS:
            return missing
        # Who was registered since the server's start took the lock before that was committed.
        start = self._clock.now() - round(uptime * SECOND)
        return {row.id for row in self.workers() if row.id in missing and row.started_at > start}

    def _after_fork_in_child(self) -> None:
        self._connections.abandon()
        _all_storages.discard(self)
        self.__init__(self._address, self._durability)  # type: ignore[misc]


def _uptime(connection: psycopg.Connection[Any]) -> float:
    row = connection.execute(_UPTIME).fetchone()
    return 0.0 if row is None else float(row[0])


_all_storages: weakref.WeakSet[PostgresStorage] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for storage in list(_all_storages):
        storage._after_fork_in_child()  # noqa: SLF001 - same module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
