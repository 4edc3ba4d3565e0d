"""Share transactions on a SQLite file: carry out `shared_transactions.py`."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import TYPE_CHECKING, Callable, Mapping, Optional, Sequence, TypeVar

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from sqlite_job.core.errors import DatabaseBusyError
from sqlite_job.core.jobs import NewJob
from sqlite_job.core.outcomes import Completed
from sqlite_job.core.stopping import Stop
from sqlite_job.core.transactions import OpenTransaction
from sqlite_job.storage import files, joining
from sqlite_job.storage.free_space import FreeSpace
from sqlite_job.storage.gate import Gate, refuse_to_wait_for_oneself
from sqlite_job.storage.limiting import release_after
from sqlite_job.storage.shared_transactions import AnySession
from sqlite_job.storage.sqlite_connection import connect, is_busy, translate
from sqlite_job.storage.sqlite_verbs import SqliteVerbs
from sqlite_job.storage.transaction import Transaction

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

_DIALECT = SQLiteDialect_pysqlite()

T = TypeVar("T")
W = TypeVar("W")


class SqliteSharing(SqliteVerbs):
    """The verbs of `SharedTransactions`, for `SqliteStorage`, which gives what is declared here."""

    _path: str
    _durability: str
    _identity: files.Identity
    _free_space: FreeSpace
    _gate: Optional[Gate]
    _engine_of_jobs: Optional[Engine] = None

    def enqueue_within(self, session: AnySession, jobs: Sequence[NewJob]) -> Mapping[str, str]:
        """Store jobs in the user's transaction: no gate, no group, and no commit of ours."""
        joining.require_synchronous(session)
        self._free_space.require()
        self._make_ready()
        joined = joining.join(session, self._path)
        with joining.writing_in(joined, self._path, self._identity) as transaction:
            return self._enqueue(transaction, jobs)

    async def aenqueue_within(self, session: AnySession, jobs: Sequence[NewJob]) -> Mapping[str, str]:
        """Store jobs in the user's transaction, awaiting what has to be awaited."""
        if not joining.is_asynchronous(session):
            return self.enqueue_within(session, jobs)
        if self._gate is None:
            import asyncio

            await asyncio.get_running_loop().run_in_executor(None, self._make_ready)
        return await joining.present(session).run_sync(self.enqueue_within, jobs)  # type: ignore[no-any-return]

    def open_transaction(self, stop: Stop) -> OpenTransaction:
        """Begin a job's transaction, with the turn at the gate held until it ends."""
        from sqlite_job.storage.kept_transaction import KeptTransaction, make_engine  # SQLAlchemy's ORM takes long

        refuse_to_wait_for_oneself(self._path)
        if self._engine_of_jobs is None:
            self._engine_of_jobs = make_engine(partial(connect, self._path, self._durability))

        def in_turn(attempt: Callable[[], None]) -> None:
            self._in_turn(self._attempt_here, attempt)

        kept = KeptTransaction(self._path, self._engine_of_jobs, in_turn, self._record)
        kept.begin(stop)
        return kept

    def _ensure_open(self) -> Gate:
        """Open the file, made ready if it is not; return its gate."""
        raise NotImplementedError

    def _in_turn(self, attempt: Callable[[W], T], work: W) -> T:
        """Call `attempt` with `work` in the gate's turn, again while the database is locked."""
        raise NotImplementedError

    def _make_ready(self) -> None:
        """Open the file before the user's transaction, which may have the lock already, is looked at."""
        if self._gate is not None:
            return
        try:
            self._ensure_open()
        except DatabaseBusyError as error:
            raise joining.refuse_to_prepare(error, self._path) from error
        except sqlite3.Error as error:
            found = translate(error, self._path)
            raise (joining.refuse_to_prepare(found, self._path) if is_busy(error) else found) from error

    def _attempt_here(self, attempt: Callable[[], None]) -> None:
        files.check_same(self._path, self._identity)
        attempt()

    def _record(self, cursor: sqlite3.Cursor, completed: Completed) -> bool:
        transaction, now = Transaction(cursor, _DIALECT), completed.finished_at
        # Which worker it is does not matter: the fence says that this one holds the job.
        if self._settle_one_by_one(transaction, 0, [completed], now):
            return False
        # In the same commit: the worker may die before it could tell of this one.
        release_after(transaction, self._array, [completed.seq], now)
        return True
