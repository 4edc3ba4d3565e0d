"""Examine a queue on a server for `sqlite-job doctor`. It only looks: nothing is made, mended, migrated or deleted."""

from __future__ import annotations

from typing import Any, Callable, Iterator, List, Optional, Tuple

import psycopg

from sqlite_job.core.clock import SECOND
from sqlite_job.core.errors import DatabaseError, SQLiteJobError
from sqlite_job.core.findings import Finding, ok, warning, wrong
from sqlite_job.core.states import WAITING, JobStatus
from sqlite_job.storage.interface import WorkerRow
from sqlite_job.storage.postgres.address import Address, lock_number, parse
from sqlite_job.storage.postgres.clock import ServerClock
from sqlite_job.storage.postgres.connections import Connections, check_server, is_pooled_by_another
from sqlite_job.storage.postgres.dialect import dialect_of
from sqlite_job.storage.postgres.listening import Listener
from sqlite_job.storage.postgres.preparing import is_ready, revision_of
from sqlite_job.storage.postgres.transaction import PostgresTransaction
from sqlite_job.storage.postgres.trouble import translate
from sqlite_job.storage.revisions import HEAD
from sqlite_job.storage.sql import failure, log, lookup, payload, progress, result, tag, worker
from sqlite_job.storage.statement import Row, Statement
from sqlite_job.storage.tables import BY_LEASE

# Clocks further apart than this make ages look odd; all that is decided goes by the server's.
_APART_SECONDS = 1.0

# A transaction that is open so long keeps every row version since from being cleaned away.
_OLD_SECONDS = 3600

# More dead rows than live ones, and enough of them to matter.
_MANY_DEAD = 100_000

_Check = Callable[[], Iterator[Finding]]


def holds_queue(location: str) -> bool:
    """Whether the database has our tables; raises a DatabaseError where it cannot be reached."""
    address = parse(location)
    connections = Connections(address)
    try:
        with connections.connect() as connection:
            return revision_of(connection, address.schema) is not None
    except psycopg.Error as error:
        raise translate(error, address.shown) from error


def examine(location: str, *, now: int) -> List[Finding]:
    """Return what there is to say of the database, in a fixed order; problems of any kind are findings."""
    address = parse(location)
    connections = Connections(address)
    try:
        connection = connections.connect()
    except psycopg.Error as error:
        return [wrong("Server", str(translate(error, address.shown)))]
    with connection:
        return _Examination(address, connections, connection, now).findings()


