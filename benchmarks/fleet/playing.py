"""Play a case, and say what the server saw after the warm-up."""

from __future__ import annotations

from typing import Dict, List, NamedTuple

from benchmarks.fleet.simulation import Case, World


class Played(NamedTuple):
    """What happened in `seconds`; the levels are those at the end."""

    case: Case
    seconds: float
    counts: Dict[str, int]
    # How long each job waited that began in this time, from when its producer wanted it stored; sorted.
    waits: List[float]
    # The time of all that were served, that waited, that ran, whose end was not recorded: seconds times their number.
    core_seconds: float
    flush_seconds: float
    lock_seconds: float
    waiting_seconds: float
    running_seconds: float
    unsettled_seconds: float
    waiting_at_begin: int
    waiting: int
    running: int
    unsettled: int
    inherited: int

    def rate(self, what: str) -> float:
        return self.counts.get(what, 0) / self.seconds

    def wait(self, share: float) -> float:
        """Return the wait that this share of the jobs did not exceed; infinite if none began."""
        if not self.waits:
            return float("inf")
        return self.waits[min(int(len(self.waits) * share), len(self.waits) - 1)]

    @property
    def cores(self) -> float:
        return self.core_seconds / self.seconds

    @property
    def keeps_up(self) -> bool:
        """Whether as many begin as are asked for: what waits is no more than comes in half a second, or not growing."""
        return self.waiting <= max(self.case.rate * 0.5, self.waiting_at_begin * 1.05)


def play(case: Case) -> Played:
    world = World(case)
    world.start()
    world.agenda.run(case.warm_up)
    before, first = _state(world), len(world.waits)
    inherited, waiting_at_begin = world.counts["inherited"], world.waiting.present
    world.agenda.run(case.warm_up + case.seconds)
    after = _state(world)
    spent = {name: after[name] - before[name] for name in after}
    return Played(
        case,
        case.seconds,
        {name: int(spent[name]) for name in (*_COUNTED, "flushes", "commits")},
        sorted(world.waits[first:]),
        core_seconds=spent["core seconds"],
        flush_seconds=spent["flush seconds"],
        lock_seconds=spent["lock seconds"],
        waiting_seconds=spent["waiting seconds"],
        running_seconds=spent["running seconds"],
        unsettled_seconds=spent["unsettled seconds"],
        waiting_at_begin=waiting_at_begin,
        waiting=world.waiting.present,
        running=world.running.present,
        unsettled=world.unsettled.present,
        inherited=inherited,
    )


def _state(world: World) -> Dict[str, float]:
    counted = {name: float(world.counts[name]) for name in _COUNTED}
    return {
        **counted,
        "flushes": world.log.flushes,
        "commits": world.log.commits,
        "core seconds": world.cores.busy.seconds,
        "flush seconds": world.log.busy.seconds,
        "lock seconds": world.notify_lock.busy.seconds,
        "waiting seconds": world.waiting.seconds,
        "running seconds": world.running.seconds,
        "unsettled seconds": world.unsettled.seconds,
    }


_COUNTED = (
    "asked",
    "enqueued",
    "enqueues",
    "claimed",
    "settled",
    "ended",
    "turns",
    "turns in vain",
    "peeks",
    "peeks in vain",
    "notifies",
    "wakes",
    "heartbeats",
    "rescues",
    "lock looks",
)
