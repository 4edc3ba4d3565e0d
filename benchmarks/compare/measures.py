"""Measure one system in one way. Each function is called in a process of its own, and returns figures by name."""

from __future__ import annotations

import random
import signal
import sys
import time
from typing import Any, Callable, Dict, List, Optional

from benchmarks.check import expect
from benchmarks.compare import place as places
from benchmarks.compare import stores, workers
from benchmarks.compare.checking import check_ran, check_results
from benchmarks.compare.ledger import Ledger
from benchmarks.compare.place import Place
from benchmarks.latency import percentile

Figures = Dict[str, Optional[float]]

# How many jobs go into one call that enqueues many.
_BULK = 1_000
# So many calls are made between two looks at the clock.
_CHUNK = 20
_PATIENCE_SECONDS = 90.0
# Jittered, so that no timer's period is met again and again.
_PAUSE_SECONDS = (0.02, 0.12)
_WARM_UP = 3
# Until a worker that has run some jobs has gone to sleep.
_SETTLING_SECONDS = 1.0


def probe(module: str, place: List[Any]) -> Dict[str, Any]:
    """Return nothing if the system can be set up here."""
    _open(module, Place(*place))
    return {}


def enqueue(module: str, place: List[Any], seconds: float) -> Figures:
    """Return how many jobs a second one caller enqueues, one by one and in bulk."""
    chosen = Place(*place)
    driver = _open(module, chosen)
    driver.enqueue([(number,) for number in range(_CHUNK)])
    single, made = _rate(driver.enqueue, _CHUNK, seconds)
    expected = made + _CHUNK
    bulk = None
    if driver.enqueue_bulk is not None:
        bulk, made = _rate(driver.enqueue_bulk, _BULK, seconds)
        expected += made
    stored = driver.waiting()
    expect(stored == expected, f"{stored:,} jobs are stored, and {expected:,} were enqueued")
    return {"enqueue": single, "enqueue_bulk": bulk}


def drain(module: str, place: List[Any], *, jobs: int, processes: int, ready: int, extra: int) -> Figures:
    """Return how many jobs a second workers run, from the first moment that all can to the last stored result.

    And how much the store has grown by for each job, and the memory of the workers half way.
    """
    chosen = Place(*place)
    driver = _open(module, chosen)
    before = stores.used_bytes(chosen.store)
    ids = _fill(driver, _arguments(chosen.kind, jobs, extra))
    ledger = Ledger(chosen.ledger)
    busy = 0.0
    with workers.start(driver.commands(processes), chosen) as running:
        running.wait_until(lambda: len(ledger.ready()) >= ready, _PATIENCE_SECONDS, f"{ready} processes had a job")
        opened = ledger.open_gate()
        if chosen.kind == "nap":
            running.wait_until(lambda: ledger.count() >= jobs, _PATIENCE_SECONDS, "half of the jobs")
            busy = running.pss_mb()
        per_job = 2 if chosen.kind == "nap" else 1
        running.wait_until(lambda: ledger.count() >= jobs * per_job, _PATIENCE_SECONDS, "all jobs ran")
        running.wait_until(lambda: driver.finished() >= jobs, _PATIENCE_SECONDS, "all results were stored")
        ended = time.monotonic_ns()
    check_ran(ledger.read(), jobs)
    check_results(driver.results(ids), jobs)
    expect(driver.waiting() == 0, f"{driver.waiting()} jobs are left in the queue")
    grown = (stores.used_bytes(chosen.store) - before) / jobs
    return {"rate": jobs / ((ended - opened) / 1e9), "bytes": grown, "busy_mb": busy}


