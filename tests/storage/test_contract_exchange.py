"""The contract of exchange, peek and the settling of each outcome, on every database."""

from __future__ import annotations

import threading

from sqlite_job.core.outcomes import Cancelled, FailureReport, Retried, Returned, Snoozed
from sqlite_job.core.states import JobStatus
from tests.storage.making import NOW, claim, completed, execute, failed, new_job, settle, wanted


def test_a_claimed_job_is_running_and_counts_a_try(storage):
    storage.enqueue([new_job("a")])

    (job,) = claim(storage, worker_id=7)
    info = storage.get("a")
    assert (job.tries, job.claim_number) == (1, 1)
    assert (info.status, info.tries, info.worker_id) == (JobStatus.RUNNING, 1, 7)
    assert claim(storage) == []


def test_higher_priority_is_claimed_first_and_equal_priority_in_order(storage):
    storage.enqueue(
        [new_job("a"), new_job("b", priority=5), new_job("c"), new_job("d", priority=5), new_job("e", priority=-1)]
    )

    assert [job.id for job in claim(storage)] == ["b", "d", "a", "c", "e"]


def test_a_claim_takes_no_more_than_it_has_room_for(storage):
    storage.enqueue([new_job() for _ in range(5)])

    assert len(claim(storage, room=3)) == 3
    assert len(claim(storage, room=3)) == 2


def test_queues_are_served_in_strict_order(storage):
    storage.enqueue(
        [new_job("low", queue="low", priority=9), new_job("high", queue="high"), new_job("none", queue="none")]
    )

    assert [job.id for job in claim(storage, queues=("high", "low"))] == ["high", "low"]


def test_a_job_of_a_function_that_the_worker_lacks_stays_for_others(storage):
    storage.enqueue([new_job("strange", function="strange"), new_job("known")])

    assert [job.id for job in claim(storage)] == ["known"]
    assert storage.unknown_functions(wanted()) == ["strange"]
    assert not storage.peek(wanted(), NOW).is_ready
    assert [job.id for job in claim(storage, functions=("strange",))] == ["strange"]


def test_a_completed_job_keeps_its_result(storage):
    storage.enqueue([new_job("a")])
    (job,) = claim(storage)

    assert settle(storage, completed(job, b"value")) == []
    stored = storage.result("a")
    info = storage.get("a")
    assert (stored.status, stored.codec, stored.value) == (JobStatus.COMPLETED, "pickle", b"value")
    assert (info.status, info.result, info.worker_id) == (JobStatus.COMPLETED, "3", None)
    assert info.finished_at > info.started_at


def test_settling_and_claiming_happen_in_one_exchange(storage):
    storage.enqueue([new_job("a"), new_job("b")])
    (first,) = claim(storage, room=1)

    exchange = storage.exchange(1, [completed(first)], wanted(1), NOW)
    assert [job.id for job in exchange.claimed] == ["b"]
    assert storage.get("a").status is JobStatus.COMPLETED


def test_a_failed_job_keeps_what_happened(storage):
    storage.enqueue([new_job("a")])
    (job,) = claim(storage, worker_id=4)

    settle(storage, failed(job), worker_id=4)
    (failure,) = storage.failures("a")
    assert (failure.try_number, failure.error_type, failure.message) == (1, "ValueError", "no")
    assert storage.get("a").error == "ValueError: no"
    assert storage.result("a").status is JobStatus.FAILED


def test_a_retried_job_waits_for_its_time_and_keeps_its_failure(storage):
    storage.enqueue([new_job("a")])
    (job,) = claim(storage)
    report = FailureReport(1, "OSError", "gone", "Traceback")

    settle(storage, Retried(NOW, NOW, job.seq, job.claim_number, report, NOW + 100))
    assert storage.get("a").status is JobStatus.SCHEDULED
    assert claim(storage, now=NOW + 99) == []
    (again,) = claim(storage, now=NOW + 100)
    assert (again.tries, again.claim_number) == (2, 2)
    assert [failure.error_type for failure in storage.failures("a")] == ["OSError"]


