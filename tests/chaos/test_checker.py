"""The checker itself: it is content with a good run, and sees each way in which a run can be bad."""

from __future__ import annotations

import copy
import json
import shutil
import sqlite3

import pytest

from sqlite_job.core.outcomes import Completed, Died, Failed, FailureReport, Retried
from sqlite_job.storage.sqlite import SqliteStorage
from tests.chaos.checker import RULES, Evidence, Limits, check, lost_by_the_living
from tests.chaos.history import (
    Acknowledged,
    Claim,
    Effect,
    Ended,
    Fault,
    History,
    Intent,
    Log,
    Observed,
    Rescued,
    Settled,
    Stale,
    WorkerUp,
)
from tests.chaos.record import Record
from tests.storage.making import LEASE, NOW, new_job
from tests.storage.making import claim as claim_jobs

SECOND = 1_000_000
EXPECTED = {"quick": "completed", "flaky": "completed", "doomed": "failed", "poison": "failed"}
LIMITS = Limits(EXPECTED, max_tries=2, max_deaths=2, promise_seconds=2, journal_bytes=1000, group_of=len)

FIRST, SECOND_WORKER, THIRD = 11, 12, 13  # processes of the workers 1, 2 and 3


class Run:
    """A good run: `a` succeeds, `b` at its second try, `c` loses its worker once, `d` fails, `e` kills its process."""

    def __init__(self, path):
        self.path = path
        self.history = History()
        self.storage = SqliteStorage(path, "full")
        for pid in (FIRST, SECOND_WORKER, THIRD):
            worker = self.storage.register_worker(("default",), NOW, 10 * LEASE)
            self.history.workers.append(WorkerUp(worker, pid, NOW))
        for name, function in {"a": "quick", "b": "flaky", "c": "quick", "d": "doomed", "e": "poison"}.items():
            self._enqueue(name, function)
        self._run("a", 1, 1, "Completed")
        self._run("b", 1, 1, "Retried")
        self._run("b", 2, 1, "Completed")
        self._run("d", 1, 1, "Failed")
        self._run("e", 1, 1, "Died")
        self._run("e", 2, 1, "Died")
        self._lose("c")
        self._run("c", 2, 1, "Completed")
        self._observe()
        self.history.journal_sizes = [0, 900]
        self.history.ended = [Ended(FIRST, "worker", 0, NOW), Ended(SECOND_WORKER, "worker", -9, NOW)]
        for worker in (1, 2, 3):
            self.storage.unregister_worker(worker)
        self.storage.close()

    def sql(self, *statements):
        connection = sqlite3.connect(self.path)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    def check(self):
        return check(self.path, self.history, LIMITS)

    def _enqueue(self, name, function):
        self.history.intended.append(Intent(name, function, f"batch-{name}"))
        self.storage.enqueue([new_job(name, function=function, codec="json", args=json.dumps([[name], {}]).encode())])
        self.history.acknowledged.append(Acknowledged(name, name, f"batch-{name}"))

    def _run(self, name, claim, worker, how):
        function = next(one.function for one in self.history.intended if one.key == name)
        (job,) = claim_jobs(self.storage, 1, worker, NOW + SECOND, functions=(function,))
        assert (job.id, job.claim_number) == (name, claim)
        pid = 100 if how == "Died" else self.history.of_worker()[worker]
        self.history.claims.append(Claim(name, claim, worker, NOW))
        self.history.effects.append(Effect("start", name, name, claim, pid, NOW))
        fence = (NOW, NOW + SECOND, job.seq, claim)
        report = FailureReport(job.tries, "WorkerDied" if how == "Died" else "ValueError", "no", "")
        outcome = {
            "Completed": lambda: Completed(*fence, "json", b"1", None),
            "Retried": lambda: Retried(*fence, report, NOW),
            "Failed": lambda: Failed(*fence, report),
            "Died": lambda: Died(*fence, report, claim == LIMITS.max_deaths),
        }[how]()
        if how == "Completed":
            self.history.effects.append(Effect("end", name, name, claim, pid, NOW))
        if how == "Died":
            self.history.faults.append(Fault("kill", pid, "poison", NOW))
        assert self.storage.exchange(worker, [outcome], None, NOW).stale == []
        self.history.settled.append(Settled(name, claim, how))

    def _lose(self, name):
        (job,) = claim_jobs(self.storage, 1, 2, functions=("quick",))
        assert job.id == name
        self.history.claims.append(Claim(name, 1, 2, NOW))
        self.history.effects.append(Effect("start", name, name, 1, SECOND_WORKER, NOW))
        self.history.effects.append(Effect("end", name, name, 1, SECOND_WORKER, NOW))
        self.history.faults.append(Fault("kill", SECOND_WORKER, "worker", NOW + 10 * SECOND))
        self.storage.unregister_worker(2)
        self.storage.rescue(NOW + 11 * SECOND, 3)
        self.history.rescued.append(Rescued(name, 2, NOW + 11 * SECOND))

    def _observe(self):
        self.history.observed += [
            Observed("c", "running", 1, 0, 2),
            Observed("a", "completed", 1, 0, None),
            Observed("c", "completed", 2, 1, None),
        ]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return Run(str(tmp_path_factory.mktemp("good") / "jobs.db"))


