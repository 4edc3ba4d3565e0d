"""Start real workers and producers, and wait for what they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from sqlite_job import Inspector
from sqlite_job.core.findings import Level
from tests.doors.making import execute, is_on_server

DEADLINE = 60  # seconds; reached only by what will never happen

TASKS = """
from __future__ import annotations
import asyncio, os, signal, time
from sqlite_job import WorkerSettings, cron, current_job, every, task

def add(a, b):
    return a + b

async def add_later(a, b):
    await asyncio.sleep(0)
    return a + b

def mark(path, text=""):
    with open(path, "a") as file:
        file.write(f"{current_job().id} {text}\\n")
    return current_job().tries

def hold(started, release):
    open(started, "w").close()
    while not os.path.exists(release):
        time.sleep(0.005)
    return "released"

async def hold_async(started, release):
    open(started, "w").close()
    while not os.path.exists(release):
        await asyncio.sleep(0.005)
    return "released"

def tell_pid(started, release):
    open(started, "w").close()
    while not os.path.exists(release):
        current_job().progress(os.getpid())
        time.sleep(0.005)
    current_job().progress(os.getpid(), message="released")

def hold_on(path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)

def grow(megabytes):
    global grown
    grown = bytearray(megabytes * 1_000_000)

def pid_of_process():
    return os.getpid()

def leave_orphan():
    if os.fork() == 0:
        if os.fork() == 0:
            time.sleep(0.2)
        os._exit(0)
    return "left"

class Settings(WorkerSettings):
    functions = [add, add_later, mark, hold, hold_async, tell_pid, hold_on, grow, pid_of_process, leave_orphan]
    database = "jobs.db"
    shutdown_timeout = 20

class Short(Settings):
    lease = 3

class InProcesses(Settings):
    executor = "process"
    max_jobs = 2

class Limited(Settings):
    shutdown_timeout = 0.1

class Dying(Settings):
    def on_startup(self, state):
        os._exit(9)

class Impatient(Settings):
    shutdown_timeout = 0.1

class Scheduled(Settings):
    cron_jobs = [
        every(0.1, mark, ["record"], name="often", misfire="all"),
        cron("* * * * * *", mark, ["record"], name="seconds", misfire="all"),
        every(0.1, mark, ["record"], name="skipping", max_late=0.5),
    ]
    max_deaths = 1000

class Forgetful(Settings):
    keep_result = 0
    keep_failed = 0
    lease = 3
"""

RUN = """
import sys
import tasks
from sqlite_job import Worker
worker = Worker("default", getattr(tasks, sys.argv[1])())
print("jobs", worker.run(burst=sys.argv[2] == "burst"))
"""


class Place:
    """A folder with tasks.py, a database, and the processes that were started in the one for the other."""

    def __init__(self, folder, database=None):
        self.folder = Path(folder)
        self.database = os.fspath(database or self.folder / "jobs.db")
        self.write("tasks.py", TASKS)
        self.processes = []

    def write(self, name, program):
        """Write a module whose "jobs.db" is the place's database."""
        (self.folder / name).write_text(self._with_database(program))

    def python(self, program, *arguments):
        """Start a Python process whose output lines can be waited for."""
        process = Process([sys.executable, "-c", self._with_database(program), *arguments], self.folder)
        self.processes.append(process)
        return process

    def worker(self, settings="Settings", mode="forever"):
        """Start a worker, and return once it takes jobs."""
        worker = self.python(RUN, settings, mode)
        worker.wait_for_line("serves default")
        return worker

    def settings(self, name="Settings"):
        """Import the folder's settings into this process."""
        namespace = {"__name__": "tasks"}
        exec(compile(TASKS, "tasks.py", "exec"), namespace)
        return namespace[name](self.database)

    def integrity(self):
        """Return "ok", or what the database has to complain of."""
        if is_on_server(self.database):
            found = Inspector(self.database).examine(full=True)
            wrong = [finding for finding in found if finding.level is Level.ERROR and finding.check != "Durability"]
            return wrong or "ok"  # the server of the tests does not wait for its disk
        return execute(self.database, "PRAGMA integrity_check")[0][0]

    def _with_database(self, program):
        return program.replace('"jobs.db"', repr(self.database)) if is_on_server(self.database) else program

    def close(self):
        for process in self.processes:
            process.kill()


class Process:
    """A child process; its output is read all the time, so that it never blocks."""

    def __init__(self, command, folder):
        environment = {name: value for name, value in os.environ.items() if name != "SQLITE_JOB_DATABASE"}
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.pid = self._process.pid
        self.lines = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()

    def wait_for_line(self, text):
        def there():
            return any(text in line for line in self.lines) or not self._reader.is_alive()

        with self._changed:
            self._changed.wait_for(there, DEADLINE)
            assert any(text in line for line in self.lines), self.lines

    def is_running(self):
        return self._process.poll() is None

    def send(self, number):
        self._process.send_signal(number)

    def wait(self):
        """Return the exit code."""
        code = self._process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        self._process.stdout.close()
        return code

    def kill(self):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        self.wait()


def wait_until(condition, what, seconds=DEADLINE):
    """Look again and again until the condition holds: for states of files and processes that nobody announces."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)
