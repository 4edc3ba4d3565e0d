"""Call the functions of jobs: in threads, on an event loop, or in processes of their own."""

from __future__ import annotations

from typing import Callable, List, Optional, Protocol, Sequence

from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.outcomes import Outcome
from sqlite_job.core.stopping import StopCause

Report = Callable[[Outcome], None]


class Executor(Protocol):
    """Runs as many jobs at once as it has slots, and holds the rest in order; reports one outcome for each job."""

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        """Take jobs, to be started in this order."""
        ...

    def submit_in_turn(self, jobs: Sequence[ClaimedJob]) -> bool:
        """Take short jobs, to be run one after the other until `spread`; False, with none taken, where that is no use.

        It saves changes between threads of one interpreter.
        """
        del jobs
        return False

    def spread(self) -> None:
        """Run what was submitted together in all slots."""
        return

    def take_back(self) -> List[ClaimedJob]:
        """Return the jobs that have not started; they will not start here any more."""
        ...

    def stop(self, seq: int, cause: StopCause, reason: Optional[str] = None) -> bool:
        """Make one running job end soon, by raising in it or by signals; False when it does not run here.

        Its outcome is that of `cause`, unless it completes all the same; one that does not stop is recorded as stopped
        after a grace, and left behind or killed.
        """
        ...

    def interrupt(self) -> None:
        """Make running jobs end soon, as far as that can be done; those that do are reported as returned."""
        ...

    def close(self) -> None:
        """Give back threads and loops; what still runs is abandoned, and its outcome no longer counts."""
        ...
