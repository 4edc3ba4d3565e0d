"""Refuse a database that is not as a move needs it: of another version, marked by another move, or not empty."""

from __future__ import annotations

from typing import Mapping

from sqlite_job.core.errors import DatabaseUnusableError, MoveRefusedError
from sqlite_job.storage.moving.mark import COMING, Mark
from sqlite_job.storage.revisions import HEAD


def refuse_version(shown: str, found: str) -> DatabaseUnusableError:
    """Return the error for a source whose tables are those of an older version: a move only reads it."""
    return DatabaseUnusableError(
        f"{shown} has the tables of an older sqlite-job (schema {found}, this one has {HEAD}), and a move does not "
        f"change its source; bring it up to date first, by any command that opens it, as: sqlite-job status"
    )


def refuse_mark(found: Mark, wanted: Mark, shown: str) -> None:
    """Raise MoveRefusedError unless the mark in a target is that of an earlier run of the same move."""
    if found.role == COMING and found.other == wanted.other:
        return
    what = "being filled from" if found.role == COMING else "what was left when it was moved to"
    raise MoveRefusedError(f"{shown!r} is {what} {found.other!r}; give another database or schema")


def refuse_rows(counts: Mapping[str, int], shown: str, mend: str) -> None:
    """Raise MoveRefusedError for a target that has rows: two queues are not mixed, and nothing is written over."""
    found = ", ".join(f"{count:,} in {name}" for name, count in counts.items() if count)
    if found:
        raise MoveRefusedError(f"{shown!r} is not empty (rows: {found}); {mend}, or delete what is there")
