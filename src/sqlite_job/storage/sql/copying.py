"""Statements that read and write whole tables, row by row in the order of the primary key: for a move."""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Callable, Tuple

from sqlalchemy import LargeBinary, MetaData, Table, Text, delete, func, literal_column, select, tuple_

from sqlite_job.storage import tables
from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.statement import Row, Statement, given, names

# What may be large, and so is read in smaller portions.
_LARGE_TEXTS = ("traceback", "message")


class Whole:
    """A table, and the statements on all its rows; index of all of them: the primary key."""

    def __init__(self, table: Table) -> None:
        """Take a table with a primary key."""
        columns = list(table.c)
        keys = list(table.primary_key.columns)
        key_names = [column.name for column in keys]
        after = [given(name) for name in key_names]
        everything = select(*columns)
        # An offset of its own keeps SQLAlchemy from writing one as a parameter.
        page = everything.order_by(*keys).limit(given("count")).offset(literal_column("0"))
        # Texts in the order of their bytes, whatever the language of the database: as SQLite and Python have them.
        in_order = [column.collate("C") if isinstance(column.type, Text) else column for column in keys]

        self.name = table.name
        self.is_large = any(isinstance(one.type, LargeBinary) or one.name in _LARGE_TEXTS for one in columns)
        self.key_of = _picker([columns.index(column) for column in keys])
        self.column_names = [column.name for column in columns]
        self.count = Statement(select(func.count()).select_from(table))
        self.any = Statement(select(*keys).limit(literal_column("1")).offset(literal_column("0")))
        self.on_server = Statement(everything.order_by(*in_order))
        self.first_page = Statement(page, *names("count"))
        self.next_page = Statement(page.where(tuple_(*keys) > tuple_(*after)), *names(*key_names, "count"))
        self.insert = Insert(table, *self.column_names)
        self.delete = Statement(
            delete(table).where(*(column == value for column, value in zip(keys, after))), *names(*key_names)
        )


def _picker(positions: Any) -> Callable[[Row], Tuple[Any, ...]]:
    if len(positions) == 1:
        (only,) = positions
        return lambda row: (row[only],)
    return itemgetter(*positions)


def _wholes(metadata: MetaData) -> Tuple[Whole, ...]:
    # A worker belongs to a process that has the database open, and does not move.
    return tuple(Whole(table) for table in metadata.tables.values() if table is not tables.worker)


# Jobs first: the others belong to them.
WHOLES = _wholes(tables.metadata)

# Tables that nobody may write any more where the queue was moved from.
GUARDED = tuple(tables.metadata.tables)
