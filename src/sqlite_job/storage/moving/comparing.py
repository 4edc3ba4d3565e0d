"""Compare two streams of rows that are in the order of one key, and tell what makes the second like the first."""

from __future__ import annotations

from hashlib import blake2b
from typing import Callable, Iterator, List, NamedTuple, Optional, Tuple

from sqlite_job.storage.statement import Row

Rows = List[Row]
KeyOf = Callable[[Row], Row]

# What is compared, and written in one transaction, at once.
MOST_ROWS = 2_000
MOST_BYTES = 8 * 1024 * 1024

# Of what may be large, a page alone may be 100 times the limit of a payload.
SMALL_PAGE = 100


class Changes(NamedTuple):
    """What turns some rows of the target into those of the source: keys to delete first, then rows to insert."""

    gone: Rows
    rows: Rows


class Checksum:
    """A digest of rows in their order, over a form that is the same whatever database they come from."""

    def __init__(self) -> None:
        """Begin with no rows."""
        self._digest = blake2b(digest_size=16)
        self.rows = 0

    def add(self, rows: Rows, *others: Checksum) -> None:
        """Take more rows, how many at once makes no difference; `others` are of tables that have the very same ones."""
        if not rows:
            return
        # Numbers, texts and bytes as Python writes them: nothing is left out, and nothing looks like another thing. It
        # is half of what a comparison takes, so it is done once for rows that are the same.
        form = ("\n".join(map(ascii, rows)) + "\n").encode("ascii")
        for checksum in (self, *others):
            checksum._digest.update(form)  # noqa: SLF001 - of the same class
            checksum.rows += len(rows)

    def __str__(self) -> str:
        """Return the digest in hexadecimal."""
        return self._digest.hexdigest()


def gathered(pages: Iterator[Rows]) -> Iterator[Rows]:
    """Join small pages, to a number of rows or bytes that is worth a transaction."""
    rows: Rows = []
    size = 0
    for page in pages:
        rows += page
        size += sum(len(value) for row in page for value in row if isinstance(value, (bytes, str)))
        if len(rows) >= MOST_ROWS or size >= MOST_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def side_by_side(source: Iterator[Rows], target: Iterator[Rows], key_of: KeyOf) -> Iterator[Tuple[Rows, Rows]]:
    """Yield the rows of both sides up to the same key, until both have ended."""
    buffered = _Buffered(target, key_of)
    for rows in source:
        yield rows, buffered.take(key_of(rows[-1]))
    while True:
        rest = buffered.take(None)
        if not rest:
            return
        yield [], rest


def changes_between(source: Rows, target: Rows, key_of: KeyOf) -> Optional[Changes]:
    """Return what the target lacks, and has too much, or None where both are the same."""
    if source == target:
        return None
    theirs = {key_of(row): row for row in target}
    rows = [row for row in source if theirs.get(key_of(row)) != row]
    wanted = {key_of(row): row for row in source}
    gone = [key for key, row in theirs.items() if wanted.get(key) != row]
    return Changes(gone, rows)


class _Buffered:
    """Rows that are taken up to a key."""

    def __init__(self, batches: Iterator[Rows], key_of: KeyOf) -> None:
        self._batches = batches
        self._key_of = key_of
        self._rows: Rows = []

    def take(self, last: Optional[Row]) -> Rows:
        """Return the next rows up to that key; None: the next ones, as many as there are at hand."""
        taken: Rows = []
        while True:
            if not self._rows:
                self._rows = next(self._batches, [])
            if not self._rows:
                return taken
            if last is not None and self._key_of(self._rows[-1]) > last:
                here = next(index for index, row in enumerate(self._rows) if self._key_of(row) > last)
                taken += self._rows[:here]
                self._rows = self._rows[here:]
                return taken
            taken += self._rows
            self._rows = []
            if last is None:
                return taken