class _Examination:
    """One examination, over one connection."""

    def __init__(
        self, address: Address, connections: Connections, connection: psycopg.Connection[Any], now: int
    ) -> None:
        self._address = address
        self._connection = connection
        self._now = now
        self._transaction = PostgresTransaction(connection.cursor(), dialect_of(address.schema))
        self._listener = Listener(connections, [], lock_number(address.schema, "worker", size=4))

    def findings(self) -> List[Finding]:
        found: List[Finding] = []
        for name, check in self._checks():
            try:
                found += check()
            except (psycopg.Error, SQLiteJobError) as error:
                told = error if isinstance(error, SQLiteJobError) else translate(error, self._address.shown)
                found.append(wrong(name, str(told)))
                if name == "Schema":
                    break  # there is nothing more to look at
        return found

    def _checks(self) -> List[Tuple[str, _Check]]:
        return [
            ("Server", self._check_server),
            ("Connection", self._check_connection),
            ("Durability", self._check_durability),
            ("Clock", self._check_clock),
            ("Schema", self._check_schema),
            ("Workers", self._check_workers),
            ("Running jobs", self._check_running),
            ("Rows", self._check_rows),
            ("Transactions", self._check_old_transactions),
            ("Dead rows", self._check_dead_rows),
        ]

    def _check_server(self) -> Iterator[Finding]:
        check_server(self._connection, self._address.shown)
        version, is_standby, used, most = self._row(
            "SELECT current_setting('server_version'), pg_is_in_recovery(),"
            " (SELECT count(*) FROM pg_stat_activity), current_setting('max_connections')::int"
        )
        text = f"PostgreSQL {version}, {used} of {most} connections in use"
        if is_standby:
            yield wrong("Server", f"{text}; it is a standby, which only reads", "give the address of the primary")
        elif used * 10 > most * 9:
            yield warning("Server", text, "raise max_connections, or put a pooler in between; a worker needs 2 to 3")
        else:
            yield ok("Server", text)

    def _check_connection(self) -> Iterator[Finding]:
        if is_pooled_by_another(self._connection):
            yield warning(
                "Connection",
                "through a pooler: no LISTEN, and no locks of a session. Jobs start up to 0.25 s later, and a dead "
                "worker is known by its lease alone",
                "connect workers to the server itself; producers may stay with the pooler",
            )
        else:
            yield ok("Connection", "direct: idle workers are told of new jobs, and a dead worker is seen in a second")

    def _check_durability(self) -> Iterator[Finding]:
        commit, fsync = self._row("SELECT current_setting('synchronous_commit'), current_setting('fsync')")
        if fsync == "off":
            yield wrong("Durability", "fsync is off: a power cut may destroy the database", "set fsync = on")
        elif commit == "off":
            mend = 'set synchronous_commit = on; what may be lost is chosen by durability="normal"'
            yield warning("Durability", "synchronous_commit is off: a crash may lose acknowledged jobs", mend)
        else:
            yield ok("Durability", f"fsync on, synchronous_commit {commit}")

    def _check_clock(self) -> Iterator[Finding]:
        clock = ServerClock()
        clock.compare(self._connection)
        text = f"the server's is {abs(clock.offset) / SECOND:.3f} s {'ahead of' if clock.offset > 0 else 'behind'} ours"
        if abs(clock.offset) > _APART_SECONDS * SECOND:
            yield warning("Clock", text, "set one of them; jobs go by the server's")
        else:
            yield ok("Clock", text)

    def _check_schema(self) -> Iterator[Finding]:
        where = "the search path" if self._address.schema is None else f"schema {self._address.schema!r}"
        if is_ready(self._connection, self._address.schema, self._address.shown):
            yield ok("Schema", f"version {HEAD}, in {where}")
            return
        found = revision_of(self._connection, self._address.schema)
        if found is None:
            raise DatabaseError(f"{self._address.shown} has no tables of sqlite-job; its first use makes them")
        yield warning("Schema", f"version {found}, older than {HEAD}", "the next use migrates it; make a backup")

    def _check_workers(self) -> Iterator[Finding]:
        rows = [WorkerRow(*row) for row in self._rows(worker.ALL)]
        alive = self._alive()
        for row in rows:
            if row.id not in alive:
                yield warning(
                    "Workers",
                    f"worker {row.id} (process {row.pid} on {row.host}) has ended, or is silent for too long",
                    "the next worker that runs takes over its jobs",
                )
        shown = ", ".join(f"{row.id} (process {row.pid} on {row.host})" for row in rows if row.id in alive)
        waiting = sum(count for _, status, count in self._rows(lookup.COUNTS) if JobStatus(status) in WAITING)
        if shown:
            yield ok("Workers", f"alive: {shown}")
        elif waiting:
            jobs = "job waits" if waiting == 1 else "jobs wait"
            yield warning("Workers", f"none, and {waiting:,} {jobs}", "start one: sqlite-job worker MODULE.CLASS")
        elif not rows:
            yield ok("Workers", "none, and no job waits")

    def _check_running(self) -> Iterator[Finding]:
        alive = self._alive()
        held = self._rows(lookup.COUNT_HELD)
        all_of_them = sum(count for _, count in held)
        lost = sum(count for worker_id, count in held if worker_id not in alive)
        if lost:
            yield warning(
                "Running jobs",
                f"{lost:,} of {all_of_them:,} are held by no worker that lives",
                "a worker takes them over within a second of its start",
            )
            return
        yield ok("Running jobs", f"{all_of_them:,}, each held by a worker that lives")

    def _check_rows(self) -> Iterator[Finding]:
        counted = [
            ("jobs without arguments", lookup.COUNT_WITHOUT_PAYLOAD),
            ("arguments without a job", payload.COUNT_ORPHANS),
            ("results without a job", result.COUNT_ORPHANS),
            ("failures without a job", failure.COUNT_ORPHANS),
            ("tags without a job", tag.COUNT_ORPHANS),
            ("progress without a job", progress.COUNT_ORPHANS),
            ("log records without a job", log.COUNT_ORPHANS),
        ]
        found = [(name, self._rows(statement)[0][0]) for name, statement in counted]
        shown = ", ".join(f"{count:,} {name}" for name, count in found if count)
        if shown:
            yield warning("Rows", shown, "another program has deleted rows: find it; what is left over does no harm")
            return
        yield ok("Rows", "all belong together")

    def _check_old_transactions(self) -> Iterator[Finding]:
        rows = self._connection.execute(
            "SELECT pid, usename, extract(epoch FROM clock_timestamp() - xact_start)::int FROM pg_stat_activity"
            " WHERE backend_xmin IS NOT NULL AND clock_timestamp() - xact_start > make_interval(secs => %s)"
            " ORDER BY xact_start LIMIT 5",
            [_OLD_SECONDS],
        ).fetchall()
        for pid, user, seconds in rows:
            yield warning(
                "Transactions",
                f"process {pid} of {user} has a transaction open for {seconds // 60:,} minutes: nothing that was "
                f"deleted or changed since can be cleaned away, and claims become slow",
                f"end it, or SELECT pg_terminate_backend({pid})",
            )
        if not rows:
            yield ok("Transactions", "none")

    def _check_dead_rows(self) -> Iterator[Finding]:
        name = dialect_of(self._address.schema).qualified("sqlitejob_job")
        row: Optional[Row] = self._connection.execute(
            "SELECT n_live_tup, n_dead_tup, pg_total_relation_size(relid) FROM pg_stat_user_tables"
            " WHERE relid = to_regclass(%s)",
            [name],
        ).fetchone()
        live, dead, size = row or (0, 0, 0)
        text = f"about {dead:,} beside {live:,} live ones, {size / 1e6:,.1f} MB"
        if dead > max(_MANY_DEAD, live):
            yield warning("Dead rows", text, "see that autovacuum is on and keeps up, or VACUUM sqlitejob_job")
        else:
            yield ok("Dead rows", text)

    def _alive(self) -> List[int]:
        held = self._listener.held(self._connection)
        return [
            worker_id
            for worker_id, lease_until, liveness in self._rows(worker.LEASES)
            if lease_until >= self._now and (liveness == BY_LEASE or worker_id in held)
        ]

    def _rows(self, statement: Statement) -> List[Row]:
        return self._transaction.rows(statement)

    def _row(self, query: str) -> Row:
        row: Optional[Row] = self._connection.execute(query).fetchone()
        assert row is not None  # noqa: S101 - a SELECT without FROM has one row
        return row
