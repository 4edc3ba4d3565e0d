"""Looking at the queue and putting it right: counts, lists, delete, requeue, close."""

from __future__ import annotations

import gc
import os
import sys

import pytest

from sqlite_job import (
    Inspector,
    InvalidNameError,
    InvalidOptionError,
    JobCancelledError,
    JobNotFoundError,
    JobStateError,
    JobStatus,
    SQLiteJob,
    Worker,
    call,
    task,
)
from sqlite_job.storage.opening import locate
from tests.doors.making import DEADLINE, drain, execute, is_opened, settings_of


def echo(value=None):
    return value


def fail():
    raise ValueError("no")


@pytest.fixture
def settings(database):
    return settings_of(database, echo, fail)


@pytest.fixture
def jobs(settings):
    return SQLiteJob("default", settings)


# ---- counts and lists ------------------------------------------------------------------------------------------------


def test_counts_are_of_the_doors_queue_with_zeros(jobs, settings):
    jobs.enqueue("echo")
    jobs.enqueue("fail")
    drain(settings)
    jobs.enqueue("echo")
    jobs.with_options(delay=3600).enqueue("echo")
    jobs.with_options(queue="other").enqueue("echo")

    counts = {status.value: count for status, count in jobs.counts().items()}

    assert list(jobs.counts()) == list(JobStatus)
    assert counts == {
        "pending": 1,
        "scheduled": 1,
        "blocked": 0,
        "running": 0,
        "completed": 1,
        "failed": 1,
        "cancelled": 0,
    }
    assert jobs.counts("other")[JobStatus.PENDING] == 1
    assert set(jobs.counts("unheard-of").values()) == {0}


def test_jobs_are_listed_newest_first_page_by_page(jobs):
    made = jobs.enqueue_many(call("echo", n) for n in range(7))
    pages, after = [], None

    while True:
        page = jobs.list_jobs(limit=3, after=after)
        if not page:
            break
        pages.append([info.id for info in page])
        after = page[-1]

    assert [len(page) for page in pages] == [3, 3, 1]
    assert sum(pages, []) == made[::-1]  # noqa: RUF017 - three small pages
    assert [info.id for info in jobs.list_jobs(limit=3, after=jobs.list_jobs(limit=3)[-1].cursor)] == pages[1]


def test_paging_is_steady_while_jobs_come_and_go(jobs):
    made = jobs.enqueue_many(call("echo", n) for n in range(6))
    first = jobs.list_jobs(limit=2)
    jobs.enqueue("echo", "new")
    jobs.delete(first[-1].id)

    second = jobs.list_jobs(limit=2, after=first[-1])

    assert [info.id for info in second] == [made[3], made[2]]


def test_lists_are_filtered_by_status_queue_function_and_tag(jobs, settings):
    done = jobs.with_options(tags=["x", "y"]).enqueue("echo", 1)
    failed = jobs.with_options(tags=["x"]).enqueue("fail")
    drain(settings)
    other = jobs.with_options(queue="other", tags=["y"]).enqueue("echo", 2)

    def found(**filters):
        return [info.id for info in jobs.list_jobs(**filters)]

    assert found() == [other, failed, done]
    assert found(status="failed") == found(status=JobStatus.FAILED) == found(status="FAILED") == [failed]
    assert found(queue="other") == [other]
    assert found(function="echo") == [other, done]
    assert found(tag="x") == [failed, done]
    assert found(tag="x", function="echo", status="completed") == [done]
    assert found(tag="z") == found(queue="unheard-of") == []


def test_lists_are_filtered_by_metadata_and_all_keys_must_match(jobs):
    first = jobs.with_options(meta={"customer": 42, "name": "Zoë", "vip": True}, tags=["x"]).enqueue("echo")
    second = jobs.with_options(meta={"customer": 42, "name": 'a "b"', "vip": None}).enqueue("echo")
    jobs.enqueue("echo")

    def found(meta, **filters):
        listed = [info.id for info in jobs.list_jobs(meta=meta, **filters)]
        assert listed == [info.id for info in Inspector(jobs._database).jobs(meta=meta, **filters)]
        return listed

    assert found({"customer": 42}) == [second, first]
    assert found({"customer": 42, "name": "Zoë"}) == found({"vip": True}) == [first]
    assert found({"name": 'a "b"'}) == found({"vip": None}) == [second]
    assert found({"customer": 42}, tag="x") == [first]
    assert found({"customer": 42}, limit=1) == [second]
    assert found({"customer": 42, "name": "nobody"}) == []
    assert len(found({})) == len(found(None)) == 3


