"""Share transactions on a PostgreSQL database: carry out `shared_transactions.py`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence

import psycopg

from sqlite_job.core.jobs import NewJob
from sqlite_job.core.outcomes import Completed
from sqlite_job.core.stopping import Stop
from sqlite_job.core.transactions import OpenTransaction
from sqlite_job.storage import joining as sessions
from sqlite_job.storage.base import SQLStorage
from sqlite_job.storage.limiting import release_after
from sqlite_job.storage.lock_order import serialize_groups
from sqlite_job.storage.postgres import joining
from sqlite_job.storage.postgres.committing import Committer
from sqlite_job.storage.postgres.connections import Connections
from sqlite_job.storage.postgres.dialect import JobDialect
from sqlite_job.storage.postgres.transaction import PostgresTransaction
from sqlite_job.storage.shared_transactions import AnySession

if TYPE_CHECKING:
    from sqlite_job.storage.postgres.joining import Identity


class PostgresSharing(SQLStorage):
    """The verbs of `SharedTransactions`, for `PostgresStorage`, which gives what is declared here."""

    _dialect: JobDialect
    _connections: Connections
    _committer: Committer
    _identity: Optional[Identity] = None

    @property
    def location(self) -> str:
        """The URL without its password."""
        raise NotImplementedError

    def enqueue_within(self, session: AnySession, jobs: Sequence[NewJob]) -> Mapping[str, str]:
        """Store jobs in the user's transaction; those who wait for work hear of it at its commit."""
        sessions.require_synchronous(session)
        identity = self._known_identity()
        connection = joining.connection_of(session, self.location)
        try:
            return self._enqueue_in(connection, identity, jobs)
        except joining.JustTakenError:
            # It is seen now, but where the user's transaction sees what there was at its beginning only.
            return self._enqueue_in(connection, identity, jobs)

    async def aenqueue_within(self, session: AnySession, jobs: Sequence[NewJob]) -> Mapping[str, str]:
        """Store jobs in the user's transaction, awaiting what has to be awaited."""
        if not sessions.is_asynchronous(session):
            return self.enqueue_within(session, jobs)
        if self._identity is None:
            import asyncio

            await asyncio.get_running_loop().run_in_executor(None, self._known_identity)
        return await sessions.present(session).run_sync(self.enqueue_within, jobs)  # type: ignore[no-any-return]

    def open_transaction(self, stop: Stop) -> OpenTransaction:
        """Begin a job's transaction, on a connection of its own; raises a DatabaseError."""
        from sqlite_job.storage.postgres.job_transaction import JobTransactionOnServer  # SQLAlchemy's ORM takes long

        self._open()
        engine = self._connections.engine_of_jobs
        opened = JobTransactionOnServer(engine, self._committer.begin_of_jobs, self._record, self.location)
        self._committer.keep_trying(partial(opened.begin, stop))
        return opened

    def _open(self) -> None:
        """Make the database ready, if it was not."""
        raise NotImplementedError

    def _notification(self, transaction: PostgresTransaction) -> Optional[str]:
        """Return the SQL that tells others of a transaction's commit."""
        raise NotImplementedError

    def _enqueue_in(
        self, connection: joining.AnyConnection, identity: Identity, jobs: Sequence[NewJob]
    ) -> Mapping[str, str]:
        with joining.writing_in(connection, self._dialect, identity, self.location) as transaction:
            if any(new.conditions is not None and new.conditions.depends_on_others for new in jobs):
                joining.require_fresh_reads(transaction)
            existing = self._enqueue(transaction, jobs)
            calls = self._notification(transaction)
            if calls is not None:
                transaction.notify(calls)
            return existing

    def _known_identity(self) -> Identity:
        if self._identity is None:
            self._open()
            self._identity = self._committer.outside(self._read_identity)
        return self._identity

    def _read_identity(self, connection: psycopg.Connection[Any]) -> Identity:
        row = connection.execute(joining.identity_query(self._dialect)).fetchone()
        assert row is not None  # noqa: S101 - the function returns one
        return row[0], row[1], row[2]

    def _record(self, cursor: Any, completed: Completed) -> bool:
        """Settle a completion in a job's transaction, and commit; False, with nothing written, if its fence is shut."""
        transaction, now = PostgresTransaction(cursor, self._dialect), completed.finished_at
        serialize_groups(transaction, self._array, [completed.seq])
        # Which worker it is does not matter: the fence says that this one holds the job.
        if self._settle_one_by_one(transaction, 0, [completed], now):
            return False
        transaction.tell_waiters()
        release_after(transaction, self._array, [completed.seq], now)
        return self._committer.commit(cursor, transaction)
