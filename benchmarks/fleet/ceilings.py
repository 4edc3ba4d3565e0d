"""Look for the most jobs a second that a server carries for a fleet, before the jobs' own run times limit it."""

from __future__ import annotations

from benchmarks.fleet.assumptions import Durations, Fleet, Load, Server, Waking
from benchmarks.fleet.playing import Played, play
from benchmarks.fleet.simulation import Case

# So short, and so many at once, that slots are never what is missing.
_LOAD = Load(durations=Durations(median=0.03, sigma=1.0))
_SLOTS = 100

# The rates that are tried: each a quarter more than the one before.
_RATES = [25 * 1.25**step for step in range(34)]


def highest_rate(waking: Waking, workers: int, server: Server, *, seed: int = 1) -> float:
    """Return the highest of the rates that the server carries in health, 0 if none."""
    carried, not_carried = -1, len(_RATES)
    while not_carried - carried > 1:
        middle = (carried + not_carried) // 2
        if is_healthy(play(case(_RATES[middle], waking, workers, server, seed=seed))):
            carried = middle
        else:
            not_carried = middle
    return _RATES[carried] if carried >= 0 else 0.0


def case(rate: float, waking: Waking, workers: int, server: Server, *, seed: int = 1) -> Case:
    return Case(rate, waking, _LOAD, Fleet(workers, _SLOTS), server, warm_up=0.5, seconds=1.0, seed=seed)


def is_healthy(played: Played) -> bool:
    """Whether there are cores to spare, waits are short, and no more waits than comes in a tenth of a second."""
    server = played.case.server
    has_cores = played.cores <= server.healthy * server.cores
    return has_cores and played.wait(0.99) < 0.25 and played.waiting <= max(played.case.rate * 0.1, 10)
