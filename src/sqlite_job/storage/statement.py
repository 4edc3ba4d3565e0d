"""Compile a Core constant once for each dialect, to text and parameter order, and leave running it to the driver.

SQLAlchemy costs 60-90 microseconds for each execution, a whole enqueue on the bare driver 27: so the constant stays the
source of truth, and its compiled text is what runs (a snapshot of it stands in the tests).
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from sqlalchemy import BindParameter, bindparam
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement, ColumnElement
from sqlalchemy.types import Boolean

Row = Tuple[Any, ...]


class Compiled(NamedTuple):
    """Text for the driver; `arrange` puts parameters into the text's order, None when they are in it already."""

    text: str
    arrange: Optional[Callable[[Row], Row]]


class _Compilations(Dict[Dialect, Compiled]):
    """One statement, compiled for each dialect that is asked for: without a call in Python where it was before."""

    def __init__(self, statement: Statement) -> None:
        super().__init__()
        self._statement = statement

    def __missing__(self, dialect: Dialect) -> Compiled:
        found = self[dialect] = self._statement.compile(dialect)
        return found


class Statement:
    """A statement and the order in which callers give its parameters; `compiled[dialect]` is what the driver runs."""

    def __init__(self, clause: Any, *order: str) -> None:
        """Take a Core constant and the names of its parameters in the callers' order."""
        self.clause: ClauseElement = clause
        self.order = order
        self.compiled = _Compilations(self)

    def compile(self, dialect: Dialect) -> Compiled:
        """Return the statement for a dialect with positional parameters; raises ValueError if `order` does not fit."""
        compiled = compile_clause(self.clause, dialect)
        names: List[str] = compiled.positiontup or []
        if set(names) != set(self.order):
            message = f"parameters {self.order} do not fit {names} of:\n{compiled}"
            raise ValueError(message)
        if tuple(names) == self.order:
            return Compiled(str(compiled), None)
        positions = [self.order.index(name) for name in names]
        if len(positions) == 1:
            return Compiled(str(compiled), lambda row: (row[positions[0]],))
        return Compiled(str(compiled), itemgetter(*positions))


def compile_clause(clause: Any, dialect: Dialect) -> SQLCompiler:
    """Compile a clause for a dialect; one that has a `schema_of_jobs` names the tables with it."""
    schema = getattr(dialect, "schema_of_jobs", None)
    options = {"schema_translate_map": {None: schema}, "render_schema_translate": True} if schema else {}
    compiled = clause.compile(dialect=dialect, **options)
    assert isinstance(compiled, SQLCompiler)  # noqa: S101 - for the type checker: DDL never comes here
    return compiled


def given(name: str) -> BindParameter[Any]:
    """Return a parameter; the prefix keeps it apart from the column names, which Core reserves in SET."""
    return bindparam(f"given_{name}")


def names(*parameters: str) -> Tuple[str, ...]:
    """Return the parameter names as `given` makes them."""
    return tuple(f"given_{name}" for name in parameters)


class one_of(ColumnElement[bool]):  # noqa: N801 - reads as an operator in the statements
    """`column` is among an array given as one parameter, so that the text is the same for any length."""

    inherit_cache = False
    type = Boolean()

    def __init__(self, column: Any, array: BindParameter[Any]) -> None:
        """Take a column and the parameter that will hold the array."""
        self.column = column
        self.array = array

    def self_group(self, against: Any = None) -> one_of:
        """Return itself: inside an AND, Core would write `= 1` behind it, and SQLite would use no index."""
        del against
        return self


class among(ColumnElement[bool]):  # noqa: N801 - as `one_of`
    """`column` is among the rows of a subquery, which is run once and, unless told otherwise, locks what it chose.

    PostgreSQL may run the subquery of an IN anew for each row it looks at, and choose more than its limit; or turn it
    round, and look each row up in it. An ARRAY it makes once and first. A row that another transaction has locked is
    left out.
    """

    inherit_cache = False
    type = Boolean()

    def __init__(self, column: Any, chosen: Any, *, locks: bool = True) -> None:
        """Take a column and a select of one column."""
        self.column = column
        self.chosen = chosen.with_for_update(skip_locked=True) if locks else chosen

    def self_group(self, against: Any = None) -> among:
        """Return itself, as `one_of`."""
        del against
        return self


@compiles(among, "sqlite")
def _among_sqlite(element: among, compiler: SQLCompiler, **options: Any) -> str:
    return str(compiler.process(element.column.in_(element.chosen), **options))


@compiles(among, "postgresql")
def _among_postgresql(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.column, **options)
    return f"{column} = ANY (ARRAY{compiler.process(element.chosen.scalar_subquery(), **options)})"


@compiles(one_of, "postgresql")
def _one_of_postgresql(element: one_of, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.column, **options)
    kind = compiler.dialect.type_compiler_instance.process(element.column.type)
    return f"{column} = ANY (CAST({compiler.process(element.array, **options)} AS {kind}[]))"


@compiles(one_of, "sqlite")
def _one_of_sqlite(element: one_of, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.column, **options)
    return f"{column} IN (SELECT value FROM json_each({compiler.process(element.array, **options)}))"  # noqa: S608 - no values in it
