"""Insert whole rows, many in one statement."""

from __future__ import annotations

from functools import cached_property
from itertools import chain
from typing import Any, Dict

from sqlalchemy import ARRAY, Table, cast, func, insert, select

from sqlite_job.storage.statement import Statement, given, names


class Insert:
    """An INSERT of whole rows, as one statement for each number of rows: fewer of them cost less for each row."""

    def __init__(self, table: Table, *columns: str, **constants: Any) -> None:
        """Take a table, its columns in the order of the rows' values, and SQL for columns that are always the same."""
        self._table = table
        self._columns = columns
        self._constants = constants
        self._statements: Dict[int, Statement] = {}

    def rows(self, count: int) -> Statement:
        """Return the statement that inserts `count` rows, given one after the other."""
        found = self._statements.get(count)
        if found is None:
            order = [[f"{column}_{row}" for column in self._columns] for row in range(count)]
            values = [{**dict(zip(self._columns, map(given, row))), **self._constants} for row in order]
            found = self._statements[count] = Statement(insert(self._table).values(values), *names(*chain(*order)))
        return found

    @cached_property
    def arrays(self) -> Statement:
        """The statement that inserts any number of rows, each column an array; for databases that have them."""
        kinds = [self._table.c[column].type for column in self._columns]
        given_arrays = [cast(given(column), ARRAY(kind)) for column, kind in zip(self._columns, kinds)]
        rows = func.unnest(*given_arrays).table_valued(*self._columns).render_derived()
        chosen = [rows.c[column] for column in self._columns]
        constants = list(self._constants.values())
        filled = insert(self._table).from_select(
            [*self._columns, *self._constants], select(*chosen, *constants), include_defaults=False
        )
        return Statement(filled, *names(*self._columns))
