"""Write what running jobs say of themselves."""

from __future__ import annotations

from sqlite_job.engine.notebook import Notebook
from sqlite_job.storage.interface import Storage


class Notekeeper:
    """A service that writes the newest notes of all jobs in one transaction, twice a second while there are some."""

    every_seconds = 0.5

    def __init__(self, storage: Storage, notebook: Notebook) -> None:
        """Write what is in `notebook`."""
        self._storage = storage
        self._notebook = notebook

    def is_needed(self) -> bool:
        """Whether there is something to write."""
        return not self._notebook.is_empty

    def tick(self) -> None:
        """Write it."""
        notes = self._notebook.take()
        try:
            self._storage.note(notes)
        except BaseException:
            self._notebook.put_back(notes)
            raise
