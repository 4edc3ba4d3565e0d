"""Play a fleet's producers and workers against one server, event by event."""

from __future__ import annotations

import random
from collections import Counter, deque
from typing import Deque, List, NamedTuple

from benchmarks.fleet.assumptions import Costs, Fleet, Load, Server, Waking
from benchmarks.fleet.doorbell import Doorbell
from benchmarks.fleet.stations import Agenda, Cores, Level, Lock, Log, Then
from benchmarks.fleet.worker import Worker


class Case(NamedTuple):
    """What is played: `rate` jobs a second, `batch` of them in each commit of a producer."""

    rate: float
    waking: Waking
    load: Load = Load()
    fleet: Fleet = Fleet()
    server: Server = Server()
    costs: Costs = Costs()
    batch: int = 1
    warm_up: float = 2.0
    seconds: float = 5.0
    seed: int = 1


class World:
    """One server, its queue, and all who use it."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.dice = random.Random(case.seed)  # noqa: S311 - a model, not a secret
        self.agenda = Agenda()
        self.cores = Cores(self.agenda, case.server.cores)
        self.log = Log(self.agenda, case.server.flush)
        self.notify_lock = Lock(self.agenda)
        self.counts: Counter[str] = Counter()
        # When each job that may be claimed was asked for, oldest first; and how long those waited that have begun.
        self.pending: Deque[float] = deque()
        # Those, and the claimed ones whose claim is not committed: so many a peek sees.
        self.visible = 0
        self.waits: List[float] = []
        # From when a producer wants a job stored until it begins, from then until it ends, and until that is recorded.
        self.waiting, self.running, self.unsettled = Level(self.agenda), Level(self.agenda), Level(self.agenda)
        self.workers = [Worker(self, f"worker {number}") for number in range(case.fleet.workers)]
        self.doorbell = Doorbell(self)

    def start(self) -> None:
        """Begin in the middle of a day: with the jobs that would run if nobody had to wait."""
        slots = [worker for worker in self.workers for _ in range(self.case.fleet.slots)]
        expected = round(self.case.rate * self.case.load.durations.mean)
        for worker in self.dice.sample(slots, min(expected, len(slots))):
            worker.continue_one()
        for worker in self.workers:
            worker.rest()
            self._repeat(self.case.fleet.heartbeat_every, self._heartbeat)
            self._repeat(self.case.fleet.rescue_every, self._rescue)
        self._await_next()

    def work(self, seconds: float, trips: int, then: Then) -> None:
        """Do so much in the server, in so many round trips."""
        self.agenda.after(trips * self.case.fleet.trip, self.cores.use, seconds, then)

    def commit(self, *, rings: bool, is_for_work: bool, program: str, then: Then) -> None:
        """Make durable what was done, and notify if `rings`: a NOTIFY inside holds the lock until the disk has it."""
        if not rings:
            self.log.flush(then)
            return
        if self.case.waking.is_apart:
            self.doorbell.ring_apart(program, is_for_work=is_for_work)
            self.log.flush(then)
            return

        def durable() -> None:
            self.notify_lock.release()
            self.doorbell.ring(is_for_work=is_for_work, then=then)

        self.notify_lock.acquire(lambda: self.log.flush(durable))

    def _await_next(self) -> None:
        self.agenda.after(self.dice.expovariate(self.case.rate / self.case.batch), self._arrive)

    def _arrive(self) -> None:
        self._await_next()
        costs, asked = self.case.costs, self.agenda.now
        seconds = costs.enqueue + (self.case.batch - 1) * costs.enqueue_in_bulk
        program = f"producer {self.dice.randrange(self.case.fleet.producers)}"
        self.waiting.change(self.case.batch)
        self.counts["asked"] += self.case.batch

        def stored() -> None:
            self.pending.extend([asked] * self.case.batch)
            self.visible += self.case.batch
            self.counts["enqueued"] += self.case.batch
            self.counts["enqueues"] += 1

        def commit() -> None:
            self.commit(rings=self.case.waking.rings_for_work, is_for_work=True, program=program, then=stored)

        self.work(seconds, costs.enqueue_trips, commit)

    def _repeat(self, every: float, what: Then) -> None:
        def again() -> None:
            self.agenda.after(every, again)
            what()

        self.agenda.after(self.dice.random() * every, again)

    def _heartbeat(self) -> None:
        self.counts["heartbeats"] += 1
        self.work(self.case.costs.heartbeat, 2, lambda: self.log.flush(_nothing))

    def _rescue(self) -> None:
        """Read all leases, and who holds jobs; some workers also look into pg_locks."""
        fleet, costs = self.case.fleet, self.case.costs
        looks = self.dice.random() * fleet.workers < fleet.lock_looks * fleet.rescue_every
        self.counts["rescues"] += 1
        self.counts["lock looks"] += looks
        each = costs.leases + looks * costs.lock_look
        self.work(each * fleet.workers / costs.of_workers, 2, _nothing)


def _nothing() -> None:
    """Be what nothing comes after."""
