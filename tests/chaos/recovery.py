"""How soon the jobs of dead workers were taken up, from the times in the database and in the history.

Two promises are measured. A dead worker is known by its lock, which nobody holds any more: that takes a second. When a
server, or a connection to it, was away, those who could not hold a lock meanwhile have the time to take it again: until
then the lock tells a watcher nothing, and a dead worker is known by its lease. Files do not go away: there the first
promise counts at all times.
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Sequence, Set, Tuple

from tests.chaos.history import History, WorkerUp
from tests.chaos.record import Record

_SECOND = 1_000_000

# A server that is back, or a listening connection that was cut: 10 seconds from when it is connected again, which is
# tried each 2 seconds in the end.
GRACE_SECONDS = 12.5

Span = Tuple[int, int]


class Recovery(NamedTuple):
    """A killed worker that held jobs, and how long they were recorded as its own after its death.

    `seconds` counts from the first moment at which somebody could have seen it: another worker was up, and nothing was
    frozen or locked, and locks told it something. `lease_seconds` counts from when locks may have told it nothing.
    `raw_seconds` counts from the death.
    """

    worker_id: int
    pid: int
    seconds: float
    lease_seconds: float
    raw_seconds: float


def late_recoveries(
    record: Record, history: History, promise_seconds: float, lease_seconds: float = 0.0
) -> List[Recovery]:
    """Return those that took longer than promised, though another worker was up all that time, unhindered."""
    # Who was hindered itself believes no lease before the time of one has passed; to see that takes it a second.
    by_lease = promise_seconds + lease_seconds + 1
    return [one for one in recoveries(record, history) if one.seconds > promise_seconds or one.lease_seconds > by_lease]


def recoveries(record: Record, history: History) -> List[Recovery]:
    """Return one for each killed worker from which jobs were taken."""
    killed = {fault.pid: fault.at for fault in history.faults if fault.kind == "kill"}
    pid_of = history.of_worker()
    rescued_at: Dict[int, int] = {}
    for failures in record.failures.values():
        for failure in failures.values():
            if failure.is_death and pid_of.get(failure.worker_id) in killed:
                rescued_at[failure.worker_id] = max(failure.finished_at, rescued_at.get(failure.worker_id, 0))
    hindered = _hindered(history)
    watched = _watched(history, killed, lambda _worker: hindered)
    watched_by_lock = _watched(history, killed, lambda worker: sorted([*hindered, *_in_grace(history, worker)]))
    found = []
    for worker_id, at in rescued_at.items():
        pid = pid_of[worker_id]
        died = killed[pid]
        # What a job process of a worker suffered earlier is no matter of its own death.
        if at > died:
            spans = (_seen(watched_by_lock, died, at), _seen(watched, died, at), at - died)
            found.append(Recovery(worker_id, pid, *(span / _SECOND for span in spans)))
    return found


def _seen(watched: List[Span], died: int, rescued: int) -> int:
    """Return the longest time of it in which one worker was up without a break."""
    return max((min(end, rescued) - max(start, died) for start, end in watched), default=0)


def _watched(history: History, killed: Dict[int, int], hindered_of: Callable[[WorkerUp], Sequence[Span]]) -> List[Span]:
    """Return the spans of time in which some worker was up and nothing hindered it."""
    told = {fault.pid: fault.at for fault in reversed(history.faults) if fault.kind == "stop"}
    ended = {one.pid: one.at for one in history.ended}
    spans = []
    for worker in history.workers:
        ends = [moments[worker.pid] for moments in (killed, told, ended) if worker.pid in moments]
        start = worker.at
        end = min(ends, default=2**62)
        for from_, to in hindered_of(worker):
            if from_ < end and to > start:
                spans.append((start, from_))
                start = to
        spans.append((start, end))
    return [(start, end) for start, end in spans if end > start]


def _in_grace(history: History, worker: WorkerUp) -> List[Span]:
    """Return the spans in which locks tell this worker nothing: some may be lost, and not taken again yet."""
    grace = round(GRACE_SECONDS * _SECOND)
    return [
        (fault.at, fault.at + grace)
        for fault in history.faults
        if fault.kind == "up" or (fault.kind, fault.role, fault.pid) == ("cut", "listener", worker.pid)
    ]


def _hindered(history: History) -> List[Span]:
    """Return the spans in which a process was frozen, perhaps with the write lock in its hand, or a stranger had it.

    Or in which there was no server.
    """
    spans = _spans(history, {"freeze": {"thaw", "kill"}, "lock": {"unlock", "kill"}})
    return sorted([*spans, *outages(history)])


def outages(history: History) -> List[Span]:
    """Return the spans in which there was no server."""
    return _spans(history, {"down": {"up"}})


def _spans(history: History, closes: Dict[str, Set[str]]) -> List[Span]:
    """Return from when to when what was done to a process lasted; `closes` says what ends it."""
    spans: List[Span] = []
    for number, fault in enumerate(history.faults):
        if fault.kind in closes:
            later = history.faults[number + 1 :]
            ends = (one.at for one in later if one.pid == fault.pid and one.kind in closes[fault.kind])
            spans.append((fault.at, next(ends, 2**62)))
    return spans
