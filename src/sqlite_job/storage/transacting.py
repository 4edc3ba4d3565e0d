"""Say what the verbs of storage are written with: transactions that read or write, an array as a parameter."""

from __future__ import annotations

from typing import Any, Callable, Sequence, TypeVar

from sqlite_job.storage.transaction import Transaction

T = TypeVar("T")


class Transacting:
    """A database's own transactions; groups of verbs derive from it, and `SQLStorage` from them all."""

    def _write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction, again when it met another writer; a rerun starts from nothing."""
        raise NotImplementedError

    def _write_claim(self, work: Callable[[Transaction], T]) -> T:
        """Do as `_write` with what nobody was told of: the disk may have it only after `sync`."""
        return self._write(work)

    def _read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work`, which only reads."""
        raise NotImplementedError

    def _array(self, values: Sequence[Any]) -> Any:
        """Return values as one parameter, as `one_of` wants it on this database."""
        raise NotImplementedError
