"""What was seen from outside while jobs ran: one line of JSON for each fact, in one file that all processes append to.

Each line is one write to a file opened with O_APPEND: what the kernel has taken survives any kill of its writer.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple


class Intent(NamedTuple):
    """A job that a producer was about to enqueue; the jobs of one batch are enqueued together."""

    key: str
    function: str
    batch: str


class Acknowledged(NamedTuple):
    """A job whose enqueue has returned."""

    id: str
    key: str
    batch: str


class Effect(NamedTuple):
    """What a job did: `kind` is "start" or "end"."""

    kind: str
    id: str
    key: str
    claim: int
    pid: int
    at: int


class WorkerUp(NamedTuple):
    """A worker process took a worker id."""

    worker_id: int
    pid: int
    at: int


class Claim(NamedTuple):
    """A worker said that it had claimed a job."""

    id: str
    claim: int
    worker_id: int
    at: int


class Settled(NamedTuple):
    """A worker said that an outcome was committed."""

    id: str
    claim: int
    outcome: str


class Stale(NamedTuple):
    """A worker said that an outcome had changed nothing."""

    seq: int
    claim: int


class Rescued(NamedTuple):
    """A worker said that it took a job from a dead one."""

    id: str
    worker_id: int
    at: int


class Fault(NamedTuple):
    """Something done to a process: `kind` is "kill", "freeze", "thaw", "stop" (asked to end), "lock" or "unlock".

    Or to a server: it is "down" or "up"; "cut" is one of a process's connections to it, `role` says which.
    """

    kind: str
    pid: int
    role: str
    at: int


class Observed(NamedTuple):
    """A row of the database as a reader saw it meanwhile."""

    id: str
    status: str
    claim: int
    deaths: int
    worker_id: Optional[int]


class Ended(NamedTuple):
    """A process that ended, with its exit code (negative: the signal)."""

    pid: int
    role: str
    code: int
    at: int


class History:
    """All that was recorded; each list in the order in which it was written."""

    def __init__(self) -> None:
        self.intended: List[Intent] = []
        self.acknowledged: List[Acknowledged] = []
        self.effects: List[Effect] = []
        self.workers: List[WorkerUp] = []
        self.claims: List[Claim] = []
        self.settled: List[Settled] = []
        self.stale: List[Stale] = []
        self.rescued: List[Rescued] = []
        self.faults: List[Fault] = []
        self.observed: List[Observed] = []
        self.ended: List[Ended] = []
        self.journal_sizes: List[int] = []
        self.refused = 0
        self.left_behind: List[str] = []
        self.began_at = 0
        self.calm_at = 0
        self.drained_at = 0

    @classmethod
    def read(cls, path: str) -> History:
        """Read what a `Log` has written; a last line that is cut short was never acknowledged."""
        history = cls()
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.endswith("\n"):
                    history._take(json.loads(line))
        return history

    def of_worker(self) -> Dict[int, int]:
        """Return the process of each worker id."""
        return {worker.worker_id: worker.pid for worker in self.workers}

    def _take(self, line: Dict[str, Any]) -> None:
        getattr(self, f"_take_{line.pop('what')}")(**line)

    def _take_intend(self, at: int, pid: int, batch: str, jobs: List[Tuple[str, str]]) -> None:
        self.intended += [Intent(key, function, batch) for key, function in jobs]

    def _take_acknowledge(self, at: int, pid: int, batch: str, jobs: List[Tuple[str, str]]) -> None:
        self.acknowledged += [Acknowledged(job_id, key, batch) for job_id, key in jobs]

    def _take_effect(self, at: int, pid: int, *, kind: str, job: str, key: str, claim: int) -> None:
        self.effects.append(Effect(kind, job, key, claim, pid, at))

    def _take_worker(self, at: int, pid: int, worker: int) -> None:
        self.workers.append(WorkerUp(worker, pid, at))

    def _take_claimed(self, at: int, pid: int, worker: int, jobs: List[Tuple[str, int]]) -> None:
        self.claims += [Claim(job_id, claim, worker, at) for job_id, claim in jobs]

    def _take_settled(self, at: int, pid: int, jobs: List[Tuple[str, int, str]]) -> None:
        self.settled += [Settled(*one) for one in jobs]

    def _take_stale(self, at: int, pid: int, outcomes: List[Tuple[int, int]]) -> None:
        self.stale += [Stale(*one) for one in outcomes]

    def _take_rescued(self, at: int, pid: int, jobs: List[Tuple[str, int]]) -> None:
        self.rescued += [Rescued(job_id, worker, at) for job_id, worker in jobs]

    def _take_fault(self, at: int, pid: int, kind: str, target: int, role: str) -> None:
        self.faults.append(Fault(kind, target, role, at))

    def _take_observed(self, at: int, pid: int, rows: List[Tuple[str, str, int, int, Optional[int]]]) -> None:
        self.observed += [Observed(*row) for row in rows]

    def _take_ended(self, at: int, pid: int, target: int, role: str, code: int) -> None:
        self.ended.append(Ended(target, role, code, at))

    def _take_journal(self, at: int, pid: int, size: int) -> None:
        self.journal_sizes.append(size)

    def _take_refused(self, at: int, pid: int) -> None:
        self.refused += 1

    def _take_left(self, at: int, pid: int, what_is_left: List[str]) -> None:
        self.left_behind += what_is_left

    def _take_mark(self, at: int, pid: int, name: str) -> None:
        setattr(self, f"{name}_at", at)


class Log:
    """Appends facts to the file of a history, from any thread and process."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)

    def write(self, what: str, **facts: Any) -> None:
        line = json.dumps({"what": what, "at": now(), "pid": os.getpid(), **facts}, separators=(",", ":"))
        os.write(self._descriptor, line.encode() + b"\n")

    def intend(self, batch: str, jobs: Iterable[Tuple[str, str]]) -> None:
        self.write("intend", batch=batch, jobs=list(jobs))

    def acknowledge(self, batch: str, jobs: Iterable[Tuple[str, str]]) -> None:
        self.write("acknowledge", batch=batch, jobs=list(jobs))

    def fault(self, kind: str, target: int, role: str) -> None:
        self.write("fault", kind=kind, target=target, role=role)


def now() -> int:
    """Return microseconds of the clock that the database uses."""
    return time.time_ns() // 1000
