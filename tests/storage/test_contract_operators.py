"""The contract of looking up, deleting and requeueing jobs, and of workers, on every database."""

from __future__ import annotations

import pytest

from sqlite_job.core.errors import JobNotFoundError, JobStateError
from sqlite_job.core.states import JobStatus
from sqlite_job.storage.interface import JobFilter
from tests.storage.making import LEASE, NOW, claim, completed, execute, failed, new_job, settle


def test_what_is_unknown_is_none_or_an_error_with_the_id(storage):
    assert storage.get("no") is None
    assert storage.result("no") is None
    assert storage.failures("no") == []
    for verb in (storage.delete, lambda job_id: storage.requeue(job_id, NOW)):
        with pytest.raises(JobNotFoundError, match="'no'"):
            verb("no")


def test_the_arguments_of_a_job_are_there_as_they_were_enqueued(storage):
    storage.enqueue([new_job("a", function="work", codec="json", args=b"[[1],{}]"), new_job("b")])

    assert storage.arguments("a") == ("work", "json", b"[[1],{}]")
    settle(storage, completed(claim(storage)[0]))
    assert storage.arguments("b").function == "add"
    storage.delete("a")
    assert storage.arguments("a") is None
    assert storage.arguments("no") is None


def test_a_deleted_job_leaves_no_row_behind(storage):
    storage.enqueue([new_job("a", tags='["t"]'), new_job("b")])
    a, _ = claim(storage)
    settle(storage, failed(a))

    assert storage.delete("a") is JobStatus.FAILED
    assert storage.get("a") is None
    for table in ("job", "payload", "result", "failure", "tag"):
        rows = execute(storage, f"SELECT count(*) FROM sqlitejob_{table}")
        assert rows[0][0] == (1 if table in ("job", "payload") else 0), table


def test_a_running_job_cannot_be_deleted(storage):
    storage.enqueue([new_job("a")])
    claim(storage)

    with pytest.raises(JobStateError, match="running"):
        storage.delete("a")
    assert storage.get("a").arguments == "1, 2"


def test_a_seq_is_never_used_again(storage):
    storage.enqueue([new_job("a")])
    seq = storage.get("a").cursor
    storage.delete("a")
    storage.enqueue([new_job("b")])
    assert storage.get("b").cursor > seq


def test_a_finished_job_can_be_requeued_and_starts_afresh(storage):
    storage.enqueue([new_job("a")])
    settle(storage, completed(claim(storage)[0]))

    assert storage.requeue("a", NOW) is JobStatus.COMPLETED
    info = storage.get("a")
    assert (info.status, info.tries, info.finished_at, info.result) == (JobStatus.PENDING, 0, None, None)
    (again,) = claim(storage)
    assert (again.tries, again.claim_number) == (1, 2)
    assert settle(storage, completed(again, b"second")) == []
    assert storage.result("a").value == b"second"


@pytest.mark.parametrize("is_claimed", [False, True])
def test_a_job_that_has_not_finished_cannot_be_requeued(storage, is_claimed):
    storage.enqueue([new_job("a")])
    if is_claimed:
        claim(storage)

    with pytest.raises(JobStateError, match="running" if is_claimed else "pending"):
        storage.requeue("a", NOW)


def test_jobs_are_found_newest_first_by_every_filter_and_page(storage):
    storage.enqueue(
        [
            new_job("a", queue="x", tags='["t", "u"]'),
            new_job("b", function="mul"),
            new_job("c", run_at=NOW + 1),
            new_job("d", queue="x", tags='["u"]'),
        ]
    )

    def found(**wanted):
        return [job.id for job in storage.find(JobFilter(**wanted))]

    assert found() == ["d", "c", "b", "a"]
    assert found(queue="x") == ["d", "a"]
    assert found(function="mul") == ["b"]
    assert found(status=JobStatus.SCHEDULED) == ["c"]
    assert found(tag="u") == ["d", "a"]
    assert found(tag="t", queue="x") == ["a"]
    assert found(limit=2) == ["d", "c"]
    assert found(limit=2, after=storage.get("c").cursor) == ["b", "a"]


def test_counts_are_by_queue_and_status(storage):
    storage.enqueue([new_job(), new_job(), new_job(queue="x"), new_job(queue="x", run_at=NOW + 1)])

    assert {(count.queue, count.status): count.jobs for count in storage.counts()} == {
        ("default", JobStatus.PENDING): 2,
        ("x", JobStatus.PENDING): 1,
        ("x", JobStatus.SCHEDULED): 1,
    }


def test_worker_ids_are_never_used_again(storage):
    first = storage.register_worker(("a", "b"), NOW, LEASE)
    row = storage.workers()[-1]
    assert (row.id, row.queues, row.started_at, row.lease_until) == (first, '["a", "b"]', NOW, NOW + LEASE)
    storage.unregister_worker(first)
    assert first not in [row.id for row in storage.workers()]
    second = storage.register_worker(("a",), NOW, LEASE)
    storage.unregister_worker(second)
    assert second > first
