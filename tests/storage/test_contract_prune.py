"""The contract of pruning, on every database."""

from __future__ import annotations

import threading

from sqlite_job.core.retention import START, Old, Place
from sqlite_job.core.states import FINAL, JobStatus
from sqlite_job.storage.tables import metadata
from tests.storage.making import NOW, claim, completed, execute, failed, new_job, settle

LATER = NOW + 1_000_000

# Every table that knows a job by its seq.
BELONGINGS = ("payload", "result", "failure", "tag", "suspect", "progress", "log", "unique")


def everything(until=LATER):
    return Old(until, lambda queue, function, status: True)


def prune_all(storage, old, now=LATER):
    pruned = storage.prune(old, START, now)
    jobs = pruned.jobs
    while not pruned.is_end:
        pruned = storage.prune(old, pruned.place, now)
        jobs += pruned.jobs
    return jobs


def finish(storage, *ids, **changes):
    storage.enqueue([new_job(job_id, **changes) for job_id in ids])
    options = {"queues": (changes.get("queue", "default"),), "functions": (changes.get("function", "add"),)}
    settle(storage, *map(completed, claim(storage, 1000, **options)))


def finish_many(storage, jobs):
    storage.enqueue([new_job() for _ in range(jobs)])
    settle(storage, *map(completed, claim(storage, jobs)))


def ids(storage):
    return sorted(row[0] for row in execute(storage, "SELECT id FROM sqlitejob_job"))


def end_at(storage, job_id, finished_at):
    execute(storage, "UPDATE sqlitejob_job SET finished_at = ? WHERE id = ?", finished_at, job_id)


def test_only_jobs_that_have_ended_are_pruned(storage):
    storage.enqueue([new_job("done"), new_job("failed")])
    done, broken = claim(storage)
    settle(storage, completed(done), failed(broken))
    storage.enqueue([new_job("runs")])
    claim(storage)
    storage.enqueue([new_job("waits"), new_job("cancelled"), new_job("later", run_at=LATER * 2)])
    storage.cancel("cancelled", None, NOW)

    assert storage.prune(everything(2**62), START, LATER).jobs == 3
    assert ids(storage) == ["later", "runs", "waits"]
    assert {storage.get(job_id).status for job_id in ids(storage)}.isdisjoint(FINAL)


def test_all_that_belongs_to_a_pruned_job_goes_with_it_and_nothing_else(storage):
    storage.enqueue([new_job("old", tags='["a"]'), new_job("kept", tags='["a"]')])
    seqs = {job.id: job.seq for job in claim(storage)}
    for job_id, seq in seqs.items():
        for table, columns, values in (
            ("result", "seq, codec, value", (seq, "pickle", b"")),
            (
                "failure",
                "seq, claim_number, try, error_type, message, traceback, started_at, finished_at",
                (seq, 1, 1, "e", "e", "t", 1, 1),
            ),
            ("suspect", "seq", (seq,)),
            ("progress", "seq, done, updated_at", (seq, 1.0, NOW)),
            ("log", "seq, number, at, try, level, logger, message", (seq, 1, NOW, 1, 20, "a", "b")),
            ("unique", "key, seq", (job_id, seq)),
        ):
            marks = ", ".join("?" * len(values))
            execute(storage, f"INSERT INTO sqlitejob_{table} ({columns}) VALUES ({marks})", *values)
    execute(
        storage, "UPDATE sqlitejob_job SET status = 'completed', finished_at = seq, unique_key = id, worker_id = NULL"
    )

    assert storage.prune(Old(seqs["old"], lambda *_: True), START, LATER).jobs == 1
    for table in BELONGINGS:
        assert execute(storage, f"SELECT seq FROM sqlitejob_{table}") == [(seqs["kept"],)], table


def test_delete_takes_the_same_with_it(storage):
    with_seq = {name for name, table in metadata.tables.items() if "seq" in table.columns}
    # `start` counts for a limit, not for a job. A new table that knows jobs must be deleted from.
    assert {name[len("sqlitejob_") :] for name in with_seq} == {*BELONGINGS, "job", "start"}
    finish(storage, "a", tags='["t"]')

    storage.delete("a")
    for table in BELONGINGS:
        assert execute(storage, f"SELECT seq FROM sqlitejob_{table}") == [], table


def test_jobs_are_pruned_up_to_a_time_oldest_first(storage):
    finish(storage, "a", "b", "c")
    for job_id, ended in (("a", NOW + 3), ("b", NOW + 1), ("c", NOW + 2)):
        end_at(storage, job_id, ended)

    assert storage.prune(everything(NOW + 1), START, LATER).jobs == 1
    assert ids(storage) == ["a", "c"]
    assert storage.prune(everything(NOW + 2), START, LATER).jobs == 1
    assert ids(storage) == ["a"]