@pytest.mark.parametrize(
    ("filters", "error", "mend"),
    [
        ({"status": "done"}, InvalidOptionError, "no status 'done'; it is one of pending, scheduled, blocked, running"),
        ({"status": 3}, InvalidOptionError, "no status 3"),
        ({"meta": "customer"}, InvalidOptionError, "meta is a dict of keys and values to look for, as"),
        ({"meta": {1: 2}}, InvalidOptionError, "a key of meta is a text, not 1"),
        ({"meta": {"\ud800": 2}}, InvalidOptionError, "a key of meta is a text, not"),
        ({"meta": {"a": "\ud800"}}, InvalidOptionError, "meta is searched for texts"),
        ({"meta": {"a": [1]}}, InvalidOptionError, "meta is searched for texts, finite numbers, True, False and None"),
        ({"meta": {"a": float("nan")}}, InvalidOptionError, "not nan under 'a'"),
        ({"meta": {"a": 2**63}}, InvalidOptionError, "not 9223372036854775808 under 'a'"),
        ({"limit": 0}, InvalidOptionError, "limit is a whole number from 1, not 0"),
        ({"limit": None}, InvalidOptionError, "limit is a whole number from 1, not None"),
        ({"limit": True}, InvalidOptionError, "limit is a whole number from 1, not True"),
        ({"queue": ""}, InvalidNameError, "A queue name must not be empty"),
        ({"function": "a\nb"}, InvalidNameError, "A function name must not contain control characters"),
        ({"tag": 3}, InvalidNameError, "A tag must be text"),
        ({"after": "first"}, InvalidOptionError, "after"),
        ({"after": 2**63}, InvalidOptionError, "after"),
    ],
)
def test_a_filter_that_cannot_match_is_refused_with_the_mend(jobs, filters, error, mend):
    jobs.enqueue("echo")

    with pytest.raises(error, match=mend):
        jobs.list_jobs(**filters)


# ---- delete and requeue ----------------------------------------------------------------------------------------------


def test_a_deleted_job_is_gone_with_all_that_belonged_to_it(jobs, settings, database):
    job = jobs.with_options(tags=["t"]).enqueue("fail")
    drain(settings)

    jobs.delete(job)

    with pytest.raises(JobNotFoundError):
        jobs.get_job(job)
    with pytest.raises(JobNotFoundError):
        jobs.delete(job)
    for table in ("job", "payload", "result", "failure", "tag"):
        assert execute(database, f"SELECT count(*) FROM sqlitejob_{table}") == [(0,)], table


def test_a_requeued_job_runs_again_from_its_first_try_and_keeps_its_failures(database):
    is_broken = [True]

    def work():
        if is_broken[0]:
            raise ValueError("broken")
        return "mended"

    settings = settings_of(database, work)
    jobs = SQLiteJob("default", settings)
    job = jobs.enqueue("work")
    drain(settings)
    is_broken[0] = False

    again = jobs.requeue(job)

    assert (again, again.status(), again.info().tries, again.info().finished_at) == (job, JobStatus.PENDING, 0, None)
    drain(settings)
    assert again.result(timeout=0) == "mended"
    assert [(failure.try_number, failure.summary) for failure in jobs.failures(job)] == [(1, "ValueError: broken")]
    assert job.info().error is None


def test_a_completed_job_that_is_requeued_has_no_result_until_it_has_run(jobs, settings):
    job = jobs.enqueue("echo", 1)
    drain(settings)

    jobs.requeue(job)

    assert jobs.get_job_result(job) is None
    drain(settings)
    assert jobs.get_job_result(job) == 1


def test_a_job_that_has_not_finished_cannot_be_requeued_and_says_why(jobs):
    job = jobs.enqueue("echo")

    with pytest.raises(
        JobStateError, match=f"Cannot requeue job '{job}': it is pending; only a finished job"
    ) as caught:
        jobs.requeue(job)
    assert (caught.value.job_id, caught.value.status) == (job, "pending")


def test_a_running_job_can_be_neither_deleted_nor_requeued(database):
    refusals = []

    def try_both():
        for verb in (jobs.delete, jobs.requeue):
            try:
                verb(job)
            except JobStateError as error:
                refusals.append(str(error))

    settings = settings_of(database, try_both)
    jobs = SQLiteJob("default", settings)
    job = jobs.enqueue("try_both")

    drain(settings)

    assert [refusal.split(":")[0] for refusal in refusals] == [
        f"Cannot {verb} job '{job}'" for verb in ("delete", "requeue")
    ]
    assert job.status() is JobStatus.COMPLETED


# ---- cancel ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0, 3600])
def test_a_job_that_waits_is_cancelled_at_once_and_does_not_run(jobs, settings, delay):
    job = jobs.with_options(delay=delay).enqueue("echo")

    assert jobs.cancel(job, "no longer needed") is True

    info = job.info()
    assert (info.status, info.error, info.tries) == (JobStatus.CANCELLED, "no longer needed", 0)
    assert info.finished_at is not None
    assert drain(settings) == 0


@pytest.mark.parametrize("function", ["echo", "fail"])
def test_a_job_that_has_ended_is_not_cancelled_any_more(jobs, settings, function):
    job = jobs.enqueue(function)
    drain(settings)
    before = job.info()

    assert jobs.cancel(job, "too late") is False
    assert job.info() == before