@pytest.fixture
def run(good, tmp_path):
    """A copy of the good run, to be spoilt."""
    made = copy.copy(good)
    made.path = shutil.copy(good.path, tmp_path)
    made.history = copy.deepcopy(good.history)
    return made


def test_a_good_run_has_no_violations(run):
    assert run.check() == []


def forget(items, **wanted_fields):
    """Remove from a list what has these values."""
    kept = [one for one in items if any(getattr(one, name) != value for name, value in wanted_fields.items())]
    assert len(kept) < len(items)
    items[:] = kept


JOB = "UPDATE sqlitejob_job SET"

BAD = {
    "an acknowledged job is gone": (1, lambda run: run.sql("DELETE FROM sqlitejob_job WHERE id = 'a'")),
    "an acknowledged job has other arguments": (
        1,
        lambda run: run.sql("UPDATE sqlitejob_payload SET args = CAST('[[\"z\"], {}]' AS BLOB) WHERE seq = 1"),
    ),
    "an acknowledged job has no arguments": (1, lambda run: run.sql("DELETE FROM sqlitejob_payload WHERE seq = 1")),
    "half of a batch is there": (
        1,
        lambda run: run.history.intended.append(Intent("never", "quick", "batch-a")),
    ),
    "a job that nobody enqueued": (2, lambda run: forget(run.history.intended, key="d")),
    "a job of another function than was enqueued": (
        2,
        lambda run: run.sql(f"{JOB} function = 'flaky' WHERE id = 'a'"),
    ),
    "one enqueue makes two rows": (
        2,
        lambda run: run.sql(
            "INSERT INTO sqlitejob_job (id, queue, function, status, created_at, finished_at, tries, claim_number)"
            " VALUES ('a2', 'default', 'quick', 'cancelled', 1, 1, 0, 0)",
            "INSERT INTO sqlitejob_payload (seq, codec, args) VALUES (6, 'json', CAST('[[\"a\"], {}]' AS BLOB))",
        ),
    ),
    "a job is completed twice": (3, lambda run: run.history.settled.append(Settled("a", 2, "Completed"))),
    "a job is claimed after its end": (3, lambda run: run.history.claims.append(Claim("a", 2, 1, NOW))),
    "a final status changes": (3, lambda run: run.history.observed.append(Observed("d", "completed", 1, 0, None))),
    "a final status is left for another claim": (
        3,
        lambda run: run.history.observed.append(Observed("b", "completed", 1, 0, None)),
    ),
    "a completed job has no result": (3, lambda run: run.sql("DELETE FROM sqlitejob_result WHERE seq = 1")),
    "a failed job has a result": (
        3,
        lambda run: run.sql("INSERT INTO sqlitejob_result (seq, codec, value) VALUES (4, 'json', x'31')"),
    ),
    "more tries than allowed": (4, lambda run: run.sql(f"{JOB} max_tries = 1 WHERE id = 'b'")),
    "a try that is not counted": (4, lambda run: run.sql(f"{JOB} tries = 1 WHERE id = 'b'")),
    "a death that is not counted": (4, lambda run: run.sql(f"{JOB} deaths = 0 WHERE id = 'c'")),
    "a death that is not kept": (4, lambda run: run.sql("DELETE FROM sqlitejob_failure WHERE seq = 3")),
    "fewer claims than tries": (4, lambda run: run.sql(f"{JOB} claim_number = 1 WHERE id = 'b'")),
    "a claim that ends in nothing": (
        4,
        lambda run: (
            run.sql(f"{JOB} claim_number = 3 WHERE id = 'a'"),
            run.history.claims.append(Claim("a", 2, 1, NOW)),
        ),
    ),
    "a claim is given out twice": (5, lambda run: run.history.claims.append(Claim("a", 1, 3, NOW))),
    "a claim is settled twice": (5, lambda run: run.history.settled.append(Settled("b", 1, "Retried"))),
    "a claim is settled though the job was taken away": (
        5,
        lambda run: run.history.settled.append(Settled("c", 1, "Completed")),
    ),
    "a claim is settled and refused": (5, lambda run: run.history.stale.append(Stale(1, 1))),
    "an outcome is not what is in the record": (
        5,
        lambda run: (forget(run.history.settled, id="a"), run.history.settled.append(Settled("a", 1, "Failed"))),
    ),
    "a settled job is gone": (5, lambda run: run.sql("DELETE FROM sqlitejob_job WHERE id = 'd'")),
    "a finished job is still held": (5, lambda run: run.sql(f"{JOB} worker_id = 1 WHERE id = 'a'")),
    "a running job is held by nobody": (
        5,
        lambda run: run.sql(f"{JOB} status = 'running', finished_at = NULL WHERE id = 'a'"),
    ),
    "a claim number goes back": (5, lambda run: run.history.observed.append(Observed("c", "running", 1, 1, 2))),
    "a claim is held by two workers": (5, lambda run: run.history.observed.append(Observed("b", "running", 2, 0, 3))),
    "a claim was forgotten by the record": (5, lambda run: run.history.claims.append(Claim("d", 2, 1, NOW))),
    "two jobs of a group run at once": (6, lambda run: run_lone(run, NOW, NOW + 1, NOW + 2, NOW + 3)),
    "jobs of a dead worker wait though others live": (
        7,
        lambda run: run.sql(f"UPDATE sqlitejob_failure SET finished_at = {NOW + 13 * SECOND} WHERE seq = 3"),
    ),
    "the journal grows": (8, lambda run: run.history.journal_sizes.append(1001)),
    "the file is damaged": (9, lambda run: damage(run.path)),
    "a job is stuck": (10, lambda run: run.sql(f"{JOB} status = 'pending', finished_at = NULL WHERE id = 'a'")),
    "an innocent job failed": (10, lambda run: run.sql(f"{JOB} status = 'failed' WHERE id = 'a'")),
    "a poisonous job completed": (10, lambda run: run.sql(f"{JOB} status = 'completed' WHERE id = 'e'")),
    "a poisonous job failed too soon": (10, lambda run: run.sql(f"{JOB} deaths = 1 WHERE id = 'e'")),
    "one claim runs twice": (11, lambda run: run.history.effects.append(Effect("start", "a", "a", 1, 99, NOW))),
    "a job runs with a claim that was never made": (
        11,
        lambda run: run.history.effects.append(Effect("start", "a", "a", 2, 99, NOW)),
    ),
    "a job runs again without a reason": (
        11,
        lambda run: (
            run.sql("DELETE FROM sqlitejob_failure WHERE seq = 2"),
            run.history.effects.append(Effect("end", "b", "b", 1, FIRST, NOW)),
        ),
    ),
    "a job is completed that never ran to its end": (11, lambda run: forget(run.history.effects, id="a", kind="end")),
    "a job is taken from a worker that nobody hurt": (
        11,
        lambda run: forget(run.history.faults, pid=SECOND_WORKER),
    ),
    "a process is left behind": (12, lambda run: run.history.left_behind.append("77: python")),
    "a worker ends by itself": (12, lambda run: run.history.ended.append(Ended(THIRD, "worker", 1, NOW))),
}


