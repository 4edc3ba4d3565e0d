"""Give the space of deleted jobs back to the disk, in steps that nobody notices."""

from __future__ import annotations

from sqlalchemy import text

from sqlite_job.core.clock import elapsed
from sqlite_job.storage.statement import Statement
from sqlite_job.storage.transacting import Transacting
from sqlite_job.storage.transaction import Transaction

# What is free is used again by the next jobs: only what is more than a quarter of the file goes back, and of a small
# file (16 MB of 4 kB pages) nothing.
_LEAST_PAGES = 4_096
_PART = 4

# What one step takes behind the gate; the pages are written to the journal, so it is a limit of pages, too.
_SECONDS = 0.003
_PAGES = 256

_FREE = Statement(text("PRAGMA freelist_count"))
_ALL = Statement(text("PRAGMA page_count"))
_MODE = Statement(text("PRAGMA auto_vacuum"))
# One page: for more it returns a row for each, without columns, at which some drivers stop.
_STEP = Statement(text("PRAGMA incremental_vacuum(1)"))

# What PRAGMA auto_vacuum says of a file that was made so; of any other one the step would do nothing.
_INCREMENTAL = 2


class SpaceVerbs(Transacting):
    """Giving space back, as SQLite does it."""

    def give_back_space(self) -> bool:
        """Move some pages from the end of the file into free ones; the next checkpoint cuts the file off."""
        if not self._read(_is_worth_it):
            return False
        return self._write(_take_a_step)


def _take_a_step(transaction: Transaction) -> bool:
    deadline = elapsed() + _SECONDS
    for _ in range(_PAGES):
        transaction.rows(_STEP)
        if elapsed() > deadline:
            break
    return _is_worth_it(transaction)


def _is_worth_it(transaction: Transaction) -> bool:
    free = _number(transaction, _FREE)
    if free < _LEAST_PAGES or free * _PART < _number(transaction, _ALL):
        return False
    return _number(transaction, _MODE) == _INCREMENTAL


def _number(transaction: Transaction, pragma: Statement) -> int:
    return int(transaction.rows(pragma)[0][0])
