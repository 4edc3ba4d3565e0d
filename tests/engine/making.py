"""Build an engine on a real database, with a clock that moves by hand and an executor that runs when told."""

from __future__ import annotations

from collections import deque

from sqlite_job.core.context import State
from sqlite_job.core.events import Events
from sqlite_job.core.outcomes import Returned
from sqlite_job.core.retries import RetryPolicy
from sqlite_job.core.serializers import BUILT_IN, Codecs
from sqlite_job.core.stopping import Stop
from sqlite_job.core.tasks import RegisteredTask
from sqlite_job.engine.engine import Engine
from sqlite_job.engine.executors import Executor
from sqlite_job.engine.options import EngineOptions
from sqlite_job.engine.registration import Registration
from sqlite_job.engine.runner import JobHooks, Runner, RunnerOptions
from tests.storage.making import NOW, new_job


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.time = NOW

    def now(self):
        return self.time


class HandExecutor(Executor):
    """Runs a job, in the test's own thread, when the test says so."""

    def __init__(self, run, report):
        self._run = run
        self._report = report
        self.stopped = []
        self.waiting = deque()
        self.interrupted = False

    def submit(self, jobs):
        self.waiting.extend(jobs)

    def run_next(self, count=1):
        for _ in range(count):
            self._report(self._run(self.waiting.popleft(), Stop()))

    def take_back(self):
        taken = list(self.waiting)
        self.waiting.clear()
        return taken

    def stop(self, seq, cause, reason=None):
        self.stopped.append((seq, cause, reason))
        return False

    def interrupt(self):
        self.interrupted = True
        for job in self.take_back():
            self._report(Returned(job.seq, job.claim_number))

    def close(self):
        pass


class Bench:
    """An engine and its parts, each to be looked at."""

    def __init__(self, storage, functions, slots=2, policy=None, queues=("default",), **options):
        self.storage = storage
        self.clock = HandClock()
        self.events = []
        events = Events()
        events.subscribe(self.events.append)
        self.watcher = storage.watch()
        tasks = {
            name: RegisteredTask(name, function, False, None, 0, policy or RetryPolicy())
            for name, function in functions.items()
        }
        codecs = Codecs(BUILT_IN["pickle"], BUILT_IN.values())
        wishes = {"poll_delay": 5.0, "shutdown_timeout": 0.0, **options}
        self.registration = Registration(storage, queues, lease_seconds=30, clock=self.clock, events=events)
        self.engine = Engine(
            storage,
            self.registration,
            EngineOptions(tuple(queues), tuple(functions), slots, **wishes),
            clock=self.clock,
            events=events,
            watcher=self.watcher,
            limits_of=lambda _job: None,
        )
        runner = Runner(
            tasks,
            codecs,
            self.clock,
            state=State(),
            hooks=JobHooks(),
            options=RunnerOptions(),
            run_on_loop=None,
            open_transaction=storage.open_transaction,
            notebook=self.engine.notebook,
        )
        self.executor = HandExecutor(runner.run, self.engine.outbox.put)
        self.engine.assign(self.executor)

    def enqueue(self, *ids, **changes):
        self.storage.enqueue([new_job(job_id, **changes) for job_id in ids])

    def status(self, job_id):
        return self.storage.get(job_id).status.value

    def of_kind(self, kind):
        return [event for event in self.events if isinstance(event, kind)]