def run_lone(run, *times):
    """Let two jobs of one group start and end at these times, in the order first, second, first, second."""
    for job_id, start, end in (("x", times[0], times[2]), ("y", times[1], times[3])):
        run.history.intended.append(Intent(job_id, "lone", job_id))
        run.history.effects += [
            Effect("start", job_id, job_id, 1, 99, start),
            Effect("end", job_id, job_id, 1, 99, end),
        ]


def damage(path):
    """Make an index disagree with its table, as a lost page would."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema = 1")
    connection.execute("DELETE FROM sqlite_master WHERE name = 'sqlitejob_finished'")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(("invariant", "spoil"), BAD.values(), ids=BAD.keys())
def test_a_bad_run_is_seen(run, invariant, spoil):
    spoil(run)

    assert invariant in {violation.invariant for violation in run.check()}


def test_every_invariant_has_an_example():
    assert {number for number, _ in RULES} == {invariant for invariant, _ in BAD.values()}


@pytest.mark.parametrize("kind", ["freeze", "lock"])
def test_nobody_is_late_while_a_process_is_frozen_or_the_database_locked(run, kind):
    run.sql(f"UPDATE sqlitejob_failure SET finished_at = {NOW + 13 * SECOND} WHERE seq = 3")
    assert [violation.invariant for violation in run.check()] == [7]
    run.history.faults.append(Fault(kind, THIRD, "worker", NOW + 11 * SECOND))

    assert run.check() == []


def test_a_worker_that_is_not_up_is_not_late(run):
    run.sql(f"UPDATE sqlitejob_failure SET finished_at = {NOW + 13 * SECOND} WHERE seq = 3")
    run.history.workers[:] = [WorkerUp(one.worker_id, one.pid, NOW + 12 * SECOND) for one in run.history.workers]

    assert run.check() == []


def test_jobs_of_a_group_may_follow_each_other_and_overlap_one_that_was_cut_off(run):
    run_lone(run, NOW, NOW + 2, NOW + 1, NOW + 3)
    assert 6 not in {violation.invariant for violation in run.check()}
    run_lone(run, NOW, NOW + 1, NOW + 2, NOW + 3)
    run.history.claims += [Claim(job_id, 1, 2, NOW) for job_id in ("x", "y")]

    assert 6 not in {violation.invariant for violation in run.check()}


LATE = f"UPDATE sqlitejob_failure SET finished_at = {NOW + 13 * SECOND} WHERE seq = 3"


def test_nobody_is_late_while_there_is_no_server(run):
    run.sql(LATE)
    run.history.faults += [Fault("down", 1, "fast", NOW + 10 * SECOND), Fault("up", 1, "fast", NOW + 12 * SECOND)]

    assert run.check() == []


def cut_all_listeners(run):
    run.history.faults += [Fault("cut", pid, "listener", NOW + 10 * SECOND) for pid in (FIRST, THIRD)]


def test_who_may_have_lost_its_own_lock_goes_by_the_lease_of_others(run):
    run.sql(LATE)
    cut_all_listeners(run)

    assert run.check() == []


def test_a_lease_has_its_time_too(run):
    run.sql(f"UPDATE sqlitejob_failure SET finished_at = {NOW + 14 * SECOND} WHERE seq = 3")
    cut_all_listeners(run)

    assert [violation.invariant for violation in run.check()] == [7]


def test_locks_count_for_a_watcher_that_nobody_cut(run):
    run.sql(LATE)
    run.history.faults.append(Fault("cut", FIRST, "listener", NOW + 10 * SECOND))

    assert [violation.invariant for violation in run.check()] == [7]


def test_a_worker_whose_listening_connection_was_cut_just_before_may_lose_its_jobs(run):
    forget(run.history.faults, pid=SECOND_WORKER)
    forget(run.history.ended, pid=SECOND_WORKER)
    assert [violation.invariant for violation in run.check()] == [11]
    run.history.faults.append(Fault("cut", SECOND_WORKER, "listener", NOW + 10 * SECOND))

    assert run.check() == []
    assert list(lost_by_the_living(Evidence(Record(run.path), run.history, LIMITS))) == [2]


@pytest.mark.parametrize(("role", "at"), [("session", NOW + 10 * SECOND), ("listener", NOW + 5 * SECOND)])
def test_another_cut_or_one_long_ago_explains_nothing(run, role, at):
    forget(run.history.faults, pid=SECOND_WORKER)
    forget(run.history.ended, pid=SECOND_WORKER)
    run.history.faults.append(Fault("cut", SECOND_WORKER, role, at))

    assert [violation.invariant for violation in run.check()] == [11]


def test_a_process_that_never_was_a_worker_may_end_for_want_of_a_server(run):
    run.history.ended.append(Ended(99, "worker", 1, NOW + 4 * SECOND))
    assert [violation.invariant for violation in run.check()] == [12]
    run.history.faults += [Fault("down", 1, "fast", NOW + SECOND), Fault("up", 1, "fast", NOW + 5 * SECOND)]

    assert run.check() == []


def test_a_history_is_read_as_it_was_written_but_for_a_line_that_was_cut_short(tmp_path):
    log = Log(str(tmp_path / "history"))
    log.intend("batch", [("key", "quick")])
    log.acknowledge("batch", [("id", "key")])
    log.fault("kill", 7, "worker")
    with open(tmp_path / "history", "a") as file:
        file.write('{"what":"fault","at":1')
    history = History.read(str(tmp_path / "history"))

    assert history.intended == [Intent("key", "quick", "batch")]
    assert history.acknowledged == [Acknowledged("id", "key", "batch")]
    assert [fault[:3] for fault in history.faults] == [("kill", 7, "worker")]
