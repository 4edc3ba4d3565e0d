"""Move a queue to another database, with all its jobs: what `sqlite-job move` does."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Callable, Iterator, Optional

from sqlite_job.core.clock import SystemClock
from sqlite_job.core.moves import Moved, MoveProgress, TakenBack
from sqlite_job.storage.opening import Database, environment_allows_network_fs, is_server, locate

if TYPE_CHECKING:
    from sqlite_job.storage.moving.side import Side

OnProgress = Callable[[MoveProgress], object]


def move(source: Database, target: Database, *, on_progress: Optional[OnProgress] = None) -> Moved:
    """Move all jobs, and all that belongs to them, from one database to another: files or servers, as paths or URLs.

    Ids, results, history, schedules and paused queues are kept, and compared row by row. No worker may live on either
    side; the target must be empty, and is made if it is not there. From the end on the source cannot be used any more:
    who opens it, or writes to it, gets DatabaseMovedError with the new address. Cut off by whatever it be, the same
    call goes on. Raises MoveRefusedError, MoveDiffersError or a DatabaseError; then the source is in use as before,
    unless the error came from the very last commit, whose end the same call finds out.
    """
    # Imported here, and below: SQLAlchemy takes longer to import than all the rest.
    from sqlite_job.storage.moving import move as moving

    with _side(source) as here, _side(target) as there:
        return moving.move(here, there, now=SystemClock().now(), tell=on_progress or _tell_nobody)


def undo(
    source: Database, target: Database, *, force: bool = False, on_progress: Optional[OnProgress] = None
) -> TakenBack:
    """Let `source` be used again after a move to `target`, which then cannot be used any more.

    Raises MoveRefusedError where workers live at the target, or jobs have changed there since. With `force` nobody
    looks at the target: for one that is lost.
    """
    from sqlite_job.storage.moving import move as moving

    with _side(source) as here, _side(target) as there:
        return moving.undo(here, there, now=SystemClock().now(), tell=on_progress or _tell_nobody, force=force)


@contextmanager
def _side(database: Database) -> Iterator[Side]:
    side = _make_side(locate(database))
    try:
        yield side
    finally:
        side.disconnect()


def _make_side(location: str) -> Side:
    if is_server(location):
        from sqlite_job.storage.postgres.address import parse
        from sqlite_job.storage.postgres.moving import PostgresSide

        return PostgresSide(parse(location))
    from sqlite_job.storage.moving.sqlite_side import SqliteSide

    return SqliteSide(location, allow_network_fs=environment_allows_network_fs())


def _tell_nobody(_progress: MoveProgress) -> None:
    pass
