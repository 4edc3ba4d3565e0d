"""Wake idle workers by NOTIFY, at its price."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Dict, List

from benchmarks.fleet.stations import Then

if TYPE_CHECKING:
    from benchmarks.fleet.simulation import World
    from benchmarks.fleet.worker import Worker

# Sessions that listen are served in so many parts: each of them wakes when a core is free for it.
_PARTS = 32


class Doorbell:
    """The sessions that listen. Each NOTIFY signals all of them; one that has not run since is woken once for many."""

    def __init__(self, world: World) -> None:
        self._world = world
        waking, workers = world.case.waking, world.workers
        listening = workers[: waking.listeners_of(len(workers))]
        self._parts = [_Part(world, listening[first::_PARTS]) for first in range(min(_PARTS, len(listening)))]
        self._signals = len(listening) * world.case.costs.signal
        self._rings_at: Dict[str, float] = {}

    def ring(self, *, is_for_work: bool, then: Then) -> None:
        """Signal every session that listens; the sender goes on after that."""
        self._world.counts["notifies"] += 1

        def signalled() -> None:
            for part in self._parts:
                part.wake(is_for_work=is_for_work)
            then()

        self._world.cores.use(self._world.case.costs.notify + self._signals, signalled)

    def ring_apart(self, program: str, *, is_for_work: bool) -> None:
        """Ring in a transaction of its own, as soon as this program may ring again; once, for all who ask till then."""
        now, last = self._world.agenda.now, self._rings_at.get(program)
        if last is not None and last > now:
            return
        at = now if last is None else max(now, last + self._world.case.waking.gap)
        self._rings_at[program] = at
        self._world.agenda.after(at - now, partial(self._ring_briefly, is_for_work))

    def _ring_briefly(self, is_for_work: bool) -> None:  # noqa: FBT001 - bound by partial, above
        """Hold the lock for the time of the NOTIFY alone: nothing waits for the disk."""
        lock, cores = self._world.notify_lock, self._world.cores

        def done() -> None:
            lock.release()
            self.ring(is_for_work=is_for_work, then=_nothing)

        lock.acquire(lambda: cores.use(self._world.case.costs.notify, done))


class _Part:
    """Some of the sessions that listen."""

    def __init__(self, world: World, workers: List[Worker]) -> None:
        self._world = world
        self._workers = workers
        self._seconds = len(workers) * world.case.costs.wake
        self._is_due = False
        self._is_for_work = False

    def wake(self, *, is_for_work: bool) -> None:
        self._is_for_work |= is_for_work
        if not self._is_due:
            self._is_due = True
            self._world.cores.use(self._seconds, self._woken, self._begin)

    def _begin(self) -> None:
        self._is_due = False

    def _woken(self) -> None:
        self._world.counts["wakes"] += len(self._workers)
        if self._is_for_work:
            self._is_for_work = False
            for worker in self._workers:
                worker.hear()


def _nothing() -> None:
    """Be what nothing comes after."""
