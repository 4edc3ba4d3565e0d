"""What becomes of the jobs that a worker holds when their queue is paused."""

from __future__ import annotations

from tests.storage.making import NOW


def test_jobs_claimed_ahead_go_back_and_the_running_one_ends(bench):
    b = bench(slots=1)
    b.enqueue("a", *(f"job-{number}" for number in range(10)))
    b.engine.turn()
    b.executor.run_next()
    b.engine.turn()  # now that the jobs are known to be short, all the others are claimed
    assert len(b.executor.waiting) == 10

    running = b.executor.waiting.popleft()
    b.storage.pause("default", NOW)
    b.executor.waiting.appendleft(running)
    b.executor.run_next()
    b.engine.turn()  # settles it, and hears of the pause
    b.engine.turn()  # gives back the rest

    assert b.status("job-0") == "completed"
    assert [b.status(f"job-{number}") for number in range(1, 10)] == ["pending"] * 9
    assert [b.storage.get(f"job-{number}").tries for number in range(1, 10)] == [0] * 9
    assert not b.executor.waiting
    assert b.engine.turn() is False


def test_what_is_held_of_other_queues_stays(bench):
    b = bench(slots=1, queues=("high", "low"))
    b.enqueue("a", "b", queue="high")
    b.enqueue("c", "d", queue="low")
    b.engine.turn()
    b.executor.run_next()
    b.engine.turn()
    assert [job.id for job in b.executor.waiting] == ["b", "c", "d"]

    b.storage.pause("low", NOW)
    b.executor.run_next()
    b.enqueue("e", queue="high")
    b.engine.turn()
    b.engine.turn()

    assert [job.id for job in b.executor.waiting] == ["e"]
    assert (b.status("b"), b.status("c"), b.status("d")) == ("completed", "pending", "pending")


def test_a_pause_is_heeded_each_time_anew(bench):
    b = bench(slots=1)
    for _ in range(2):
        names = [f"job-{len(b.events)}-{number}" for number in range(4)]
        b.enqueue(*names)
        b.engine.turn()
        b.executor.run_next()
        b.engine.turn()
        b.storage.pause("default", NOW)
        b.executor.run_next()
        b.engine.turn()
        b.engine.turn()
        assert [b.status(name) for name in names] == ["completed", "completed", "pending", "pending"]
        b.storage.resume("default")
        while b.engine.turn() or b.executor.waiting:
            b.executor.run_next(len(b.executor.waiting))


def test_a_worker_with_nothing_but_paused_jobs_ends_its_burst(bench):
    b = bench()
    b.enqueue("a", "b")
    b.storage.pause("default", NOW)

    b.engine.run(burst=True)
    assert (b.status("a"), b.status("b")) == ("pending", "pending")
    assert b.engine.jobs_run == 0
