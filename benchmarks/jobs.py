"""The functions that the measured workers run, and settings that list them."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict

from sqlite_job import Limit, WorkerSettings, task

NAP_SECONDS = 0.001

COMPUTE_SECONDS = 0.001

# Of the limited jobs only so many can run at once: one for each key.
KEYS = 1_000


def echo(number: int) -> int:
    """Do nothing: what is given comes back, so that each stored result can be checked."""
    return number


async def async_echo(number: int) -> int:
    return number


@task(concurrency=Limit(1, key=lambda number: number % KEYS))
def limited_echo(number: int) -> int:
    return number


@task(executor="process")
def process_echo(number: int) -> int:
    return number


def nap(number: int) -> int:
    time.sleep(NAP_SECONDS)
    return number


def compute(number: int) -> int:
    """Need a millisecond of CPU, whatever the machine; what other threads do meanwhile does not count."""
    end = time.thread_time() + COMPUTE_SECONDS
    while time.thread_time() < end:
        pass
    return number


def stamp() -> int:
    """Return when this line was reached."""
    return time.time_ns()


FUNCTIONS: Dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (echo, async_echo, limited_echo, process_echo, nap, compute, stamp)
}


class ProcessSettings(WorkerSettings):
    """Two job processes; they import this class, so it cannot be made on the way."""

    functions = (process_echo,)
    max_jobs = 2


def settings(path: str, durability: str, *names: str) -> WorkerSettings:
    """Return default settings for a database, with the functions of these names."""
    if names == ("process_echo",):
        return ProcessSettings(path)
    knobs = {"functions": [FUNCTIONS[name] for name in names], "durability": durability}
    made: WorkerSettings = type("BenchmarkSettings", (WorkerSettings,), knobs)(path)
    return made
