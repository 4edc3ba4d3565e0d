"""Say how a transaction is shared: jobs in one of the user's, the user's rows in one of a job's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Protocol, Sequence

from sqlite_job.core.jobs import NewJob
from sqlite_job.core.stopping import Stop
from sqlite_job.core.transactions import OpenTransaction

if TYPE_CHECKING:
    import sqlite3
    from typing import Union

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
    from sqlalchemy.orm import Session, scoped_session

    from sqlite_job.storage.postgres.joining import AnyConnection

    AnySession = Union[
        Session,
        Connection,
        scoped_session[Any],
        AsyncSession,
        AsyncConnection,
        async_scoped_session[Any],
        sqlite3.Connection,
        AnyConnection,
    ]
else:
    # Importing this package does not import SQLAlchemy: whoever has a session has done it.
    AnySession = Any


class SharedTransactions(Protocol):
    """The verbs of `Storage` that take part in a transaction of somebody else's."""

    def enqueue_within(self, session: AnySession, jobs: Sequence[NewJob]) -> Mapping[str, str]:
        """Store the jobs in the transaction of `session`, all or none: they exist if and only if it commits.

        One is begun if none is open yet; it is left open. Raises OtherDatabaseError, TransactionStateError,
        InvalidOptionError for what is no session, and DatabaseBusyError when the transaction cannot write now; then
        nothing was written, and the transaction is as it was.
        """
        ...

    async def aenqueue_within(self, session: AnySession, jobs: Sequence[NewJob]) -> Mapping[str, str]:
        """Do as `enqueue_within`, also with an AsyncSession or AsyncConnection."""
        ...

    def open_transaction(self, stop: Stop) -> OpenTransaction:
        """Begin a transaction that holds the write lock, for a job and its completion; returns when it is open.

        It is rolled back as soon as `stop` has a cause. Raises DatabaseBusyError when the lock is not free in time.
        """
        ...
