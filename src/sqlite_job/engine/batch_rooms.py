"""Count how many jobs a worker may hold: of ordinary functions, and of each that is called with many at once."""

from __future__ import annotations

from typing import Iterable, Mapping, Sequence, Tuple

from sqlite_job.core.jobs import ClaimedJob


class BatchRooms:
    """The sizes of batch functions: one batch runs, and the next one is gathered."""

    def __init__(self, sizes: Mapping[str, int], functions: Sequence[str]) -> None:
        """Take the most jobs in a batch, by function, and all functions."""
        self._sizes = sizes
        self.others = tuple(name for name in functions if name not in sizes)

    def __bool__(self) -> bool:
        """Whether there are batch functions at all."""
        return bool(self._sizes)

    def __contains__(self, job: ClaimedJob) -> bool:
        """Whether the job is run with others."""
        return job.function in self._sizes

    def count_others(self, jobs: Iterable[ClaimedJob]) -> int:
        """Return how many of the jobs take a slot."""
        return sum(job.function not in self._sizes for job in jobs)

    def rooms(self, held: Iterable[ClaimedJob]) -> Tuple[Tuple[str, int], ...]:
        """Return how many more jobs of each batch function there is room for, where there is any."""
        rooms = {name: 2 * size for name, size in self._sizes.items()}
        for job in held:
            if job.function in rooms:
                rooms[job.function] -= 1
        return tuple((name, room) for name, room in rooms.items() if room > 0)
