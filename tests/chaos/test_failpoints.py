"""Kill, or fail, at each point of the work, then let a sound worker go on: nothing is lost, whichever point it was."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sqlite_job import DatabaseError, SQLiteJob, Worker
from sqlite_job.storage import sqlite
from sqlite_job.testing.failpoints import POINTS, Failpoints
from tests.acceptance.processes import DEADLINE, wait_until
from tests.chaos.checker import Limits, check
from tests.chaos.history import History, Log
from tests.chaos.record import Record
from tests.chaos.tasks import EXPECTED, FOLDER_VARIABLE, MAX_TRIES, Threads

ROOT = Path(__file__).parents[2]
VARIABLE = "SQLITE_JOB_FAILPOINTS"
LIMITS = Limits(EXPECTED, MAX_TRIES, Threads.max_deaths, promise_seconds=DEADLINE)

# Checkpoints wait for a journal of 32 MB; here they must come at once.
PROLOGUE = """
import sys
from sqlite_job.storage import sqlite
sqlite._CHECKPOINT_BYTES = 1 if "checkpoint" in sys.argv[2] else sqlite._CHECKPOINT_BYTES
"""

WORKER = """
from sqlite_job import Worker
from tests.chaos import tasks
worker = Worker("default", getattr(tasks, sys.argv[3])(sys.argv[1]))
worker.subscribe(tasks.record)
worker.run(burst=True)
"""

PRODUCER = """
import itertools
from sqlite_job import DatabaseError, SQLiteJob, call
from tests.chaos.tasks import log
jobs = SQLiteJob("default", database=sys.argv[1], serializer="json")
for number in range(24):
    batch = f"batch-{number}"
    wanted = [(f"{number}.{one}", "quick") for one in range(1 + number % 3)]
    log().intend(batch, wanted)
    try:
        made = jobs.enqueue_many([call(function, key) for key, function in wanted])
    except DatabaseError as error:
        print("refused", error)
    else:
        log().acknowledge(batch, [(job.id, key) for job, (key, _) in zip(made, wanted)])
