"""Move a queue: copy it while it is in use, close it, copy what has changed since, compare, and open the copy.

At no moment can both be used. Whatever ends a move before its end, the same command goes on where it was: what is
there already is compared, not written again. An error before the end lets the source be used as before.
"""

from __future__ import annotations

import shlex
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from sqlite_job.core.errors import MoveDiffersError, MoveRefusedError
from sqlite_job.core.moves import Moved, MoveProgress, TakenBack
from sqlite_job.storage.moving.comparing import Checksum, Rows, changes_between, side_by_side
from sqlite_job.storage.moving.mark import COMING, GONE, Mark
from sqlite_job.storage.moving.side import Filling, Numbers, Side, Snapshot
from sqlite_job.storage.sql.copying import WHOLES, Whole

Tell = Callable[[MoveProgress], object]

Read = Callable[[Whole], Iterator[Rows]]

# With the source closed the first comparison mends what has changed since the copy, and the next finds nothing.
_MOST_COMPARISONS = 3


def move(source: Side, target: Side, *, now: int, tell: Tell) -> Moved:
    """Move all but the workers from one database to another; see `sqlite_job.moving.move`."""
    source.check_source()
    if source.shown == target.shown or source.identity() == target.identity():
        raise MoveRefusedError(f"{source.shown!r} is both the source and the target; give another target")
    mark = source.mark()
    if mark is not None and (mark.role != GONE or mark.other != target.shown):
        raise mark.error(source.shown)
    if mark is not None and _is_open(target):
        return _Copying(source, target, tell).recount()
    _refuse_living(source)
    _refuse_living(target)
    with target.filling(Mark(COMING, source.shown, now)) as filling:
        copying = _Copying(source, target, tell)
        if mark is None:
            copying.copy(filling)
            _close(source, Mark(GONE, target.shown, now))
        try:
            found = copying.compare(filling)
        except BaseException:
            # The target is not open yet, so the source is still the one.
            source.reopen()
            raise
        if source.mark() is None:
            raise MoveRefusedError(f"Somebody has taken {source.shown!r} back meanwhile; it is in use, and not moved")
        # What fails here may have been committed: nobody may use the source then. The same command finds out.
        filling.finish(found.numbers)
    return found.moved(source.shown, target.shown)


def undo(source: Side, target: Side, *, now: int, tell: Tell, force: bool) -> TakenBack:
    """Let the source of a move be used again; see `sqlite_job.moving.undo`."""
    mark = source.mark()
    if mark is None or mark.role != GONE:
        raise MoveRefusedError(f"{source.shown!r} was not moved away: there is nothing to undo")
    if mark.other != target.shown:
        raise mark.error(source.shown)
    if not force and _is_open(target):
        _refuse_living(target)
        _close(target, Mark(GONE, source.shown, now))
        differing = _Copying(source, target, tell).first_difference()
        if differing is not None:
            target.reopen()
            raise MoveRefusedError(
                f"{target.shown!r} is not as it was when the queue was moved there ({differing}); what was done since "
                f"would be lost. Move it instead, to a new place: sqlite-job move {shlex.quote(target.shown)} NEW"
            )
    source.reopen()
    return TakenBack(source.shown, target.shown)


class _Report(NamedTuple):
    """What one comparison has found; `table` and `key` tell of the first difference, if there was one."""

    counts: Dict[str, int]
    checksum: str
    numbers: Numbers
    table: str = ""
    key: str = ""

    @property
    def is_same(self) -> bool:
        return not self.table

    def moved(self, source: str, target: str) -> Moved:
        return Moved(source, target, self.counts["sqlitejob_job"], self.counts, self.checksum)


