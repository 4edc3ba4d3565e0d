"""A PostgreSQL database at one end of a move: read in one snapshot, or filled behind triggers that refuse others."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Optional, TypeVar

import psycopg
from sqlalchemy.exc import DBAPIError

from sqlite_job.core.errors import DatabaseUnavailableError, MoveRefusedError
from sqlite_job.storage.interface import WorkerRow
from sqlite_job.storage.moving import mark as marks
from sqlite_job.storage.moving.comparing import MOST_ROWS, SMALL_PAGE, Changes, Rows, gathered
from sqlite_job.storage.moving.mark import Mark
from sqlite_job.storage.moving.occupation import refuse_mark, refuse_rows, refuse_version
from sqlite_job.storage.moving.side import Numbers
from sqlite_job.storage.postgres.address import Address, lock_number
from sqlite_job.storage.postgres.clock import ServerClock
from sqlite_job.storage.postgres.committing import Committer
from sqlite_job.storage.postgres.connections import Connections, check_server, close_quietly, is_pooled_by_another
from sqlite_job.storage.postgres.dialect import JobDialect, dialect_of
from sqlite_job.storage.postgres.joining import identity_query
from sqlite_job.storage.postgres.listening import Listener
from sqlite_job.storage.postgres.preparing import is_ready, prepare, read_mark, revision_of
from sqlite_job.storage.postgres.transaction import PostgresTransaction
from sqlite_job.storage.postgres.trouble import MOVED_STATE, translate
from sqlite_job.storage.revisions import HEAD
from sqlite_job.storage.sql import worker
from sqlite_job.storage.sql.copying import GUARDED, WHOLES, Whole
from sqlite_job.storage.tables import BY_LEASE

T = TypeVar("T")

_FUNCTION = "sqlitejob_refuse"

# What the triggers refuse, but to the sessions of the move itself.
_REFUSE = f"""
CREATE FUNCTION {{function}}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('sqlitejob.mover', true) IS DISTINCT FROM 'yes' THEN
        RAISE EXCEPTION USING ERRCODE = '{MOVED_STATE}', MESSAGE = TG_ARGV[0];
    END IF;
    RETURN NULL;
