"""What was seen to be ready, and was another worker's in the end."""

from __future__ import annotations

from tests.engine.making import Bench
from tests.postgres.interleaving import result_of
from tests.storage.making import claim


def test_a_worker_rests_for_a_moment_when_the_job_it_saw_was_anothers(stage, first, second):
    bench = Bench(second, {"add": lambda a, b: a + b})
    bench.enqueue("a")
    with stage.begun_until_its_commit(first, claim, first) as other:
        assert bench.engine.turn() is False
        assert bench.engine._longest_wait() <= 0.02
    assert [job.id for job in result_of(other)] == ["a"]

    assert bench.engine.turn() is False
    assert bench.engine._longest_wait() > 0.02
    bench.watcher.close()