def wait(module: str, place: List[Any], jobs: int, idle_seconds: float) -> Figures:
    """Return what an idle worker takes to start a job, in ms, and of CPU and memory while it has none."""
    chosen = Place(*place)
    driver = _open(module, chosen)
    ledger = Ledger(chosen.ledger)
    ledger.open_gate()
    enqueued: List[int] = []
    with workers.start(driver.commands(1), chosen) as running:
        for number in range(_WARM_UP + jobs):
            enqueued.append(time.monotonic_ns())
            driver.enqueue([(number,)])
            if number < _WARM_UP:
                running.wait_until(lambda: ledger.count() == len(enqueued), _PATIENCE_SECONDS, "the worker was warm")
            time.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311 - jitter
        running.wait_until(lambda: ledger.count() == len(enqueued), _PATIENCE_SECONDS, "all jobs started")
        time.sleep(_SETTLING_SECONDS)
        began, used = time.monotonic(), running.cpu_seconds()
        time.sleep(idle_seconds)
        idle = 100 * (running.cpu_seconds() - used) / (time.monotonic() - began)
        idle_mb = running.pss_mb()
    entries = ledger.read()
    check_ran(entries, len(enqueued))
    waits = [(entry.at - enqueued[entry.number]) / 1e6 for entry in entries if entry.number >= _WARM_UP]
    return {"p50": percentile(waits, 0.5), "p99": percentile(waits, 0.99), "idle_cpu": idle, "idle_mb": idle_mb}


def kill(module: str, place: List[Any], jobs: int, milliseconds: int, limit: float) -> Figures:
    """Kill a worker when a third of the jobs are done, start another one at once, and return what becomes of the jobs.

    `seconds` is None if they are not all done within the limit; then some are still `held` in the store, or `lost`.
    """
    chosen = Place(*place)
    driver = _open(module, chosen)
    # Of many lengths: no worker is killed in a moment when all its jobs have just ended together.
    driver.enqueue([(number, milliseconds + number * 37 % milliseconds) for number in range(jobs)])
    ledger = Ledger(chosen.ledger)
    ledger.open_gate()
    with workers.start(driver.commands(1), chosen) as first:
        first.wait_until(lambda: len(_ends(ledger)) >= jobs // 3, _PATIENCE_SECONDS, "a third of the jobs")
        killed = first.kill()
    deadline = time.monotonic() + limit
    with workers.start(driver.commands(1), chosen) as second:
        while len(_ends(ledger)) < jobs and time.monotonic() < deadline:
            second.wait_until(lambda: True, 1, "a look at it")
            time.sleep(0.02)
        ends = _ends(ledger)
        unfinished = jobs - len(ends)
        held = min(unfinished, driver.waiting())
    done = (max(min(times) for times in ends.values()) - killed) / 1e9
    return {
        "seconds": None if unfinished else done,
        "held": held,
        "lost": unfinished - held,
        "twice": sum(len(times) > 1 for times in ends.values()),
    }


def _open(module: str, place: Place) -> Any:
    # Whoever ends us, no worker may stay behind: it would take the next one's jobs.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    stores.empty(place.store)
    driver = places.driver(module, place)
    driver.prepare()
    return driver


def _fill(driver: Any, arguments: List[Any]) -> List[str]:
    enqueue_some: Callable[[List[Any]], List[str]] = driver.enqueue_bulk or driver.enqueue
    return [
        each for first in range(0, len(arguments), _BULK) for each in enqueue_some(arguments[first : first + _BULK])
    ]


def _arguments(kind: str, jobs: int, extra: int) -> List[Any]:
    from benchmarks.compare.jobs import make_payload

    if kind == "noop":
        return [(number,) for number in range(jobs)]
    return [(number, make_payload(number, extra) if kind == "weigh" else extra) for number in range(jobs)]


def _rate(enqueue_some: Callable[[List[Any]], List[str]], count: int, seconds: float) -> Any:
    made, began = 0, time.monotonic()
    while time.monotonic() < began + seconds:
        enqueue_some([(number,) for number in range(made, made + count)])
        made += count
    return made / (time.monotonic() - began), made


def _ends(ledger: Ledger) -> Dict[int, List[int]]:
    ends: Dict[int, List[int]] = {}
    for entry in ledger.read():
        if entry.has_ended:
            ends.setdefault(entry.number, []).append(entry.at)
    return ends
