"""Insert whole rows, many in one statement."""

from __future__ import annotations

from itertools import chain
from typing import Any, Dict

from sqlalchemy import Table, insert

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
