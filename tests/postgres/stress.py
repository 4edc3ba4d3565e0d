"""Do random verbs on one database from several storages at once, and remember what must hold of them."""

from __future__ import annotations

import random
import threading
from collections import Counter

import psycopg

from sqlite_job.core.clock import SystemClock
from sqlite_job.core.errors import DatabaseBusyError, DuplicateJobError, JobNotFoundError, JobStateError
from sqlite_job.core.jobs import Conditions
from sqlite_job.core.outcomes import Cancelled, Completed, Failed, FailureReport, Retried, Returned, Snoozed
from sqlite_job.core.retention import START, Old
from sqlite_job.storage.interface import Wanted
from sqlite_job.storage.postgres.address import parse
from sqlite_job.storage.postgres.storage import PostgresStorage
from tests.storage.making import new_job

SECOND = 1_000_000
GROUPS = {"one": 1, "two": 2, "three": 3}
RATES = {"slow": (3, SECOND // 4), "fast": (20, SECOND // 4)}
QUEUES = ("default", "other")
FUNCTIONS = ("add", "subtract")
REPORT = FailureReport(1, "ValueError", "no", "")


class History:
    """What all actors together have been told by the database."""

    def __init__(self):
        self._mutex = threading.Lock()
        self.enqueued = set()
        self.deleted = set()
        self.claims = Counter()
        self.verbs = Counter()
        self.wrong = []
        self.pruned = 0

    def note(self, **changes):
        with self._mutex:
            self.enqueued |= set(changes.get("enqueued", ()))
            self.deleted |= set(changes.get("deleted", ()))
            self.claims.update(changes.get("claims", ()))
            self.verbs.update(changes.get("verbs", ()))
            self.wrong += changes.get("wrong", ())
            self.pruned += changes.get("pruned", 0)


class Actor:
    """One storage, its workers, and the jobs that these believe to hold."""

    def __init__(self, url, history, seed):
        self._url = url
        self._history = history
        self._chance = random.Random(seed)
        self._clock = SystemClock()
        self.storage = PostgresStorage(parse(url), "full")
        self._worker = self._register()
        self._held = []
        self._past = []
        self._names = f"{seed}-"
        self._count = 0

    def act(self, count):
        """Do so many verbs, one after the other."""
        verbs = [self.turn] * 24 + [self.enqueue] * 16 + [self.operate] * 6 + [self.replace, self.enqueue_within] * 3
        verbs += [self.housekeep, self.housekeep, self.die]
        for verb in self._chance.choices(verbs, k=count):
            self._history.note(verbs=[verb.__name__])
            verb()

    def close(self):
        self.storage.unregister_worker(self._worker)
        self.storage.close()

    def enqueue(self):
        jobs = [self._job() for _ in range(self._chance.choice([1, 1, 2, 5]))]
        try:
            existing = self.storage.enqueue(jobs)
        except DuplicateJobError:
            return
        self._history.note(enqueued={job.id for job in jobs} - set(existing))

    def replace(self):
        key = self._chance.choice("vw")
        run_at = self._chance.choice([None, None, self._clock.now() + SECOND // 10])
        job = self._job(Conditions(unique_key=key, on_conflict="replace"), run_at=run_at)
        if not self.storage.enqueue([job]):
            self._history.note(enqueued=[job.id])

    def enqueue_within(self):
        job = self._job()
        with psycopg.connect(self._url.replace("+psycopg", "")) as theirs:
            try:
                existing = self.storage.enqueue_within(theirs, [job])
            except DuplicateJobError:
                existing = {job.id: None}
            except DatabaseBusyError:
                theirs.rollback()  # as the user is told
                return
            if self._chance.random() < 0.3:
                theirs.rollback()
                return
        self._history.note(enqueued={job.id} - set(existing))

    def turn(self):
        """Settle some of what is held, and claim."""
        self._chance.shuffle(self._held)
        ended, self._held = self._held[:6], self._held[6:]
        # What it has claimed once may be another one's by now: only the fence knows.
        ended += self._chance.sample(self._past, min(len(self._past), self._chance.choice([0, 0, 0, 1])))
        queues = self._chance.choice([QUEUES, QUEUES[:1], QUEUES[1:]])
        functions = self._chance.choice([FUNCTIONS, FUNCTIONS, FUNCTIONS[:1]])
        wanted = Wanted(queues, functions, self._chance.randrange(6), takes_suspect=True)
        for job in ended:
            self._look_at_arguments(job)
        exchange = self.storage.exchange(
            self._worker,
            [self._outcome(job) for job in ended],
            self._chance.choice([wanted, wanted, None]),
            self._now(),
        )
        if exchange.is_expelled:
            self._worker, self._held = self._register(), []
        claimed = exchange.claimed + ([exchange.suspect] if exchange.suspect else [])
        self._history.note(claims=[(job.seq, job.claim_number) for job in claimed])
        self._held += claimed
        self._past = (self._past + claimed)[-20:]

    def operate(self):
        """Do what an operator does, to any job."""
        job_id = self._any_job()
        verbs = {
            "cancel": lambda: self.storage.cancel(job_id, None, self._now()),
            "requeue": lambda: self.storage.requeue(job_id, self._now()),
            "delete": lambda: self.storage.delete(job_id),
        }
        name = self._chance.choice(list(verbs))
        try:
            verbs[name]()
        except (JobNotFoundError, JobStateError, DuplicateJobError):
            return
        if name == "delete":
            self._history.note(deleted=[job_id])

    def housekeep(self):
        verb = self._chance.choice([self._prune, self._expire, self._rescue, self._forget])
        verb()

    def die(self):
        """Let the worker end without a word; what it holds is for a rescue, and comes from it too late."""
        self.storage.abandon_worker(self._worker)
        self._worker = self._register()
        self._held = self._held[:2]

    def drain(self):
        """Run whatever there is to run, once."""
        self._rescue()
        self.storage.expire(self._now())
        while True:
            wanted = Wanted(QUEUES, FUNCTIONS, 50, takes_suspect=True)
            done = [self._completed(job) for job in self._held]
            exchange = self.storage.exchange(self._worker, done, wanted, self._now())
            self._held = exchange.claimed + ([exchange.suspect] if exchange.suspect else [])
            self._history.note(claims=[(job.seq, job.claim_number) for job in self._held])
            if not self._held:
                return

    def _job(self, conditions=None, run_at=None):
        self._count += 1
        later = self._chance.choice([None, None, None, self._now() + SECOND // 20])
        return new_job(
            f"job-{self._names}{self._count}",
            queue=self._chance.choice(QUEUES),
            function=self._chance.choice(FUNCTIONS),
            created_at=self._now(),
            run_at=run_at or (None if conditions else later),
            conditions=conditions or self._conditions(later),
            args=b"%d" % self._count,
            has_own_id=self._chance.random() < 0.3,
        )

    def _conditions(self, later):
        group = self._chance.choice([None, *GROUPS])
        rate = self._chance.choice([None, None, *RATES])
        starts, per = RATES.get(rate, (None, None))
        expires = (later or self._now()) + self._chance.choice([SECOND // 5, SECOND * 2])
        return Conditions(
            expires_at=self._chance.choice([None, None, None, expires]),
            unique_key=self._chance.choice([None, None, "k", "l"]),
            unique_for=self._chance.choice([None, SECOND // 10]),
            on_conflict=self._chance.choice(["existing", "existing", "raise"]),
            group_key=group,
            group_limit=GROUPS.get(group),
            rate_key=rate,
            rate_starts=starts,
            rate_per=per,
        )

    def _outcome(self, job):
        now = self._now()
        fence = (job.seq, job.claim_number)
        made = {
            Completed: lambda: self._completed(job),
            Failed: lambda: Failed(now, now, *fence, REPORT),
            Retried: lambda: Retried(now, now, *fence, REPORT, now + SECOND // 50),
            Snoozed: lambda: Snoozed(now, now, *fence, now + SECOND // 50),
            Cancelled: lambda: Cancelled(now, now, *fence, ""),
            Returned: lambda: Returned(*fence),
        }
        return made[self._chance.choice([Completed] * 6 + list(made))]()

    def _completed(self, job):
        now = self._now()
        # The result says which claim it is of.
        return Completed(now, now, job.seq, job.claim_number, "json", b"%d" % job.claim_number, None)

    def _look_at_arguments(self, job):
        """A job that this claim still holds has the arguments that were claimed."""
        query = (
            "SELECT args FROM sqlitejob_job JOIN sqlitejob_payload USING (seq) "
            "WHERE seq = %s AND claim_number = %s AND status = 'running'"
        )
        rows = self.storage._committer.outside(lambda connection: connection.execute(query, job[:2]).fetchall())
        if rows not in ([], [(job.args,)]):
            self._history.note(wrong=[f"the arguments of {job.id} were exchanged while it ran"])

    def _any_job(self):
        query = "SELECT id FROM sqlitejob_job ORDER BY seq DESC LIMIT 1 OFFSET %s"
        offset = self._chance.randrange(60)
        rows = self.storage._committer.outside(lambda connection: connection.execute(query, [offset]).fetchall())
        return rows[0][0] if rows else "none"

    def _prune(self):
        old = Old(self._now() - SECOND, lambda *_: True)
        self._history.note(pruned=self.storage.prune(old, START, self._now()).jobs)

    def _expire(self):
        self.storage.expire(self._now())

    def _rescue(self):
        self.storage.rescue(self._now(), 1000)

    def _forget(self):
        self.storage.forget_unused(self._now())

    def _register(self):
        return self.storage.register_worker(QUEUES, self._now(), 60 * SECOND)

    def _now(self):
        return self._clock.now()
