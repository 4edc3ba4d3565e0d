"""Run statements on a driver's cursor, inside a transaction that somebody else began and will end."""

from __future__ import annotations

from itertools import chain
from typing import AbstractSet, Any, Iterable, List, Sequence

from sqlalchemy.engine import Dialect

from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.statement import Row, Statement, compile_clause

# With 20 a batch takes 5 % longer; with 80 it takes no less, and there would be more to compile.
_ROWS_PER_INSERT = 40

# The first words of the keys that are serialized, in the order in which a transaction takes them (`lock_order.py`).
RANKS = ("schedules", "unique", "group", "rate", "queue")


class Transaction:
    """Runs statements on a driver's cursor, with parameters in the statements' declared order."""

    __slots__ = ("_cursor", "_dialect")

    # Whether nobody else writes until this transaction ends, so that what was read stays true.
    is_alone = True

    def __init__(self, cursor: Any, dialect: Dialect) -> None:
        """Wrap a driver's cursor."""
        self._cursor = cursor
        self._dialect = dialect

    def run(self, statement: Statement, *values: Any) -> int:
        """Execute once, and return the number of rows changed."""
        text, arrange = statement.compiled[self._dialect]
        self._cursor.execute(text, arrange(values) if arrange else values)
        changed: int = self._cursor.rowcount
        return changed

    def many(self, statement: Statement, rows: Sequence[Row]) -> int:
        """Execute once for each row of parameters, and return the number of rows changed in all."""
        text, arrange = statement.compiled[self._dialect]
        self._cursor.executemany(text, map(arrange, rows) if arrange else rows)
        changed: int = self._cursor.rowcount
        return changed

    def insert(self, into: Insert, rows: Sequence[Row]) -> None:
        """Insert all rows."""
        whole = len(rows) - len(rows) % _ROWS_PER_INSERT
        if whole:
            # Rows are given in the columns' order, which is the text's: nothing to arrange.
            text, _ = into.rows(_ROWS_PER_INSERT).compiled[self._dialect]
            for start in range(0, whole, _ROWS_PER_INSERT):
                values = list(chain.from_iterable(rows[start : start + _ROWS_PER_INSERT]))
                self._cursor.execute(text, values)
        for row in rows[whole:]:
            self.run(into.rows(1), *row)

    def rows(self, statement: Statement, *values: Any) -> List[Row]:
        """Execute once, and return all rows: a cursor left open would keep its transaction open."""
        text, arrange = statement.compiled[self._dialect]
        self._cursor.execute(text, arrange(values) if arrange else values)
        found: List[Row] = self._cursor.fetchall()
        return found

    def serialize(self, keys: Iterable[str]) -> None:
        """Wait until no other transaction has serialized these, and let others wait for the end of this one.

        It takes them in the order of RANKS, and within one rank in the same order always: so that no two wait for each
        other, later keys are for later calls. Nothing to do where it is alone.
        """

    def try_serialize(self, keys: Iterable[str]) -> AbstractSet[str]:
        """Do as `serialize` with those of the keys that nobody else has, without waiting; returns them."""
        return set(keys)

    def tell_workers(self) -> None:
        """Have idle workers look for jobs after the commit."""

    def tell_waiters(self) -> None:
        """Have those who wait for a job, or follow it, look at it after the commit."""

    def select(self, clause: Any) -> List[Row]:
        """Compile and execute a select that was built for this one call."""
        compiled = compile_clause(clause, self._dialect)
        self._cursor.execute(str(compiled), [compiled.params[name] for name in compiled.positiontup or ()])
        found: List[Row] = self._cursor.fetchall()
        return found
