"""Act as a worker does: settle what has ended and claim what there is, in one transaction; look when woken."""

from __future__ import annotations

from typing import TYPE_CHECKING, List

if TYPE_CHECKING:
    from benchmarks.fleet.simulation import World


class Worker:
    """One worker process, with some slots; it has at most one transaction at a time."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name
        self._running = 0
        self._ended = 0
        self._is_at_work = False
        self._has_sign = False
        self._sleep = 0

    def continue_one(self) -> None:
        """Have a job that was begun earlier."""
        self._world.counts["inherited"] += 1
        self._run(self._world.case.load.durations.draw_rest(self._world.dice))

    def hear(self) -> None:
        """Take note of a sign that there may be work."""
        if self._is_at_work:
            self._has_sign = True
        elif self._room > 0:
            self._look_soon()

    def rest(self) -> None:
        """Have nothing to do until a sign, the end of a job, or the next look without a sign."""
        self._is_at_work = False
        self._sleep += 1
        if self._has_sign and self._room > 0:
            self._has_sign = False
            self._look_soon()
            return
        seconds = self._world.dice.expovariate(1 / self._world.case.waking.poll)
        self._world.agenda.after(seconds, self._look_if_asleep, self._sleep)

    @property
    def _room(self) -> int:
        return self._world.case.fleet.slots - self._running

    def _look_soon(self) -> None:
        spread = self._world.case.waking.spread
        self._world.agenda.after(self._world.dice.random() * spread, self._look_if_asleep, self._sleep)

    def _look_if_asleep(self, sleep: int) -> None:
        """Look, unless something else has happened since it went to sleep."""
        if not self._is_at_work and sleep == self._sleep:
            self._go_on()

    def _go_on(self) -> None:
        """Hand in what has ended, else look whether there is something to claim."""
        self._is_at_work = True
        if self._ended:
            self._exchange()
        elif self._room > 0:
            self._peek()
        else:
            self.rest()

    def _peek(self) -> None:
        costs = self._world.case.costs
        self._world.counts["peeks"] += 1
        self._world.work(costs.peek, costs.peek_trips, self._peeked)

    def _peeked(self) -> None:
        if self._ended or self._world.visible > 0:
            self._exchange()
        else:
            self._world.counts["peeks in vain"] += 1
            self.rest()

    def _exchange(self) -> None:
        settled, self._ended = self._ended, 0
        room, costs = self._room, self._world.case.costs
        # What it really finds is seen when its turn comes: others claim too.
        likely = min(room, len(self._world.pending))
        seconds = costs.turn + _batch(settled, costs.first_settle, costs.settle)
        seconds += _batch(likely, costs.first_claim, costs.claim)
        self._world.work(seconds, costs.turn_trips, lambda: self._claim(settled, room))

    def _claim(self, settled: int, room: int) -> None:
        world = self._world
        taken = [world.pending.popleft() for _ in range(min(room, len(world.pending)))]
        world.commit(
            rings=settled > 0 and world.case.waking.rings_for_news,
            is_for_work=False,
            program=self._name,
            then=lambda: self._committed(settled, taken),
        )

    def _committed(self, settled: int, taken: List[float]) -> None:
        world = self._world
        # Until now other workers saw the jobs as pending.
        world.visible -= len(taken)
        world.counts["turns"] += 1
        world.counts["turns in vain"] += not settled and not taken
        world.counts["settled"] += settled
        world.counts["claimed"] += len(taken)
        world.waiting.change(-len(taken))
        world.unsettled.change(-settled)
        for asked in taken:
            world.waits.append(world.agenda.now - asked)
            self._run(world.case.load.durations.draw(world.dice))
        found_nothing = not settled and not taken and not self._ended
        if found_nothing and world.case.waking.rests_in_vain:
            self.rest()
        else:
            self._go_on()

    def _run(self, seconds: float) -> None:
        self._running += 1
        self._world.running.change(1)
        self._world.agenda.after(seconds, self._end)

    def _end(self) -> None:
        self._running -= 1
        self._ended += 1
        self._world.running.change(-1)
        self._world.unsettled.change(1)
        self._world.counts["ended"] += 1
        if not self._is_at_work:
            self._go_on()


def _batch(jobs: int, first: float, each: float) -> float:
    return first + jobs * each if jobs else 0.0