def test_a_snoozed_job_gets_its_try_back(storage):
    storage.enqueue([new_job("a")])
    (job,) = claim(storage)

    settle(storage, Snoozed(NOW, NOW, job.seq, job.claim_number, NOW + 100))
    assert (storage.get("a").status, storage.get("a").tries) == (JobStatus.SCHEDULED, 0)
    assert storage.failures("a") == []
    assert [again.tries for again in claim(storage, now=NOW + 100)] == [1]


def test_a_cancelled_job_ends_with_its_reason(storage):
    storage.enqueue([new_job("a")])
    (job,) = claim(storage)

    settle(storage, Cancelled(NOW, NOW + 1, job.seq, job.claim_number, "not needed"))
    assert storage.get("a").status is JobStatus.CANCELLED
    assert storage.get("a").error == storage.result("a").cancel_reason == "not needed"


def test_a_returned_job_is_pending_as_if_it_had_never_been_claimed(storage):
    storage.enqueue([new_job("a")])
    (job,) = claim(storage)

    settle(storage, Returned(job.seq, job.claim_number))
    info = storage.get("a")
    assert (info.status, info.tries, info.started_at, info.worker_id) == (JobStatus.PENDING, 0, None, None)
    assert claim(storage)[0].claim_number == 2


def test_a_late_outcome_of_an_earlier_claim_changes_nothing(storage):
    storage.enqueue([new_job("a")])
    (early,) = claim(storage)
    settle(storage, Returned(early.seq, early.claim_number))
    (late,) = claim(storage)

    for outcome in (completed(early), failed(early), Returned(early.seq, early.claim_number)):
        assert settle(storage, outcome) == [outcome]
    assert storage.get("a").status is JobStatus.RUNNING
    assert storage.failures("a") == []
    assert settle(storage, completed(late)) == []


def test_an_outcome_that_comes_twice_counts_once(storage):
    storage.enqueue([new_job("a")])
    (job,) = claim(storage)

    assert settle(storage, completed(job, b"first")) == []
    second = completed(job, b"second")
    assert settle(storage, second) == [second]
    assert storage.result("a").value == b"first"


def test_a_stale_outcome_in_a_batch_does_not_spoil_the_others(storage):
    storage.enqueue([new_job("a"), new_job("b"), new_job("c")])
    a, b, c = claim(storage)
    storage_stale = completed(b, claim_number=b.claim_number + 1)

    exchange = storage.exchange(1, [completed(a), storage_stale, failed(c)], wanted(), NOW)
    assert exchange.stale == [storage_stale]
    assert storage.get("a").status is JobStatus.COMPLETED
    assert storage.get("b").status is JobStatus.RUNNING
    assert storage.get("c").status is JobStatus.FAILED


def test_peek_sees_pending_jobs_and_the_next_time(storage):
    assert storage.peek(wanted(), NOW)[:2] == (False, None)
    storage.enqueue([new_job(run_at=NOW + 50), new_job(run_at=NOW + 20)])
    assert storage.peek(wanted(), NOW)[:2] == (False, NOW + 20)
    assert storage.peek(wanted(), NOW + 20).is_ready
    storage.enqueue([new_job(queue="elsewhere")])
    assert not storage.peek(wanted(), NOW).is_ready
    storage.enqueue([new_job()])
    assert storage.peek(wanted(), NOW).is_ready


def test_a_job_whose_payload_is_gone_comes_with_an_empty_codec(storage):
    storage.enqueue([new_job("a")])
    execute(storage, "DELETE FROM sqlitejob_payload")

    assert [(job.codec, job.args) for job in claim(storage)] == [("", b"")]


def test_workers_that_claim_at_once_never_get_the_same_job(storage):
    storage.enqueue([new_job() for _ in range(300)])
    taken = []

    def work(worker_id):
        while True:
            claimed = claim(storage, room=7, worker_id=worker_id)
            if not claimed:
                return
            taken.extend(job.id for job in claimed)
            settle(storage, *map(completed, claimed), worker_id=worker_id)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == len(set(taken)) == 300
    assert [(count.status, count.jobs) for count in storage.counts()] == [(JobStatus.COMPLETED, 300)]
