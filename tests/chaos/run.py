"""A chaos run: start workers and producers, hurt them at random for a while, then let the queue drain."""

from __future__ import annotations

import os
import random
import signal
import time
from functools import partial
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from tests.chaos.cast import fork, produce, reap, send, work
from tests.chaos.history import Log
from tests.chaos.observer import observe
from tests.chaos.places import PLACES
from tests.chaos.tasks import FOLDER_VARIABLE

_DRAIN_SECONDS = 120
_END_SECONDS = 15

_CAST = {
    "worker threads 1": partial(work, kind="threads"),
    "worker threads 2": partial(work, kind="threads"),
    "worker threads 3": partial(work, kind="threads"),
    "worker processes": partial(work, kind="processes"),
    "producer single": partial(produce, kind="single"),
    "producer bulk": partial(produce, kind="bulk"),
    "producer async": partial(produce, kind="async"),
}


class Member(NamedTuple):
    """A running process of the cast."""

    name: str
    pid: int

    @property
    def role(self) -> str:
        return self.name.split()[0]


class Chaos:
    """One run in one folder; single-threaded and without a connection that it keeps, so that it may fork."""

    def __init__(self, folder: str, database: str = "sqlite") -> None:
        self.folder = folder
        self.history = os.path.join(folder, "history")
        self._output = os.path.join(folder, "output")
        self._stop = os.path.join(folder, "stop")
        self._log = Log(self.history)
        self.place = PLACES[database](folder, self._log)
        self._cast: Dict[str, Member] = {}
        self._frozen: Dict[int, float] = {}

    def run(self, seconds: float) -> None:
        """Hurt for so many seconds, drain, end everything; what happened is in the history, the place is left open."""
        self.place.open()
        os.environ[FOLDER_VARIABLE] = self.folder  # from now on a process that has it belongs to the cast
        self._mark("began")
        try:
            for name in _CAST:
                self._start(name)
            wait_for(self.place.is_ready, "the database does not come", 30)
            observer = Member("observer", fork(partial(observe, self.place.database, self._stop), self._output))
            self._hurt_until(time.monotonic() + seconds)
            self._calm()
            self._drain()
            reap(self._log, observer.pid, "observer", wait=True)
            self._end()
        finally:
            self._sweep()

    def _start(self, name: str) -> None:
        play = partial(_CAST[name], self.place.database)
        if name.startswith("producer"):
            play = partial(play, stop=self._stop)
        self._cast[name] = Member(name, fork(play, self._output))

    def _hurt_until(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            time.sleep(random.uniform(*self.place.pauses))
            self._thaw_due()
            self._replace_ended()
            random.choices(
                [self._kill_worker, self._kill_producer, self._kill_job, self._freeze, self._ask_to_end],
                [40, 22, 18, 12, 8],
            )[0]()
            self.place.hurt()
            self._replace_ended()

    def _kill_worker(self) -> None:
        self._kill(self._any("worker"))

    def _kill_producer(self) -> None:
        self._kill(self._any("producer"))

    def _kill(self, victim: Member) -> None:
        self._log.fault("kill", victim.pid, victim.role)
        send(victim.pid, signal.SIGKILL)
        self._frozen.pop(victim.pid, None)
        reap(self._log, victim.pid, victim.role, wait=True)
        self._start(victim.name)

    def _kill_job(self) -> None:
        found = [pid for member in self._cast.values() if member.role == "worker" for pid in children(member.pid)]
        if found:
            pid = random.choice(found)
            self._log.fault("kill", pid, "job")
            send(pid, signal.SIGKILL)

    def _freeze(self) -> None:
        victim = self._any("worker" if random.random() < 0.8 else "producer")
        if not self._frozen:
            self._log.fault("freeze", victim.pid, victim.role)
            send(victim.pid, signal.SIGSTOP)
            # Its lease is 3 seconds: some sleep past it, some do not.
            self._frozen[victim.pid] = time.monotonic() + random.uniform(0.2, 5.5)

    def _ask_to_end(self) -> None:
        victim = self._any("worker")
        self._log.fault("stop", victim.pid, victim.role)
        send(victim.pid, signal.SIGTERM)

    def _any(self, role: str) -> Member:
        """Choose a victim: seldom a frozen one, which should have the time to sleep past its lease."""
        spared = self._frozen if random.random() < 0.9 else {}
        return random.choice([one for one in self._cast.values() if one.role == role and one.pid not in spared])

    def _thaw_due(self, *, all_of_them: bool = False) -> None:
        for pid, due in list(self._frozen.items()):
            if all_of_them or time.monotonic() > due:
                send(pid, signal.SIGCONT)
                self._log.fault("thaw", pid, "worker")
                del self._frozen[pid]

    def _replace_ended(self) -> None:
        """Start anew what ended: of poison, or as it was asked to."""
        for member in list(self._cast.values()):
            if reap(self._log, member.pid, member.role, wait=False):
                self._frozen.pop(member.pid, None)
                self._start(member.name)

    def _calm(self) -> None:
        self._thaw_due(all_of_them=True)
        self._mark("calm")
        with open(self._stop, "w"):
            pass
        for member in [member for member in self._cast.values() if member.role == "producer"]:
            reap(self._log, member.pid, member.role, wait=True)
            del self._cast[member.name]

    def _drain(self) -> None:
        deadline = time.monotonic() + _DRAIN_SECONDS
        while self.place.unfinished() and time.monotonic() < deadline:
            self._replace_ended()
            time.sleep(0.05)
        self._mark("drained")

    def _end(self) -> None:
        self._replace_ended()
        for member in self._cast.values():
            self._log.fault("stop", member.pid, member.role)
            send(member.pid, signal.SIGTERM)
        deadline = time.monotonic() + _END_SECONDS
        waiting = list(self._cast.values())
        while waiting and time.monotonic() < deadline:
            waiting = [one for one in waiting if not reap(self._log, one.pid, one.role, wait=False)]
            time.sleep(0.02)
        time.sleep(0.2)  # the kernel's own word to orphans
        left = [f"{pid}: {what}" for pid, what in self._processes()] + self.place.left()
        self._log.write("left", what_is_left=left)

    def _sweep(self) -> None:
        for pid, _ in self._processes():
            send(pid, signal.SIGKILL)
            send(pid, signal.SIGCONT)

    def _processes(self) -> List[Tuple[int, str]]:
        """Return whoever has this run's folder in its environment, or was forked from this process."""
        mark = f"{FOLDER_VARIABLE}={self.folder}".encode()
        others = {os.getpid(), *self.place.keepers}
        found = [
            pid
            for pid in pids()
            if pid not in others and (mark in _read(pid, "environ") or _parent(pid) == os.getpid())
        ]
        return [(pid, _read(pid, "cmdline").replace(b"\0", b" ").decode()[:200]) for pid in found]

    def _mark(self, name: str) -> None:
        self._log.write("mark", name=name)


def wait_for(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """Look again and again until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.01)


def children(pid: int) -> List[int]:
    """Return the job processes of a worker, whichever of its threads started them."""
    return [one for one in pids() if _parent(one) == pid and b"sqlite_job.child" in _read(one, "cmdline")]


def pids() -> Iterator[int]:
    """Yield all processes that can be seen."""
    yield from (int(name) for name in os.listdir("/proc") if name.isdigit())


def _parent(pid: int) -> Optional[int]:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else None


def _read(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""
