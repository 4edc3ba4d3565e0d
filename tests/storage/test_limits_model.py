"""Any sequence of verbs on jobs with limits and unique keys: no limit is broken, and no job waits for nothing."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sqlite_job.core.clock import SECOND
from sqlite_job.core.errors import DuplicateJobError, JobStateError
from sqlite_job.core.jobs import Conditions
from sqlite_job.core.outcomes import Cancelled, FailureReport, Limited, Retried, Returned, Snoozed
from sqlite_job.storage.postgres.storage import PostgresStorage
from tests.storage.making import LEASE, NOW, completed, failed, new_job, wanted

LIMITS = {"one": 1, "two": 2}
RATES = {"slow": (1, 4 * SECOND), "fast": (3, 2 * SECOND)}
REPORT = FailureReport(1, "ValueError", "no", "")

groups = st.sampled_from([None, *LIMITS])
rates = st.sampled_from([None, None, *RATES])
keys = st.sampled_from([None, None, "k", "l"])


def conditions(group, rate, key=None, on_conflict="existing", expires_at=None):
    starts, per = RATES[rate] if rate else (None, None)
    return Conditions(
        expires_at=expires_at,
        unique_key=key,
        on_conflict=on_conflict,
        group_key=group,
        group_limit=LIMITS.get(group),
        rate_key=rate,
        rate_starts=starts,
        rate_per=per,
    )


class Limits(RuleBasedStateMachine):
    """Jobs with limits, one worker's claims, and the passing of time."""

    def __init__(self, storage):
        super().__init__()
        self.storage = storage

    @initialize()
    def open(self):
        self.worker = self.storage.register_worker(["default"], NOW, 10**6 * LEASE)
        self.now = NOW
        self.running = []
        self.starts = {rate: [] for rate in RATES}
        self.ids = []

    def teardown(self):
        self.storage.unregister_worker(self.worker)
        self.storage.close()

    @rule(
        group=groups,
        rate=rates,
        key=keys,
        on_conflict=st.sampled_from(["existing", "replace", "raise"]),
        delay=st.sampled_from([0, 0, 1]),
        expires=st.sampled_from([None, None, 3]),
        count=st.integers(1, 3),
    )
    def enqueue(self, group, rate, key, on_conflict, delay, expires, count):  # noqa: PLR0917 - drawn, not given
        expires_at = expires and self.now + expires * SECOND
        changes = {
            "created_at": self.now,
            "run_at": self.now + delay * SECOND if delay else None,
            "conditions": conditions(group, rate, key, on_conflict, expires_at),
        }
        jobs = [new_job(**changes) for _ in range(count)]
        try:
            existing = self.storage.enqueue(jobs)
        except DuplicateJobError:
            assert on_conflict == "raise"
            return
        self.ids += [job.id for job in jobs if job.id not in existing]

    @rule(room=st.integers(1, 4))
    def claim(self, room):
        exchange = self.storage.exchange(self.worker, [], wanted(room), self.now)
        found = exchange.claimed + ([exchange.suspect] if exchange.suspect else [])
        self.running += found
        rate_of = dict(self.rows("SELECT id, rate_key FROM sqlitejob_job WHERE status = 'running'"))
        for job in found:
            if rate_of[job.id]:
                self.starts[rate_of[job.id]].append(self.now)

    @precondition(lambda self: self.running)
    @rule(
        position=st.integers(0, 5),
        how=st.sampled_from(["complete", "fail", "retry", "snooze", "cancel", "return", "limit"]),
        delay=st.integers(0, 2),
    )
    def settle(self, position, how, delay):
        job = self.running.pop(position % len(self.running))
        if how == "limit" and self.count(f"seq = {job.seq} AND (group_key IS NOT NULL OR rate_key IS NOT NULL)"):
            how = "return"  # its producer did know of limits
        fence = (self.now, self.now, job.seq, job.claim_number)
        outcome = {
            "complete": completed(job),
            "fail": failed(job),
            "retry": Retried(*fence, REPORT, self.now + delay * SECOND),
            "snooze": Snoozed(*fence, self.now + delay * SECOND),
            "cancel": Cancelled(*fence, ""),
            "return": Returned(job.seq, job.claim_number),
            "limit": Limited(job.seq, job.claim_number, conditions("two", "fast")),
        }[how]
        assert self.storage.exchange(self.worker, [outcome], None, self.now).stale == []

    @precondition(lambda self: self.ids)
    @rule(position=st.integers(0, 50), verb=st.sampled_from(["cancel", "requeue", "delete"]))
    def operate(self, position, verb):
        job_id = self.ids[position % len(self.ids)]
        try:
            if verb == "cancel":
                self.storage.cancel(job_id, None, self.now)
            elif verb == "requeue":
                self.storage.requeue(job_id, self.now)
            else:
                self.storage.delete(job_id)
                self.ids.remove(job_id)
        except (JobStateError, DuplicateJobError):
            pass

    @rule()
    def die(self):
        dead, self.worker = self.worker, self.storage.register_worker(["default"], self.now, 10**6 * LEASE)
        self.storage.abandon_worker(dead)
        self.storage.rescue(self.now, 3)
        self.running = []

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds):
        self.now += seconds * SECOND
        self.storage.expire(self.now)
        self.storage.exchange(self.worker, [], None, self.now)

    # ---- what must hold

    @invariant()
    def no_group_has_more_than_its_limit(self):
        for group, limit in LIMITS.items():
            assert self.count(f"group_key = '{group}' AND status IN ('pending', 'running')") <= limit

    @invariant()
    def no_rate_has_more_starts_than_it_allows(self):
        for rate, (allowed, per) in RATES.items():
            starts = self.starts[rate]
            assert all(later - sooner >= per for sooner, later in zip(starts, starts[allowed:]))

    @invariant()
    def a_unique_key_has_one_job_that_waits_and_one_at_most_that_runs(self):
        for key in "kl":
            assert self.count(f"unique_key = '{key}' AND status = 'running'") <= 1 + self.grouped_followers(key)

    @invariant()
    def no_job_is_blocked_although_its_group_has_room(self):
        for group, limit in LIMITS.items():
            waiting = self.rows(
                "SELECT seq, rate_key FROM sqlitejob_job WHERE status = 'blocked' AND group_key = ? ORDER BY seq", group
            )
            if not waiting or waiting[0][1] is not None:
                continue
            holding = self.count(f"group_key = '{group}' AND status IN ('pending', 'running')")
            if limit == 1:
                holding += self.count(
                    f"group_key = '{group}' AND status = 'scheduled' AND claim_number > 0 AND seq < {waiting[0][0]}"
                )
            assert holding >= limit

    @invariant()
    def whoever_waits_for_a_rate_is_looked_at_in_time(self):
        for rate, (allowed, per) in RATES.items():
            in_time = (
                f"(expires_at IS NULL OR expires_at > {self.now})"  # what has expired is cancelled with the next look
            )
            free = self.count(f"status = 'blocked' AND rate_key = '{rate}' AND group_key IS NULL AND {in_time}")
            if free:
                (next_at,) = self.rows("SELECT next_at FROM sqlitejob_rate WHERE key = ?", rate)[0]
                latest = sorted(self.starts[rate])[-allowed:]
                due = latest[0] + per if len(latest) == allowed else self.now
                assert next_at is not None
                assert next_at <= max(due, self.now)

    def grouped_followers(self, key):
        # Jobs that share a key and have a group of their own run as that group says.
        return self.count(f"unique_key = '{key}' AND status = 'running' AND group_key NOT LIKE 'unique%'")

    def count(self, condition):
        return self.rows(f"SELECT count(*) FROM sqlitejob_job WHERE {condition}")[0][0]

    def rows(self, sql, *values):
        if isinstance(self.storage, PostgresStorage):
            sql = sql.replace("%", "%%").replace("?", "%s")
        return self.storage._read(lambda transaction: transaction._cursor.execute(sql, values).fetchall())


# A verb takes some ten times as long where there is a server.
EXAMPLES = {"sqlite": 50, "postgres": 12}


def test_no_sequence_of_verbs_breaks_a_limit(make_storage):
    run_state_machine_as_test(
        lambda: Limits(make_storage()),
        settings=settings(
            max_examples=EXAMPLES[make_storage.kind],
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