END $$
"""
_AS_MOVER = "SET LOCAL sqlitejob.mover = 'yes'"

_READ_ONLY = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

_SEQUENCES = ("sqlitejob_job_seq_seq", "sqlitejob_worker_id_seq")


class PostgresSide:
    """The tables in one schema of a database."""

    keeps_null_characters = False

    def __init__(self, address: Address) -> None:
        """Take the address; nothing is connected to."""
        self._address = address
        self._connections = Connections(address)
        self._dialect = dialect_of(address.schema)
        self._committer = Committer(
            self._connections, self._dialect, address.shown, durability="full", notify=lambda _transaction: None
        )

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return self._address.shown

    def identity(self) -> Optional[object]:
        """Return what tells the table of jobs from all others, on whatever server."""

        def ask(connection: psycopg.Connection[Any]) -> Optional[object]:
            row = connection.execute(identity_query(self._dialect)).fetchone()
            return None if row is None or row[2] is None else tuple(row)

        return self._committer.outside(ask)

    def check_source(self) -> None:
        """Raise a DatabaseError unless there is a queue of this version."""

        def check(connection: psycopg.Connection[Any]) -> None:
            check_server(connection, self.shown)
            found = revision_of(connection, self._address.schema)
            if found is None:
                raise DatabaseUnavailableError(f"There is no queue to move: no tables of sqlite-job in {self.shown!r}")
            if found < HEAD:
                raise refuse_version(self.shown, found)
            if read_mark(connection, self._address.schema) is None:
                is_ready(connection, self._address.schema, self.shown)  # refuses a newer one

        self._committer.outside(check)

    def mark(self) -> Optional[Mark]:
        """Return the mark of a move."""
        return self._committer.outside(lambda connection: read_mark(connection, self._address.schema))

    def living_workers(self) -> List[str]:
        """Describe the workers that live."""

        def look(connection: psycopg.Connection[Any]) -> List[str]:
            if revision_of(connection, self._address.schema) is None:
                return []
            return self._living(PostgresTransaction(connection.cursor(), self._dialect), connection)

        return self._committer.outside(look)

    @contextmanager
    def snapshot(self) -> Iterator[_Reading]:
        """Read as of one moment."""
        connection = self._connect()
        try:
            with _translated(self.shown):
                connection.execute(_READ_ONLY)
                yield _Reading(connection, self._dialect)
        finally:
            close_quietly(connection)

    def close(self, mark: Mark) -> List[str]:
        """Mark the queue as gone, with a trigger on each table that refuses all writes."""

        def end(transaction: PostgresTransaction) -> List[str]:
            # Who writes comes to an end first, and nobody begins: so nothing comes between the look and the mark.
            transaction.define(f"LOCK TABLE {', '.join(self._guarded())} IN SHARE ROW EXCLUSIVE MODE")
            found = self._mark_in(transaction)
            if found is not None:
                raise found.error(self.shown)
            alive = self._committer.outside(partial(self._living, transaction))
            if not alive:
                self._write_mark(mark, transaction)
            return alive

        return self._committer.write(end)

    def reopen(self) -> None:
        """Drop the triggers and the mark."""
        self._committer.write(self._remove_mark)

    @contextmanager
    def filling(self, mark: Mark) -> Iterator[_Filling]:
        """Fill the tables, made if needed, while triggers refuse everybody else."""
        connection = self._connect()
        try:
            self._take_turn(connection)
            if self.mark() is None:
                self._committer.outside(self._prepare)
            self._committer.write(partial(self._begin_filling, mark))
            yield _Filling(self._connect, self._committer, self._dialect, self._finish)
        finally:
            close_quietly(connection)

    def disconnect(self) -> None:
        """Close the connections of the pool."""
        self._connections.forget()

    def _take_turn(self, connection: psycopg.Connection[Any]) -> None:
        if is_pooled_by_another(connection):
            return  # it would be another session's lock
        number = lock_number(self._address.schema, "move")
        with _translated(self.shown):
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", [number]).fetchone()
        if row is None or not row[0]:
            raise MoveRefusedError(f"Another move to {self.shown!r} is under way; let it end")

    def _prepare(self, connection: psycopg.Connection[Any]) -> None:
        check_server(connection, self.shown)
        if is_ready(connection, self._address.schema, self.shown):
            return
        try:
            prepare(self._connections.engine, self._address.schema)
        except DBAPIError as error:
            raise (error.orig or error) from error

    def _begin_filling(self, mark: Mark, transaction: PostgresTransaction) -> None:
        transaction.define(f"LOCK TABLE {', '.join(self._guarded())} IN SHARE ROW EXCLUSIVE MODE")
        found = self._mark_in(transaction)
        if found is not None:
            refuse_mark(found, mark, self.shown)
            return
        counts = {whole.name: transaction.rows(whole.count)[0][0] for whole in WHOLES}
        refuse_rows(counts, self.shown, "give another database, or another schema by ?schema=")
        self._write_mark(mark, transaction)

    def _mark_in(self, transaction: PostgresTransaction) -> Optional[Mark]:
        if transaction.read(f"SELECT to_regclass('{self._literal(marks.TABLE)}')")[0][0] is None:
            return None
        return Mark(*transaction.read(marks.READ.format(table=self._name(marks.TABLE)))[0])

    def _write_mark(self, mark: Mark, transaction: PostgresTransaction) -> None:
        table, function = self._name(marks.TABLE), self._name(_FUNCTION)
        transaction.define(marks.CREATE.format(table=table))
        transaction.define(f"INSERT INTO {table} VALUES (%s, %s, %s)", *mark)  # noqa: S608 - a quoted name
        transaction.define(_REFUSE.format(function=function))
        refusal = "'" + mark.refusal(self.shown).replace("'", "''") + "'"
        for guarded in self._guarded():
            transaction.define(
                f"CREATE TRIGGER {marks.TABLE} BEFORE INSERT OR UPDATE OR DELETE ON {guarded} "
                f"FOR EACH STATEMENT EXECUTE FUNCTION {function}({refusal})"
            )

    def _remove_mark(self, transaction: PostgresTransaction) -> None:
        transaction.define(f"DROP FUNCTION IF EXISTS {self._name(_FUNCTION)} CASCADE")  # and the triggers that call it
        transaction.define(f"DROP TABLE IF EXISTS {self._name(marks.TABLE)}")

    def _finish(self, numbers: Numbers, transaction: PostgresTransaction) -> None:
        for sequence, number in zip(_SEQUENCES, numbers):
            if number:
                name = self._name(sequence)
                transaction.read(
                    f"SELECT setval('{self._literal(sequence)}', greatest(%s, last_value)) FROM {name}",  # noqa: S608
                    number,
                )
        self._remove_mark(transaction)

    def _living(self, transaction: PostgresTransaction, connection: psycopg.Connection[Any]) -> List[str]:
        clock = ServerClock()
        clock.compare(connection)
        held = Listener(self._connections, [], lock_number(self._address.schema, "worker", size=4)).held(connection)
        alive = {
            worker_id
            for worker_id, lease_until, liveness in transaction.rows(worker.LEASES)
            if lease_until >= clock.now() and (liveness == BY_LEASE or worker_id in held)
        }
        rows = [WorkerRow(*row) for row in transaction.rows(worker.ALL)]
        return [f"{row.id} (process {row.pid} on {row.host})" for row in rows if row.id in alive]

    def _connect(self) -> psycopg.Connection[Any]:
        with _translated(self.shown):
            return self._connections.connect()

    def _guarded(self) -> List[str]:
        return [self._name(table) for table in GUARDED]

    def _name(self, name: str) -> str:
        return self._dialect.qualified(name)

    def _literal(self, name: str) -> str:
        return self._name(name).replace("'", "''")


class _Reading:
    """Reads over one connection that is in a transaction."""

    def __init__(self, connection: psycopg.Connection[Any], dialect: JobDialect) -> None:
        self._connection = connection
        self._dialect = dialect
        self._transaction = PostgresTransaction(connection.cursor(), dialect)

    def counts(self) -> Dict[str, int]:
        return {whole.name: self._transaction.rows(whole.count)[0][0] for whole in WHOLES}

    def read(self, whole: Whole) -> Iterator[Rows]:
        return gathered(self._pages(whole)) if whole.is_large else self._pages(whole)

    def numbers(self) -> Numbers:
        given = [
            self._transaction.read(f"SELECT last_value, is_called FROM {self._dialect.qualified(name)}")[0]  # noqa: S608
            for name in _SEQUENCES
        ]
        return Numbers(*(last if is_called else 0 for last, is_called in given))

    def _pages(self, whole: Whole) -> Iterator[Rows]:
        text, _ = whole.on_server.compiled[self._dialect]
        size = SMALL_PAGE if whole.is_large else MOST_ROWS
        # The server sorts once, and keeps what it has not sent yet.
        with self._connection.cursor("sqlitejob_move") as cursor:
            cursor.execute(text, binary=True)
            rows = cursor.fetchmany(size)
            while rows:
                yield rows
                rows = cursor.fetchmany(size)


class _Filling:
    """Reads over connections of its own, and writes by transactions that are run again where a connection was lost."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        committer: Committer,
        dialect: JobDialect,
        finish: Callable[[Numbers, PostgresTransaction], None],
    ) -> None:
        self._connect = connect
        self._committer = committer
        self._dialect = dialect
        self._finish = finish

    def read(self, whole: Whole) -> Iterator[Rows]:
        connection = self._connect()
        try:
            connection.execute(_READ_ONLY)
            yield from _Reading(connection, self._dialect).read(whole)
        finally:
            close_quietly(connection)

    def change(self, whole: Whole, changes: Changes) -> None:
        columns = ", ".join(self._dialect.identifier_preparer.quote(name) for name in whole.column_names)
        copy = f"COPY {self._dialect.qualified(whole.name)} ({columns}) FROM STDIN"

        def write(transaction: PostgresTransaction) -> None:
            transaction.define(_AS_MOVER)
            transaction.many(whole.delete, changes.gone)
            transaction.copy(copy, changes.rows)

        self._committer.write(write)

    def finish(self, numbers: Numbers) -> None:
        self._committer.write(partial(self._finish, numbers))
        # Plans of the first minutes would else be made for empty tables.
        self._committer.outside(self._analyze)

    def _analyze(self, connection: psycopg.Connection[Any]) -> None:
        for whole in WHOLES:
            connection.execute(f"ANALYZE {self._dialect.qualified(whole.name)}")


@contextmanager
def _translated(shown: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, shown) from error
