"""Run statements on a driver's cursor, inside a transaction that somebody else began and will end."""

from __future__ import annotations

from itertools import chain
from typing import Any, List, Sequence

from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.statement import Row, Statement

# More rows in one statement cost no less for each, and would be more to compile.
_ROWS_PER_INSERT = 20


class Transaction:
    """Runs statements on a driver's cursor, with parameters in the statements' declared order."""

    __slots__ = ("_cursor", "_dialect")

    def __init__(self, cursor: Any, dialect: Dialect) -> None:
        """Wrap a driver's cursor."""
        self._cursor = cursor
        self._dialect = dialect

    def run(self, statement: Statement, *values: Any) -> int:
        """Execute once, and return the number of rows changed."""
        text, arrange = statement.compiled(self._dialect)
        self._cursor.execute(text, arrange(values) if arrange else values)
        return int(self._cursor.rowcount)

    def many(self, statement: Statement, rows: Sequence[Row]) -> int:
        """Execute once for each row of parameters, and return the number of rows changed in all."""
        text, arrange = statement.compiled(self._dialect)
        self._cursor.executemany(text, map(arrange, rows) if arrange else rows)
        return int(self._cursor.rowcount)

    def insert(self, into: Insert, rows: Sequence[Row]) -> None:
        """Insert all rows."""
        whole = len(rows) - len(rows) % _ROWS_PER_INSERT
        if whole:
            # Rows are given in the columns' order, which is the text's: nothing to arrange.
            text, _ = into.rows(_ROWS_PER_INSERT).compiled(self._dialect)
            for start in range(0, whole, _ROWS_PER_INSERT):
                values = list(chain.from_iterable(rows[start : start + _ROWS_PER_INSERT]))
                self._cursor.execute(text, values)
        for row in rows[whole:]:
            self.run(into.rows(1), *row)

    def rows(self, statement: Statement, *values: Any) -> List[Row]:
        """Execute once, and return all rows: a cursor left open would keep its transaction open."""
        text, arrange = statement.compiled(self._dialect)
        self._cursor.execute(text, arrange(values) if arrange else values)
        found: List[Row] = self._cursor.fetchall()
        return found

    def select(self, clause: Any) -> List[Row]:
        """Compile and execute a select that was built for this one call."""
        compiled = clause.compile(dialect=self._dialect)
        assert isinstance(compiled, SQLCompiler)  # noqa: S101 - for the type checker
        self._cursor.execute(str(compiled), [compiled.params[name] for name in compiled.positiontup or ()])
        found: List[Row] = self._cursor.fetchall()
        return found