def test_an_unknown_job_cannot_be_cancelled(jobs):
    with pytest.raises(JobNotFoundError, match="'no-such-job'"):
        jobs.cancel("no-such-job")


@pytest.mark.parametrize(
    "reason", [None, "", "a\x00b", "\ud800", "x" * 100_000], ids=["None", "", "NUL", "odd", "long"]
)
def test_a_job_is_cancelled_whatever_the_text_of_the_reason(jobs, reason):
    job = jobs.enqueue("echo")

    jobs.cancel(job, reason)

    assert job.status() is JobStatus.CANCELLED
    with pytest.raises(JobCancelledError):
        job.result(timeout=0)


@pytest.mark.parametrize("reason", [5, ["a"], b"a", ValueError("no")], ids=["int", "list", "bytes", "error"])
def test_a_reason_is_text_and_else_nothing_is_cancelled(jobs, reason):
    job = jobs.enqueue("echo")

    with pytest.raises((TypeError, ValueError), match="reason"):
        jobs.cancel(job, reason)
    assert job.status() is JobStatus.PENDING


# ---- one storage, opened and closed ----------------------------------------------------------------------------------


@pytest.mark.files("paths have several names; tests/postgres/test_sharing.py has URLs")
def test_two_doors_to_one_file_share_one_storage(database, tmp_path):
    one, other = SQLiteJob(database=database), SQLiteJob("other", database=tmp_path / "x" / ".." / "jobs.db")
    link = tmp_path / "link.db"
    one.enqueue("echo", 1)
    link.symlink_to(database)

    assert one._storage is other._storage
    assert SQLiteJob(database=link)._storage is one._storage
    assert SQLiteJob(database=f"sqlite:///{database}")._storage is one._storage
    assert SQLiteJob(database=database, durability="normal")._storage is not one._storage


def test_a_closed_door_opens_again_at_its_next_use(jobs, settings):
    job = jobs.enqueue("echo", 1)

    jobs.close()
    jobs.close()

    assert job.status() is JobStatus.PENDING
    jobs.close()
    drain(settings)
    jobs.close()
    assert job.result(timeout=0) == 1


def test_closing_a_door_does_not_disturb_the_others_to_the_same_file(jobs, settings, database):
    other = SQLiteJob(database=database)

    with Worker("default", settings).running_in_background():
        for number in range(20):
            job = other.enqueue("echo", number)
            jobs.close()
            assert job.result(timeout=DEADLINE) == number
            jobs.close()


def test_a_door_means_the_same_file_wherever_the_process_goes(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    jobs = SQLiteJob(database="jobs.db")
    default = SQLiteJob()
    monkeypatch.chdir(tmp_path / "elsewhere")
    try:
        job = jobs.enqueue("echo", 1)
        default.enqueue("echo", 2)

        assert (tmp_path / "jobs.db").exists()
        assert (tmp_path / "sqlite_job.db").exists()
        assert list((tmp_path / "elsewhere").iterdir()) == []
        assert SQLiteJob(database=tmp_path / "jobs.db").get_job(job).arguments == "1"
    finally:
        jobs.close()
        default.close()


def test_nothing_is_opened_before_the_first_use(database):
    SQLiteJob(database=database).with_options(priority=1)

    assert not is_opened(database)


def test_the_inspector_and_the_door_see_the_same(jobs, settings, database):
    job = jobs.enqueue("fail")
    drain(settings)
    inspector = Inspector(database)

    assert inspector.exists()
    assert inspector.location == locate(database)
    assert inspector.job(job) == jobs.get_job(job) == inspector.jobs()[0]
    assert inspector.failures(job) == jobs.failures(job)
    assert inspector.queues() == {"default": {JobStatus.FAILED: 1}}
    assert inspector.wait(job, timeout=0).status is JobStatus.FAILED


@pytest.mark.parametrize("queues", ["default", ["high", "low"], "a,b"])
def test_the_inspector_sees_which_queues_a_worker_serves(database, queues):
    settings = settings_of(database, task(echo, name="echo"))

    with Worker(queues, settings).running_in_background():
        (worker,) = Inspector(database).workers()
    expected = (queues,) if isinstance(queues, str) else tuple(queues)
    assert (worker.queues, worker.pid) == (expected, os.getpid())
    assert Inspector(database).workers() == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts descriptors in /proc")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_databases_that_nobody_holds_any_more_leave_no_open_files(tmp_path):
    for number in range(20):
        SQLiteJob(database=tmp_path / f"{number}.db").enqueue("echo")
    gc.collect()

    links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
    targets = [os.readlink(link) for link in links if os.path.lexists(link)]
    opened = {os.path.basename(target).split(".")[0] for target in targets if str(tmp_path.name) in target}
    for number in range(20):
        SQLiteJob(database=tmp_path / f"{number}.db").close()

    # The last eight stay open, for whoever makes a new door for each job.
    assert len(opened) <= 8
