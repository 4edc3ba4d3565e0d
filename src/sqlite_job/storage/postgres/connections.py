"""Make and keep connections to one database: a pool for statements, and single ones for what has its own."""

from __future__ import annotations

import os
import weakref
from contextlib import contextmanager, suppress
from typing import Any, Dict, Iterator, List, Optional

import psycopg
from sqlalchemy import event
from sqlalchemy.engine import Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import NullPool

from sqlite_job.core.errors import DatabaseBusyError, DatabaseUnusableError
from sqlite_job.storage.files import open_nothing
from sqlite_job.storage.postgres.address import Address

# 13 brought pg_current_xact_id, by which the end of a transaction is found out that was cut off at its commit.
OLDEST_SERVER = 130_000

# Threads that enqueue share one transaction, so few connections go round; what is more is closed after its use.
_KEPT, _MOST = 4, 16

# How long a connection may take: psycopg's own is for ever. `connect_timeout` in the URL counts for it.
_CONNECT_SECONDS = 10


class Connections:
    """The connections of this process; after a fork the child makes its own."""

    def __init__(self, address: Address, durability: str = "full") -> None:
        """Connect to nothing before the first use."""
        self._address = address
        self._durability = durability
        self._engine: Optional[Engine] = None
        self._engine_of_jobs: Optional[Engine] = None
        self._made: weakref.WeakSet[psycopg.Connection[Any]] = weakref.WeakSet()

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's engine on the database, each of whose connections has no transaction of its own accord."""
        if self._engine is None:
            self._engine = self._make_engine(pool_size=_KEPT, max_overflow=_MOST - _KEPT)
        return self._engine

    @property
    def engine_of_jobs(self) -> Engine:
        """An engine whose connections are each for one transaction of a job.

        Not of the pool: as many may be open as a worker has jobs, and it has to renew its lease meanwhile.
        """
        if self._engine_of_jobs is None:
            self._engine_of_jobs = self._make_engine(poolclass=NullPool)
        return self._engine_of_jobs

    @contextmanager
    def borrowed(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend a connection of the pool; one that broke is thrown away, with all that are as old.

        Raises psycopg's own errors.
        """
        engine = self.engine
        pool = engine.pool
        pooled = self._checked_out()
        driver: Any = pooled.driver_connection
        try:
            yield driver
        except BaseException:
            if driver.closed or driver.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                pooled.invalidate()
            raise
        finally:
            # A pool that was forgotten meanwhile would keep it open until the garbage collector comes.
            if pooled.is_valid and engine.pool is not pool:
                pooled.invalidate()
            pooled.close()

    def connect(self) -> psycopg.Connection[Any]:
        """Return a new connection that is the caller's own; raises psycopg.Error."""
        arguments, options = self.engine.dialect.create_connect_args(self._address.url)
        connection = psycopg.connect(*arguments, **{**self._options(), **options})
        self._made.add(connection)
        return connection

    def forget(self) -> None:
        """Close the idle connections: the server that they were to has ended."""
        if self._engine is not None:
            self._engine.dispose()

    def abandon(self) -> None:
        """Leave all connections to the process that this one was forked from.

        Its sockets are let go of, or the server would believe that process alive as long as this one is. Not closed:
        that would say good-bye in the other's name.
        """
        nowhere = open_nothing()
        for connection in list(self._made):
            if not connection.closed:
                os.dup2(nowhere, connection.fileno(), inheritable=False)
                _inherited.append(connection)
        os.close(nowhere)
        if self._engine is not None:
            self._engine.dispose(close=False)
        self._engine = self._engine_of_jobs = None

    def _checked_out(self) -> Any:
        try:
            return self.engine.raw_connection()
        except DBAPIError as error:
            raise (error.orig or error) from error  # as everybody else here raises it
        except PoolTimeoutError as error:
            raise DatabaseBusyError(
                f"{self._address.shown}: all {_MOST} connections of this process were in use for too long; nothing was "
                f"written, try again"
            ) from error

    def _make_engine(self, **pool: Any) -> Engine:
        # Types of extensions are no business of ours, and to look for them is a query for each connection.
        engine = create_engine(
            self._address.url,
            pool_reset_on_return=None,  # each transaction here ends where it began
            connect_args=self._options(),
            use_native_hstore=False,
            **pool,
        )
        event.listen(engine, "connect", self._configure)
        return engine

    def _options(self) -> Dict[str, Any]:
        return {
            "autocommit": True,
            "application_name": self._address.url.query.get("application_name", "sqlite-job"),
            "connect_timeout": int(str(self._address.url.query.get("connect_timeout", _CONNECT_SECONDS))),
        }

    def _configure(self, connection: psycopg.Connection[Any], _record: object) -> None:
        self._made.add(connection)
        if is_pooled_by_another(connection):
            # The next transaction may have another session, which knows nothing of a prepared statement.
            connection.prepare_threshold = None
            return
        # As each of our transactions does; this is for what has none.
        connection.execute("SET lock_timeout = '10s'; SET jit = off")
        if self._durability == "normal":
            connection.execute("SET synchronous_commit = off")


# Connections of a process that this one was forked from: kept, as they would be closed when nobody holds them.
_inherited: List[psycopg.Connection[Any]] = []


def is_pooled_by_another(connection: psycopg.Connection[Any]) -> bool:
    """Whether something stands between us and the server, as PgBouncer, that may give each transaction another session.

    It makes up the number by which a query is cancelled, which a server says truly.
    """
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return row is None or row[0] != connection.info.backend_pid


def check_server(connection: psycopg.Connection[Any], shown: str) -> None:
    """Raise DatabaseUnusableError for a server that is too old, or that reads a database of another encoding."""
    found = connection.info.server_version
    if found < OLDEST_SERVER:
        raise DatabaseUnusableError(f"{shown} is PostgreSQL {found // 10_000}; sqlite-job needs 13 or later")
    row = connection.execute("SHOW server_encoding").fetchone()
    if row is not None and row[0] != "UTF8":
        raise DatabaseUnusableError(f"{shown} has the encoding {row[0]}; make a database with UTF8")


def close_quietly(connection: Optional[psycopg.Connection[Any]]) -> None:
    """Close a connection that may be broken."""
    if connection is not None:
        with suppress(psycopg.Error, OSError):
            connection.close()
