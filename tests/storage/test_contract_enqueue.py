"""The contract of enqueue, on every database."""

from __future__ import annotations

import threading

import pytest

from sqlite_job.core.states import JobStatus
from sqlite_job.storage.interface import JobFilter
from tests.storage.making import NOW, claim, new_job


def test_an_enqueued_job_is_pending_with_all_it_was_given(storage):
    storage.enqueue([new_job("mine", priority=3, max_tries=4, tags='["a", "b"]', meta='{"user":7}')])

    info = storage.get("mine")
    assert (info.id, info.queue, info.function, info.status) == ("mine", "default", "add", JobStatus.PENDING)
    assert (info.priority, info.max_tries, info.tries, info.deaths) == (3, 4, 0, 0)
    assert (info.tags, info.meta, info.arguments) == (("a", "b"), {"user": 7}, "1, 2")
    assert (info.started_at, info.finished_at, info.run_at, info.error, info.result) == (None,) * 5


def test_a_job_with_a_run_time_is_scheduled_until_then(storage):
    storage.enqueue([new_job("later", run_at=NOW + 10)])

    assert storage.get("later").status is JobStatus.SCHEDULED
    assert claim(storage, now=NOW + 9) == []
    assert [job.id for job in claim(storage, now=NOW + 10)] == ["later"]


def test_many_jobs_keep_their_order_and_their_own_arguments(storage):
    jobs = [new_job(args=f"{number}".encode(), run_at=NOW if number % 7 == 0 else None) for number in range(205)]
    storage.enqueue(jobs)

    claimed = claim(storage, room=500)
    assert [job.id for job in claimed] == [job.id for job in jobs]
    assert [job.args for job in claimed] == [job.args for job in jobs]


def test_an_id_that_exists_already_leaves_the_first_job_as_it_is(storage):
    storage.enqueue([new_job("same", priority=1)])
    storage.enqueue([new_job("other"), new_job("same", priority=2), new_job("same", priority=3)])

    assert storage.get("same").priority == 1
    assert len(storage.find(JobFilter())) == 2


def test_one_id_twice_in_a_batch_stores_the_first(storage):
    storage.enqueue([new_job("twice", priority=1), new_job("twice", priority=2)])

    assert [job.priority for job in storage.find(JobFilter())] == [1]


def test_a_batch_that_cannot_be_stored_leaves_nothing_behind(storage):
    with pytest.raises(Exception, match=r"NOT NULL|not-null|cannot be used"):
        storage.enqueue([new_job("good"), new_job("bad", queue=None)])

    assert storage.find(JobFilter()) == []
    storage.enqueue([new_job("next")])
    assert [job.id for job in storage.find(JobFilter())] == ["next"]


def test_threads_that_enqueue_at_once_each_store_their_own(storage):
    errors = []

    def enqueue(name):
        try:
            for number in range(25):
                storage.enqueue([new_job(f"{name}-{number}")])
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=enqueue, args=(name,)) for name in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert {job.id for job in claim(storage, room=1000)} == {f"{name}-{n}" for name in range(12) for n in range(25)}


def test_a_bad_job_in_a_shared_commit_fails_only_its_own_caller(storage):
    failures = []

    def enqueue(name):
        for number in range(20):
            job = new_job(f"{name}-{number}", queue=None if name == 0 else "default")
            try:
                storage.enqueue([job])
            except Exception:
                failures.append(job.id)

    threads = [threading.Thread(target=enqueue, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(failures) == sorted(f"0-{number}" for number in range(20))
    assert len(claim(storage, room=1000)) == 100
