"""State what the model takes for granted. Times are in seconds."""

from __future__ import annotations

import math
import random
from typing import NamedTuple, Optional

DAY = 86_400.0
_MICRO = 1e-6


class Durations(NamedTuple):
    """How long jobs run: lognormal, so that most are short and a few take minutes."""

    median: float = 0.3
    sigma: float = 1.6

    @property
    def mean(self) -> float:
        return self.median * math.exp(self.sigma**2 / 2)

    @property
    def mean_square(self) -> float:
        return self.median**2 * math.exp(2 * self.sigma**2)

    def quantile(self, z: float) -> float:
        """Return the duration that lies `z` standard deviations from the median."""
        return self.median * math.exp(self.sigma * z)

    def draw(self, dice: random.Random) -> float:
        return self.median * math.exp(dice.gauss(0, self.sigma))

    def draw_rest(self, dice: random.Random) -> float:
        """Return what is left of a job that runs at a moment that has nothing to do with it.

        Long jobs are met more often, each at any point of its run.
        """
        return dice.random() * self.median * math.exp(self.sigma**2 + dice.gauss(0, self.sigma))


class Load(NamedTuple):
    """What is enqueued, and how big it is."""

    jobs_a_day: float = 100e6
    peak_factor: float = 4.0
    durations: Durations = Durations()
    payload_bytes: int = 500
    result_bytes: int = 200
    kept_days: float = 7.0

    @property
    def mean_rate(self) -> float:
        return self.jobs_a_day / DAY

    @property
    def peak_rate(self) -> float:
        return self.mean_rate * self.peak_factor


class Fleet(NamedTuple):
    """Who enqueues and who works."""

    workers: int = 1_000
    slots: int = 10
    producers: int = 50
    connections_each: float = 2.5
    heartbeat_every: float = 10.0
    rescue_every: float = 1.0
    # How many looks into pg_locks all workers make together, in a second.
    lock_looks: float = 20.0
    # What a worker or producer waits for each statement, besides the server's work.
    trip: float = 0.0003


class Server(NamedTuple):
    """The machine with PostgreSQL on it; a core is as quick as one of that on which the costs were measured."""

    cores: int = 16
    flush: float = 0.001
    # Of its time; beyond, waiting grows without end at the least disturbance.
    healthy: float = 0.7


class Costs(NamedTuple):
    """CPU time of the server for each operation; `python -m benchmarks.fleet --measure` gives your own.

    A turn that settles costs `turn` and `first_settle` once, and `settle` for each job; one that claims, the same.
    """

    enqueue: float = 291 * _MICRO
    enqueue_in_bulk: float = 10 * _MICRO
    peek: float = 46 * _MICRO
    turn: float = 494 * _MICRO
    first_claim: float = 136 * _MICRO
    first_settle: float = 260 * _MICRO
    claim: float = 15 * _MICRO
    settle: float = 15 * _MICRO
    prune: float = 90 * _MICRO
    heartbeat: float = 215 * _MICRO
    # Of so many workers, which hold five jobs each; in proportion for others.
    of_workers: int = 1_000
    leases: float = 461 * _MICRO
    lock_look: float = 827 * _MICRO
    notify: float = 27 * _MICRO
    # For each session that listens: to be signalled by the sender, and to wake and pass it on.
    signal: float = 5.3 * _MICRO
    wake: float = 29.6 * _MICRO
    # Statements, each a round trip.
    peek_trips: int = 5
    turn_trips: int = 8
    enqueue_trips: int = 1
    # Bytes of a job with a small payload: in tables with their indexes, in the WAL, and in memory for a session.
    job_row: int = 340
    job_indexes: int = 128
    blobs: int = 180
    wal_of_turns: int = 1_160
    wal_of_enqueue: int = 634
    wal_of_prune: int = 228
    session_memory: int = 1_100_000


class Waking(NamedTuple):
    """How idle workers come to know of new jobs."""

    name: str
    # NOTIFY of new jobs, and of ended ones for those who wait for a result; a worker's session hears both.
    rings_for_work: bool = True
    rings_for_news: bool = False
    # In a transaction of its own, after the commit: it waits for no disk while it holds the lock of all NOTIFYs.
    is_apart: bool = True
    # The least time between two NOTIFYs of one program.
    gap: float = 0.0
    # How many workers listen; None: all.
    listeners: Optional[int] = None
    # A worker that is woken waits up to so long before it looks.
    spread: float = 0.0
    # Whether a worker sleeps that saw a job and found it claimed by another, or looks again at once.
    rests_in_vain: bool = False
    # How often a worker with room looks without a sign: each second, after its look for dead workers.
    poll: float = 1.0

    def listeners_of(self, workers: int) -> int:
        if not (self.rings_for_work or self.rings_for_news):
            return 0
        return workers if self.listeners is None else min(self.listeners, workers)


EACH_COMMIT = Waking("NOTIFY in each commit, heard by all", rings_for_news=True, is_apart=False)
DEAF = Waking("the same, heard by nobody", rings_for_news=True, is_apart=False, listeners=0, poll=0.25)
APART = Waking("NOTIFY of new jobs, after the commit")
PATIENT = Waking("and rest after a turn in vain", rests_in_vain=True)
DAMPED = Waking("and each 100 ms at most", rests_in_vain=True, gap=0.1, spread=0.1)
SENTINELS = Waking("and heard by 16 workers only", rests_in_vain=True, gap=0.1, listeners=16)
LOOKS = Waking("no NOTIFY: a look each second", rests_in_vain=True, rings_for_work=False)
WAYS = (EACH_COMMIT, DEAF, APART, PATIENT, DAMPED, SENTINELS, LOOKS)