"""

AROUND_COMMITS = [
    *("begin.before", "begin.after", "commit.before", "commit.after"),
    *("checkpoint.before", "checkpoint.during", "checkpoint.after"),
]
IN_WORKERS = [*AROUND_COMMITS, "claim.before", "claim.after", "outcome.before", "outcome.after"]
# The first transactions are the worker's registration and heartbeat; later ones settle and claim.
NTH = {"begin": 4, "commit": 4, "checkpoint": 1, "claim": 2, "outcome": 4}
WORKER_PLANS = [f"{point}=kill@{NTH[point.split('.')[0]]}" for point in IN_WORKERS]
FIRST_PLANS = [f"{point}=kill@1" for point in ("begin.after", "commit.before", "commit.after")]
PRODUCER_PLANS = [f"{point}=kill@{1 if 'checkpoint' in point else 8}" for point in AROUND_COMMITS]
# What an I/O error looks like from above; after a COMMIT there is none.
RAISING_PLANS = [f"{point}=raise@{nth}" for point in ("begin.before", "begin.after", "commit.before") for nth in (1, 5)]


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    return Scene(tmp_path)


class Scene:
    """A folder with a database, a history, and one process that has failpoints."""

    def __init__(self, folder):
        self.database = str(folder / "jobs.db")
        self._history = str(folder / "history")
        self.log = Log(self._history)

    def enqueue(self, *functions):
        jobs = SQLiteJob("default", database=self.database, serializer="json")
        for number, function in enumerate(functions):
            key = f"{function}-{number}"
            self.log.intend(key, [(key, function)])
            job = jobs.enqueue(function, key, *([0.01] if function in {"slow", "nap"} else []))
            self.log.acknowledge(key, [(job.id, key)])
        jobs.close()

    def run(self, program, plan, *arguments):
        """Run a process with a failpoint to its end; what it was is told to the history."""
        process = self.start(program, plan, *arguments)
        code = process.wait(DEADLINE)
        if code != 0:
            self.log.fault("kill", process.pid, "victim")
        return code

    def start(self, program, plan, *arguments):
        return subprocess.Popen(
            [sys.executable, "-c", PROLOGUE + program, self.database, plan, *arguments],
            cwd=ROOT,
            env={**os.environ, VARIABLE: plan},
            stderr=subprocess.DEVNULL,
        )

    def unfinished(self):
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=DEADLINE)
        try:
            return connection.execute("SELECT count(*) FROM sqlitejob_job WHERE finished_at IS NULL").fetchone()[0]
        finally:
            connection.close()

    def work_soundly(self):
        """Let a worker without failpoints do the rest, in this process."""
        worker = Worker("default", Threads(self.database))
        with worker.running_in_background():
            wait_until(lambda: not self.unfinished(), "the queue does not drain")

    def own_up_to_deaths(self):
        """Tell the history of the job processes that died of a failpoint; returns how many jobs they had."""
        record = Record(self.database)
        pids = {(one.id, one.claim): one.pid for one in History.read(self._history).effects}
        deaths = [(row.id, one) for row in record.rows for one in record.failures.get(row.seq, {}).values()]
        deaths = [(job_id, one) for job_id, one in deaths if one.is_death]
        for job_id, one in deaths:
            # A job that was given to a process on its way out has no effect by which to know the process.
            pid = pids.get((job_id, one.claim), 0)
            self.log.write("fault", at=one.finished_at, kind="kill", target=pid, role="job")
        return len(deaths)

    def check(self):
        return check(self.database, History.read(self._history), LIMITS)


@pytest.mark.parametrize("plan", WORKER_PLANS + FIRST_PLANS)
def test_a_worker_may_die_at_any_point(scene, plan):
    scene.enqueue(*["quick", "slow", "nap", "flaky", "dozy", "doomed"] * 4)
    assert scene.run(WORKER, plan, "Threads") == -signal.SIGKILL
    scene.work_soundly()

    assert scene.check() == []


@pytest.mark.parametrize("plan", PRODUCER_PLANS)
def test_a_producer_may_die_at_any_point(scene, plan):
    assert scene.run(PRODUCER, plan) == -signal.SIGKILL
    scene.work_soundly()

    assert scene.check() == []


@pytest.mark.parametrize("action", ["kill", "exit"])
@pytest.mark.parametrize("point", ["send.before", "send.after"])
def test_a_job_process_may_die_before_and_after_it_tells_its_outcome(scene, point, action):
    scene.enqueue(*["quick", "nap", "flaky"] * 3)
    assert scene.run(WORKER, f"{point}={action}@4", "Processes") == 0
    # Told before it died, an outcome counts.
    assert scene.own_up_to_deaths() or point == "send.after"
    scene.work_soundly()

    assert scene.check() == []


@pytest.mark.parametrize("plan", RAISING_PLANS)
def test_a_worker_outlasts_an_io_error_at_any_point(scene, plan):
    scene.enqueue(*["quick", "slow", "nap", "dozy"] * 4)
    code = scene.run(WORKER, plan, "Threads")
    # A worker that cannot even register says so and ends; later, errors pass.
    assert code == 0 or plan.endswith("@1")
    scene.work_soundly()

    assert scene.check() == []


@pytest.mark.parametrize("plan", [*RAISING_PLANS, "commit.after=raise@5"])
def test_a_producer_is_told_of_an_io_error_at_any_point(scene, plan):
    assert scene.run(PRODUCER, plan) == 0
    scene.work_soundly()

    assert scene.check() == []


@pytest.fixture
def frozen(scene):
    """A worker that is frozen with the write lock in its hand."""
    scene.enqueue(*["quick"] * 12)
    process = scene.start(WORKER, "commit.before=stop@3", "Threads")
    wait_until(lambda: _state(process.pid) == "T", "it does not freeze")
    scene.log.fault("freeze", process.pid, "worker")
    yield process
    process.send_signal(signal.SIGCONT)
    process.wait(DEADLINE)


def test_a_worker_frozen_with_the_write_lock_in_its_hand_hinders_others_only_while_it_is_frozen(scene, frozen):
    time.sleep(3.5)  # past its lease
    frozen.send_signal(signal.SIGCONT)
    assert frozen.wait(DEADLINE) == 0
    scene.work_soundly()

    assert scene.check() == []


@pytest.mark.parametrize("use", [lambda jobs: jobs.enqueue("quick", "more"), lambda jobs: jobs.counts()])
def test_who_needs_the_write_lock_of_a_frozen_worker_is_told_so_in_time(scene, frozen, monkeypatch, use):
    monkeypatch.setattr(sqlite, "_DEADLINE_SECONDS", 0.5)
    jobs = SQLiteJob("default", database=scene.database, serializer="json")
    met = []

    def call():
        try:
            met.append(use(jobs))
        except DatabaseError as error:
            met.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(2)
    is_stuck = thread.is_alive()
    frozen.send_signal(signal.SIGCONT)
    thread.join(DEADLINE)
    jobs.close()
    assert not is_stuck


def _state(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]


# ---- nothing when off

LOOK = """
import inspect, sqlite3, sys
from sqlite_job import DatabaseError, SQLiteJob, Worker
from sqlite_job.storage import sqlite
from sqlite_job.engine.engine import Engine
from sqlite_job.engine.executors.frames import Channel
from sqlite_job.engine.outbox import Outbox
from sqlite_job.storage.sqlite_connection import connect
SQLiteJob("default", database="jobs.db").enqueue("add", 1)
connection = connect("jobs.db", "full")
print(
    "sqlite_job.testing" in sys.modules,
    "sqlite_job.testing.failpoints" in sys.modules,
    type(connection) is not sqlite3.Connection,
    type(connection.cursor()) is not sqlite3.Cursor,
    *(hasattr(function, "__wrapped__") for function in (Engine._start, Outbox.put, Channel.send)),
)
"""


@pytest.mark.parametrize("plan", [None, "", "commit.after=kill@1000"])
def test_without_the_variable_there_is_nothing(tmp_path, plan):
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if plan is not None:
        environment[VARIABLE] = plan
    found = subprocess.run(
        [sys.executable, "-c", LOOK], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == [str(plan is not None)] * 7


@pytest.mark.parametrize("text", ["commit=kill", "commit.before", "commit.before=sing", "commit.before=kill@often"])
def test_a_misspelt_failpoint_is_an_error_that_lists_what_there_is(text):
    with pytest.raises(ValueError, match=r"is no failpoint; write .*commit\.before.*kill"):
        Failpoints(text)


def test_every_point_is_in_the_matrix():
    tried = {plan.partition("=")[0] for plan in WORKER_PLANS + PRODUCER_PLANS} | {"send.before", "send.after"}
    assert tried == set(POINTS)
