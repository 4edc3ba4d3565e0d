"""Run statements in a transaction of PostgreSQL, where others write at the same time."""

from __future__ import annotations

from typing import AbstractSet, Any, Dict, Iterable, List, Sequence

from sqlite_job.storage.postgres.address import lock_number
from sqlite_job.storage.postgres.arrays import literal
from sqlite_job.storage.postgres.dialect import JobDialect
from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.statement import Row, Statement
from sqlite_job.storage.transaction import RANKS, Transaction

# In the order of the array.
_LOCK = "SELECT pg_advisory_xact_lock(number) FROM unnest(%s::bigint[]) AS number"
_TRY_LOCK = "SELECT number FROM unnest(%s::bigint[]) AS number WHERE pg_try_advisory_xact_lock(number)"


class PostgresTransaction(Transaction):
    """A transaction at READ COMMITTED: each statement sees what was committed before it."""

    __slots__ = ("_is_cleaning", "wakes_waiters", "wakes_workers")

    is_alone = False

    _dialect: JobDialect

    def __init__(self, cursor: Any, dialect: JobDialect, *, is_cleaning: bool = False) -> None:
        """Wrap a psycopg cursor; with `is_cleaning` texts lose the character that PostgreSQL cannot store."""
        super().__init__(cursor, dialect)
        self._is_cleaning = is_cleaning
        self.wakes_workers = False
        self.wakes_waiters = False

    def run(self, statement: Statement, *values: Any) -> int:
        """Execute once, and return the number of rows changed."""
        return super().run(statement, *self._written(values))

    def many(self, statement: Statement, rows: Sequence[Row]) -> int:
        """Execute once for each row of parameters, and return the number of rows changed in all."""
        if not rows:
            return 0
        return super().many(statement, [tuple(self._clean(row)) for row in rows] if self._is_cleaning else rows)

    def rows(self, statement: Statement, *values: Any) -> List[Row]:
        """Execute once, and return all rows."""
        return super().rows(statement, *self._written(values))

    def insert(self, into: Insert, rows: Sequence[Row]) -> None:
        """Insert all rows in one statement, each column as an array."""
        if not rows:
            return
        text, _ = into.arrays.compiled[self._dialect]
        self._cursor.execute(text, self._written([list(column) for column in zip(*rows)]))

    def serialize(self, keys: Iterable[str]) -> None:
        """Take the keys' advisory locks, which are given back at the end of the transaction."""
        numbers = self._in_order(keys)
        if numbers:
            self._cursor.execute(_LOCK, [numbers])

    def try_serialize(self, keys: Iterable[str]) -> AbstractSet[str]:
        """Take those that are free."""
        numbers = self._numbers(keys)
        if not numbers:
            return set()
        self._cursor.execute(_TRY_LOCK, [sorted(numbers)])
        return {numbers[number] for (number,) in self._cursor.fetchall()}

    def tell_workers(self) -> None:
        """Have the commit notify idle workers."""
        self.wakes_workers = True

    def tell_waiters(self) -> None:
        """Have the commit notify those who follow jobs."""
        self.wakes_waiters = True

    def numbers(self, query: str, *values: Any) -> List[int]:
        """Return the one column of a query that no Core constant stands for."""
        self._cursor.execute(query, values)
        return [number for (number,) in self._cursor.fetchall()]

    def read(self, query: str, *values: Any) -> List[Row]:
        """Return the rows of a query that no Core constant stands for."""
        self._cursor.execute(query, values)
        found: List[Row] = self._cursor.fetchall()
        return found

    def define(self, statement: str, *values: Any) -> None:
        """Execute what is no query, and stands in no Core constant: definitions, locks, settings."""
        self._cursor.execute(statement, values or None)

    def copy(self, statement: str, rows: Iterable[Row]) -> None:
        """Send rows to a COPY: a third of what an INSERT takes."""
        with self._cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def notify(self, calls: str) -> None:
        """Notify at the commit, if it comes."""
        self._cursor.execute(f"SELECT {calls}")

    def _in_order(self, keys: Iterable[str]) -> List[int]:
        numbers = self._numbers(keys)
        return sorted(numbers, key=lambda number: (RANKS.index(numbers[number].partition(" ")[0]), number))

    def _numbers(self, keys: Iterable[str]) -> Dict[int, str]:
        schema = self._dialect.schema_of_jobs
        return {lock_number(schema, key): key for key in keys}

    def _written(self, values: Sequence[Any]) -> Sequence[Any]:
        """Return parameters as the driver wants them."""
        if self._is_cleaning:
            values = self._clean(values)
        return [literal(value) if type(value) is list else value for value in values]

    def _clean(self, values: Iterable[Any]) -> List[Any]:
        return [self._cleaned(value) for value in values]

    def _cleaned(self, value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("\0", "\\0")
        return self._clean(value) if isinstance(value, list) else value
