"""Keep what became of exchanges that may have been committed without their worker's hearing of it."""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Sequence

from sqlite_job.core.outcomes import Outcome
from sqlite_job.storage.interface import Exchange
from sqlite_job.storage.postgres.committing import Doubt, InDoubtError

IsCommitted = Callable[[Doubt], bool]

# Exchanges these outcomes.
Run = Callable[[Sequence[Outcome]], Exchange]


class _Unheard(NamedTuple):
    """An exchange whose commit was in doubt, and the outcomes that it settled if it was done."""

    doubt: Doubt
    outcomes: Sequence[Outcome]


class UnheardExchanges:
    """The exchanges of this process's workers whose end was not known, in the order in which they were made."""

    def __init__(self) -> None:
        """Start with none."""
        self._of_worker: Dict[int, List[_Unheard]] = {}

    def __bool__(self) -> bool:
        """Whether there is something to be found out."""
        return bool(self._of_worker)

    def forget(self, worker_id: int) -> None:
        """Drop what there is of a worker that has ended: nobody will ask."""
        self._of_worker.pop(worker_id, None)

    def attempt(self, worker_id: int, outcomes: Sequence[Outcome], run: Run) -> Exchange:
        """Run an exchange, and keep it when its end is in doubt: raises InDoubtError then."""
        try:
            return run(outcomes)
        except InDoubtError as error:
            assert error.doubt is not None  # noqa: PT017, S101 - an exchange has a number
            self._of_worker.setdefault(worker_id, []).append(_Unheard(error.doubt, list(outcomes)))
            raise

    def find_out(self, worker_id: int, is_committed: IsCommitted) -> bool:
        """Ask how a worker's exchanges ended, and keep those that were committed; returns whether there are any.

        Raises InDoubtError when it still cannot be told.
        """
        unheard = self._of_worker.pop(worker_id, [])
        try:
            unheard = [one for one in unheard if is_committed(one.doubt)]
        finally:
            if unheard:
                self._of_worker[worker_id] = unheard
        return bool(unheard)

    def report(self, worker_id: int, outcomes: Sequence[Outcome], run: Run) -> Exchange:
        """Return what the committed exchanges have found, once `run` has settled the outcomes that they have not.

        `run` claims nothing: whoever calls has counted without what was claimed earlier.
        """
        unheard = self._of_worker[worker_id]
        settled = {id(outcome) for one in unheard for outcome in one.outcomes}
        rest = [outcome for outcome in outcomes if id(outcome) not in settled]
        # Until this has succeeded, they are told to nobody.
        later = self.attempt(worker_id, rest, run)
        del self._of_worker[worker_id]
        found: List[Exchange] = [*(one.doubt.found for one in unheard), later]
        # All but the first have settled only.
        stale = [outcome for one in found for outcome in one.stale]
        return found[0]._replace(stale=stale)
