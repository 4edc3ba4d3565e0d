"""State what a move asks of a database, as the one that it reads from or the one that it writes to."""

from __future__ import annotations

from typing import ContextManager, Dict, Iterator, List, NamedTuple, Optional, Protocol

from sqlite_job.storage.moving.comparing import Changes, Rows
from sqlite_job.storage.moving.mark import Mark
from sqlite_job.storage.sql.copying import Whole


class Numbers(NamedTuple):
    """The highest numbers ever given to a job and to a worker: none may be given again, as they tell claims apart."""

    job: int
    worker: int


class Snapshot(Protocol):
    """Rows as they were at one moment, whatever others write meanwhile."""

    def counts(self) -> Dict[str, int]:
        """Return the number of rows of each table, by its name."""
        ...

    def read(self, whole: Whole) -> Iterator[Rows]:
        """Yield all rows of a table in the order of its key, in batches of bounded size."""
        ...

    def numbers(self) -> Numbers:
        """Return the highest numbers that were given."""
        ...


class Filling(Protocol):
    """A database that is being filled, by this move alone."""

    def read(self, whole: Whole) -> Iterator[Rows]:
        """Yield all rows of a table in the order of its key; what is changed meanwhile may or may not be seen."""
        ...

    def change(self, whole: Whole, changes: Changes) -> None:
        """Delete and insert rows, in one transaction."""
        ...

    def finish(self, numbers: Numbers) -> None:
        """Go on with numbers above these, and let the database be used, in one transaction."""
        ...


class Side(Protocol):
    """A database at one end of a move. All of it raises a DatabaseError."""

    # Whether texts may have the null character.
    keeps_null_characters: bool

    @property
    def shown(self) -> str:
        """The address without its password."""
        ...

    def identity(self) -> Optional[object]:
        """Return what tells this database from others, whatever it is called; None where it has no tables of ours."""
        ...

    def check_source(self) -> None:
        """Raise a DatabaseError unless there is a queue of this very version; nothing is made or migrated."""
        ...

    def mark(self) -> Optional[Mark]:
        """Return the mark of a move; nothing is made."""
        ...

    def living_workers(self) -> List[str]:
        """Describe the workers that live; nothing is made."""
        ...

    def snapshot(self) -> ContextManager[Snapshot]:
        """Read as of one moment."""
        ...

    def close(self, mark: Mark) -> List[str]:
        """Mark the queue as gone, so that nobody writes to it any more; not if it has workers that live: return them.

        Raises DatabaseMovedError where another move was quicker.
        """
        ...

    def reopen(self) -> None:
        """Take the mark away, and let the queue be used again."""
        ...

    def filling(self, mark: Mark) -> ContextManager[Filling]:
        """Make the tables where there are none, mark them as not to be used yet, and keep others away.

        Raises MoveRefusedError where there are rows, unless an earlier run with the same mark left them.
        """
        ...

    def disconnect(self) -> None:
        """Close what is open."""
        ...