class _Copying:
    """Goes through all tables of both sides."""

    def __init__(self, source: Side, target: Side, tell: Tell) -> None:
        self._source = source
        self._target = target
        self._tell = tell
        self._done = 0
        self._total = 0

    def copy(self, filling: Filling) -> None:
        """Make the target like the source is now."""
        with self._source.snapshot() as snapshot:
            self._begin("copying", snapshot)
            for whole in WHOLES:
                for wanted, found in side_by_side(
                    self._cleaned(snapshot.read(whole)), filling.read(whole), whole.key_of
                ):
                    changes = changes_between(wanted, found, whole.key_of)
                    if changes is not None:
                        filling.change(whole, changes)
                    self._count("copying", wanted)

    def compare(self, filling: Filling) -> _Report:
        """Compare counts and checksums, and mend, until both are the same; raises MoveDiffersError."""
        for _ in range(_MOST_COMPARISONS):
            report = self._compare_once(filling.read, filling)
            if report.is_same:
                return report
        raise MoveDiffersError(report.table, report.key, self._target.shown)

    def first_difference(self) -> Optional[str]:
        """Say where the sides differ first, or None."""
        with self._target.snapshot() as theirs:
            report = self._compare_once(theirs.read, None)
        return None if report.is_same else f"{report.table}, row {report.key}"

    def recount(self) -> Moved:
        """Return what was moved by an earlier run, from the source, which nobody has changed since."""
        return self._compare_once(None, None).moved(self._source.shown, self._target.shown)

    def _compare_once(self, read: Optional[Read], filling: Optional[Filling]) -> _Report:
        """Compare with what `read` gives, if anything, and mend it in `filling`, if that is given."""
        with self._source.snapshot() as snapshot:
            self._begin("comparing", snapshot)
            counts: Dict[str, int] = {}
            checksums: List[str] = []
            table = key = ""
            for whole in WHOLES:
                wanted = self._cleaned(snapshot.read(whole))
                both = side_by_side(wanted, read(whole), whole.key_of) if read else ((rows, rows) for rows in wanted)
                checksum, first = self._compare_table(whole, both, filling)
                counts[whole.name] = checksum.rows
                checksums.append(str(checksum))
                if first is not None and not table:
                    table, key = whole.name, first
            return _Report(counts, _combined(checksums), snapshot.numbers(), table, key)

    def _compare_table(
        self, whole: Whole, both: Iterable[Tuple[Rows, Rows]], filling: Optional[Filling]
    ) -> Tuple[Checksum, Optional[str]]:
        """Return the checksum of the source's rows, and the first key that differs, None where both are the same."""
        ours, theirs = Checksum(), Checksum()
        first: Optional[str] = None
        for wanted, found in both:
            changes = changes_between(wanted, found, whole.key_of)
            if changes is None:
                ours.add(wanted, theirs)
            else:
                ours.add(wanted)
                theirs.add(found)
                first = first or _first_key(changes.gone + [whole.key_of(row) for row in changes.rows])
                if filling is not None:
                    filling.change(whole, changes)
            self._count("comparing", wanted)
        is_same = (str(ours), ours.rows) == (str(theirs), theirs.rows)
        return ours, None if is_same else (first or "?")

    def _begin(self, step: str, snapshot: Snapshot) -> None:
        self._done, self._total = 0, sum(snapshot.counts().values())
        self._tell(MoveProgress(0, self._total, step))

    def _count(self, step: str, rows: Rows) -> None:
        self._done += len(rows)
        self._tell(MoveProgress(self._done, self._total, step))

    def _cleaned(self, batches: Iterator[Rows]) -> Iterator[Rows]:
        if self._target.keeps_null_characters or not self._source.keeps_null_characters:
            return batches
        return map(_without_null_characters, batches)


def _is_open(side: Side) -> bool:
    return side.identity() is not None and side.mark() is None


def _refuse_living(side: Side) -> None:
    _refuse(side, side.living_workers())


def _close(side: Side, mark: Mark) -> None:
    _refuse(side, side.close(mark))


def _refuse(side: Side, alive: List[str]) -> None:
    if alive:
        raise MoveRefusedError(f"{side.shown!r} has workers that live: {', '.join(alive)}; stop them first")


def _first_key(keys: Rows) -> str:
    return ", ".join(map(str, min(keys)))


def _combined(checksums: List[str]) -> str:
    whole = Checksum()
    whole.add([tuple(checksums)])
    return str(whole)


def _without_null_characters(rows: Rows) -> Rows:
    """Write texts as PostgreSQL can store them, and as the queue's own storage writes them there."""
    return [
        tuple(value.replace("\0", "\\0") if isinstance(value, str) else value for value in row)
        if any(isinstance(value, str) and "\0" in value for value in row)
        else row
        for row in rows
    ]
