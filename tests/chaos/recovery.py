"""How soon the jobs of dead workers were taken up, from the times in the database and in the history."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Tuple

from tests.chaos.history import History
from tests.chaos.record import Record

_SECOND = 1_000_000

Span = Tuple[int, int]


class Recovery(NamedTuple):
    """A killed worker that held jobs, and how long they were recorded as its own after its death.

    `seconds` counts from the first moment at which somebody could have seen it: another worker was up, and nothing was
    frozen or locked. `raw_seconds` counts from the death.
    """

    worker_id: int
    pid: int
    seconds: float
    raw_seconds: float


def late_recoveries(record: Record, history: History, promise_seconds: float) -> List[Recovery]:
    """Return those that took longer than promised, though another worker was up all that time, unhindered."""
    promise = promise_seconds * _SECOND
    return [one for one in recoveries(record, history) if one.seconds * _SECOND > promise]


def recoveries(record: Record, history: History) -> List[Recovery]:
    """Return one for each killed worker from which jobs were taken."""
    killed = {fault.pid: fault.at for fault in history.faults if fault.kind == "kill"}
    pid_of = history.of_worker()
    rescued_at: Dict[int, int] = {}
    for failures in record.failures.values():
        for failure in failures.values():
            if failure.is_death and pid_of.get(failure.worker_id) in killed:
                rescued_at[failure.worker_id] = max(failure.finished_at, rescued_at.get(failure.worker_id, 0))
    watched = _watched(history, killed)
    found = []
    for worker_id, at in rescued_at.items():
        pid = pid_of[worker_id]
        died = killed[pid]
        # What a job process of a worker suffered earlier is no matter of its own death.
        if at > died:
            found.append(Recovery(worker_id, pid, _seen(watched, died, at) / _SECOND, (at - died) / _SECOND))
    return found


def _seen(watched: List[Span], died: int, rescued: int) -> int:
    """Return the longest time of it in which one worker was up without a break."""
    return max((min(end, rescued) - max(start, died) for start, end in watched), default=0)


def _watched(history: History, killed: Dict[int, int]) -> List[Span]:
    """Return the spans of time in which some worker was up and nothing hindered it."""
    told = {fault.pid: fault.at for fault in reversed(history.faults) if fault.kind == "stop"}
    ended = {one.pid: one.at for one in history.ended}
    hindered = _hindered(history)
    spans = []
    for worker in history.workers:
        ends = [moments[worker.pid] for moments in (killed, told, ended) if worker.pid in moments]
        start = worker.at
        end = min(ends, default=2**62)
        for from_, to in hindered:
            if from_ < end and to > start:
                spans.append((start, from_))
                start = to
        spans.append((start, end))
    return [(start, end) for start, end in spans if end > start]


def _hindered(history: History) -> List[Span]:
    """Return the spans in which a process was frozen, perhaps with the write lock in its hand, or a stranger had it."""
    closes = {"freeze": {"thaw", "kill"}, "lock": {"unlock", "kill"}}
    spans: List[Span] = []
    for number, fault in enumerate(history.faults):
        if fault.kind in closes:
            later = history.faults[number + 1 :]
            ends = (one.at for one in later if one.pid == fault.pid and one.kind in closes[fault.kind])
            spans.append((fault.at, next(ends, 2**62)))
    return sorted(spans)
