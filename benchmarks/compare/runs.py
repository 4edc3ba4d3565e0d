"""Say what each benchmark runs on a system: the size of its samples, its kind of job, and the names of its figures."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Callable, Dict

from benchmarks import child
from benchmarks.compare import measures
from benchmarks.compare.catalogue import System
from benchmarks.compare.measures import Figures
from benchmarks.compare.place import Place
from benchmarks.compare.sizes import Sizes

NAP_MILLISECONDS, NAPS_AT_ONCE = 10, 50
KILL_MILLISECONDS, KILLS_AT_ONCE = 150, 10

# No system gets more jobs than so many for a sample, whatever its pace.
_MOST_NAPS = 4_000
_PAYLOADS = {"2 kB": (2_000, 20_000), "100 kB": (100_000, 1_500)}


class Run:
    """One system in one round: where its store is, and where the ledgers go."""

    def __init__(self, system: System, store: str, folder: Path, sizes: Sizes) -> None:
        self.system = system
        self.sizes = sizes
        self._store = store
        self._folder = folder

    def enqueue(self) -> Figures:
        return self._call(measures.enqueue, seconds=self.sizes.enqueue_seconds)

    def drain(self) -> Figures:
        found = self._drain(processes=1)
        return {"drain": found["rate"], "bytes": found["bytes"]}

    def two(self) -> Figures:
        return {"drain_two": self._drain(processes=2)["rate"]}

    def io(self) -> Figures:
        found = self._drain("nap", NAPS_AT_ONCE, most=_MOST_NAPS, extra=NAP_MILLISECONDS)
        return {"io": found["rate"], "busy_mb": found["busy_mb"]}

    def payload(self) -> Figures:
        sizes = _PAYLOADS.items()
        return {f"payload {name}": self._drain("weigh", most=most, extra=size)["rate"] for name, (size, most) in sizes}

    def latency(self) -> Figures:
        return self._call(measures.wait, jobs=self.sizes.latencies, idle_seconds=self.sizes.idle_seconds)

    def kill(self) -> Figures:
        sizes = {"jobs": self.sizes.kill_jobs, "limit": self.sizes.kill_seconds, "milliseconds": KILL_MILLISECONDS}
        found = self._call(measures.kill, "nap", KILLS_AT_ONCE, **sizes)
        return {f"kill_{name}": value for name, value in found.items()}

    def probe(self) -> None:
        self._call(measures.probe)

    def _drain(
        self, kind: str = "noop", concurrency: int = 0, *, processes: int = 1, most: int = 1_000_000, extra: int = 0
    ) -> Dict[str, float]:
        jobs = sample_size(self.system.pace * processes, most, self.sizes)
        ready = concurrency if concurrency and self.system.one_at_a_time else processes
        sizes = {"jobs": jobs, "processes": processes, "ready": ready, "extra": extra}
        found: Dict[str, float] = self._call(measures.drain, kind, concurrency, **sizes)
        return found

    def _call(self, measure: Callable[..., Any], kind: str = "noop", concurrency: int = 0, **sizes: Any) -> Any:
        with tempfile.TemporaryDirectory(dir=_memory()) as ledgers:
            place = Place(
                system=self.system.name,
                variant=self.system.variant,
                store=self._store,
                folder=str(self._folder),
                ledger=str(Path(ledgers) / "ledger"),
                kind=kind,
                concurrency=concurrency,
            )
            return child.call(measure, module=self.system.module, place=list(place), **sizes)


BENCHMARKS: Dict[str, Callable[[Run], Figures]] = {
    "enqueue": Run.enqueue,
    "drain": Run.drain,
    "two": Run.two,
    "io": Run.io,
    "payload": Run.payload,
    "latency": Run.latency,
    "kill": Run.kill,
}


def sample_size(pace: int, most: int, sizes: Sizes) -> int:
    """Return how many jobs keep a system of this pace busy for the time of a sample, at most so many."""
    return min(most, max(sizes.least_jobs, round(pace * sizes.drain_seconds)))


def _memory() -> str:
    """Return a folder in memory, so that the ledger's writes do not share a disk with the store's."""
    shared = Path("/dev/shm")  # noqa: S108 - the folder below it has a name of its own
    return str(shared) if shared.is_dir() else tempfile.gettempdir()
