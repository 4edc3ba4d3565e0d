"""Jobs that misbehave, in every way that was met in the wild."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import resource
import signal
import sys
import time

from sqlite_job import StopRequested, WorkerSettings, task


def fine(a=1, b=2):
    return a + b


async def fine_async(a=1, b=2):
    await asyncio.sleep(0)
    return a + b


def raises():
    raise ValueError("no")


def exits():
    sys.exit(3)


def interrupts():
    raise KeyboardInterrupt


def recurses():
    return recurses()


def runs_out_of_memory():
    raise MemoryError("as RLIMIT_AS makes it")


def exhausts_its_memory():
    """Run out of memory in earnest; only in a process of its own."""
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 50_000_000, before[1]))
    try:
        return len([bytearray(10_000_000) for _ in range(1000)])
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def unencodable():
    return lambda: None


def closes_stdout():
    os.close(1)
    return "closed"


def forks():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def leaves_a_daemon():
    if os.fork() == 0:
        time.sleep(2)
        os._exit(0)
    return os.getpid()


def segfaults():
    ctypes.string_at(0)


def vanishes():
    os._exit(5)


def kills_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def loops():
    while True:
        pass


def sleeps():
    time.sleep(30)


async def sleeps_async():
    await asyncio.sleep(30)


def swallows():
    while True:
        try:
            time.sleep(0.01)
        except StopRequested:
            pass


async def swallows_async():
    while True:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            pass


def holds_the_gil():
    # Exponential, and one call into C from the interpreter's point of view: no other thread runs meanwhile.
    return re.match(r"(a+)+$", "a" * 27 + "b")


def cleans_up(path):
    try:
        time.sleep(0.01)
        while True:
            time.sleep(0.01)
    finally:
        with open(path, "w") as file:
            file.write("clean")


async def cleans_up_async(path):
    try:
        await asyncio.sleep(30)
    finally:
        with open(path, "w") as file:
            file.write("clean")


HARMLESS = [fine, fine_async, raises, exits, interrupts, recurses, runs_out_of_memory, unencodable]
STOPPABLE = [loops, sleeps, sleeps_async, swallows, swallows_async, cleans_up, cleans_up_async]
DEADLY = [segfaults, vanishes, kills_itself]


class ThreadZoo(WorkerSettings):
    functions = [*HARMLESS, *STOPPABLE, holds_the_gil]
    max_jobs = 4


class ProcessZoo(WorkerSettings):
    functions = [
        task(function, executor="process")
        for function in (
            *HARMLESS,
            *STOPPABLE,
            *DEADLY,
            holds_the_gil,
            forks,
            leaves_a_daemon,
            closes_stdout,
            exhausts_its_memory,
        )
    ]
    max_jobs = 2


class QuarantineZoo(WorkerSettings):
    functions = [fine, kills_itself]
    max_jobs = 4