def test_what_is_not_old_is_passed_over_and_not_looked_at_again(storage):
    finish(storage, "a", "b", "c", "d")
    for number, job_id in enumerate("abcd"):
        end_at(storage, job_id, NOW + number)
    asked = []

    def is_old(queue, function, status):
        asked.append((queue, function, status))
        return len(asked) in (2, 3)

    pruned = storage.prune(Old(NOW + 2, is_old), START, LATER)
    assert (pruned.jobs, pruned.is_end, pruned.place.finished_at) == (2, True, NOW + 2)
    assert ids(storage) == ["a", "d"]
    assert asked == [("default", "add", JobStatus.COMPLETED)] * 3
    assert storage.prune(Old(NOW + 3, is_old), pruned.place, LATER) == (0, (NOW + 3, 4), True, 0)
    assert len(asked) == 4


def test_jobs_that_ended_in_the_same_microsecond_are_told_apart(storage):
    finish_many(storage, 1200)
    execute(
        storage,
        "UPDATE sqlitejob_job SET finished_at = 5, "
        "function = CASE WHEN seq - seq / 2 * 2 = 1 THEN 'odd' ELSE 'even' END",
    )

    assert prune_all(storage, Old(5, lambda queue, function, status: function == "odd")) == 600
    assert execute(storage, "SELECT function, count(*) FROM sqlitejob_job GROUP BY 1") == [("even", 600)]


def test_a_batch_is_short_and_says_how_far_it_came(storage):
    finish_many(storage, 3000)

    pruned = storage.prune(everything(), START, LATER)
    assert 0 < pruned.jobs < 3000
    assert not pruned.is_end
    assert prune_all(storage, everything()) == 3000 - pruned.jobs


def test_a_count_changes_nothing(storage):
    finish(storage, "a", "b")

    found = storage.find_old(everything(), START)
    assert (found.jobs, found.is_end) == (2, True)
    assert ids(storage) == ["a", "b"]


def test_a_job_that_runs_again_meanwhile_is_not_pruned(storage):
    """Between the look and the transaction: one is requeued, another one requeued and ends anew."""
    finish(storage, "a", "b", "c")
    is_done = []

    def is_old(queue, function, status):
        if not is_done:
            storage.requeue("b", NOW)
            settle(storage, completed(claim(storage)[0])._replace(finished_at=NOW + 77))
            storage.requeue("a", NOW)
            is_done.append(True)
        return True

    pruned = storage.prune(Old(LATER, is_old), START, LATER)
    assert (pruned.jobs, pruned.missed) == (1, 2)
    assert ids(storage) == ["a", "b"]
    assert storage.result("b").value == b"3"


def test_two_that_prune_at_once_delete_each_job_once(storage):
    finish_many(storage, 1500)
    counts = []
    threads = [threading.Thread(target=lambda: counts.append(prune_all(storage, everything()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(counts) == 1500
    assert ids(storage) == []
    assert execute(storage, "SELECT count(*) FROM sqlitejob_payload") == [(0,)]


def test_a_job_is_kept_as_long_as_it_is_the_window_of_a_unique_key(storage):
    finish(storage, "a", "b")
    for job_id, until in (("a", LATER), ("b", LATER + 1)):
        execute(storage, "UPDATE sqlitejob_job SET unique_key = id WHERE id = ?", job_id)
        execute(
            storage, "INSERT INTO sqlitejob_unique SELECT id, seq, ? FROM sqlitejob_job WHERE id = ?", until, job_id
        )

    assert storage.prune(everything(), START, LATER)[:1] == (1,)
    assert ids(storage) == ["b"]
    assert execute(storage, "SELECT key FROM sqlitejob_unique") == [("b",)]
    assert storage.prune(everything(), START, LATER + 1).jobs == 1


def test_a_key_that_another_job_has_taken_stays(storage):
    finish(storage, "a")
    execute(storage, "UPDATE sqlitejob_job SET unique_key = 'key'")
    execute(storage, "INSERT INTO sqlitejob_unique VALUES ('key', 99, NULL)")

    assert storage.prune(everything(), START, LATER).jobs == 1
    assert execute(storage, "SELECT seq FROM sqlitejob_unique") == [(99,)]


def test_an_empty_database_has_nothing_to_prune(storage):
    assert storage.prune(everything(), START, LATER) == (0, START, True, 0)
    assert storage.find_old(everything(), Place(NOW, 1)) == (0, Place(NOW, 1), True, 0)
    assert storage.give_back_space() is False
