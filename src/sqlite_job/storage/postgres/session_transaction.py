"""Run our statements in a transaction of the user's, through SQLAlchemy: whatever driver is below."""

from __future__ import annotations

from typing import AbstractSet, Any, Dict, Iterable, List, Sequence

from sqlalchemy import Connection, text

from sqlite_job.storage.postgres.dialect import JobDialect
from sqlite_job.storage.postgres.transaction import PostgresTransaction
from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.statement import Row, Statement

_LOCK = text("SELECT pg_advisory_xact_lock(number) FROM unnest(CAST(:numbers AS BIGINT[])) AS number")
_TRY_LOCK = text(
    "SELECT number FROM unnest(CAST(:numbers AS BIGINT[])) AS number WHERE pg_try_advisory_xact_lock(number)"
)


class SessionTransaction(PostgresTransaction):
    """A transaction that somebody else began, and will end."""

    __slots__ = ("_connection", "_options")

    def __init__(self, connection: Connection, dialect: JobDialect) -> None:
        """Wrap an SQLAlchemy connection; texts are cleaned, as an error would end the user's transaction."""
        super().__init__(None, dialect, is_cleaning=True)
        self._connection = connection
        schema = dialect.schema_of_jobs
        self._options: Dict[str, Any] = {"schema_translate_map": {None: schema}} if schema else {}

    def run(self, statement: Statement, *values: Any) -> int:
        """Execute once, and return the number of rows changed."""
        return int(self._execute(statement, values).rowcount)

    def many(self, statement: Statement, rows: Sequence[Row]) -> int:
        """Execute once for each row of parameters, and return the number of rows changed in all."""
        return sum(self.run(statement, *row) for row in rows)

    def rows(self, statement: Statement, *values: Any) -> List[Row]:
        """Execute once, and return all rows."""
        return [tuple(row) for row in self._execute(statement, values)]

    def insert(self, into: Insert, rows: Sequence[Row]) -> None:
        """Insert all rows in one statement, each column as an array."""
        if rows:
            self._execute(into.arrays, [list(column) for column in zip(*rows)])

    def serialize(self, keys: Iterable[str]) -> None:
        """Take the keys' advisory locks, which are given back at the end of the user's transaction."""
        numbers = self._in_order(keys)
        if numbers:
            self._connection.execute(_LOCK, {"numbers": numbers})

    def try_serialize(self, keys: Iterable[str]) -> AbstractSet[str]:
        """Take those that are free."""
        numbers = self._numbers(keys)
        found = self._connection.execute(_TRY_LOCK, {"numbers": sorted(numbers)})
        return {numbers[number] for (number,) in found}

    def numbers(self, query: str, *values: Any) -> List[int]:
        """Return the one column of a query that no Core constant stands for."""
        named = {f"value_{position}": value for position, value in enumerate(values)}
        for name in named:
            query = query.replace("%s", f"CAST(:{name} AS INTEGER)", 1)
        return [number for (number,) in self._connection.execute(text(query), named)]

    def notify(self, calls: str) -> None:
        """Notify at the commit, if it comes."""
        self._connection.execute(text(f"SELECT {calls}"))

    def _execute(self, statement: Statement, values: Sequence[Any]) -> Any:
        parameters = dict(zip(statement.order, self._clean(values)))
        clause: Any = statement.clause
        return self._connection.execute(clause, parameters, execution_options=self._options)
