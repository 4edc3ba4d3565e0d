"""What a job sees of itself, and the state that on_startup leaves for it."""

from __future__ import annotations

import contextvars
import copy
import logging
import pickle

import pytest

from sqlite_job import NoCurrentJobError, current_job
from sqlite_job.core.context import JobContext, State, enter_job, leave_job
from sqlite_job.core.jobs import ClaimedJob

FACTS = {
    "id": "job-1",
    "queue": "mail",
    "function": "send",
    "tries": 2,
    "tags": '["a", "ü"]',
    "meta": '{"user":{"id":5}}',
}
# What a job holds besides is not shown to it: a field more is no matter here.
CLAIMED = ClaimedJob(**{**dict.fromkeys(ClaimedJob._fields), **FACTS})


def test_outside_of_a_job_there_is_no_current_one():
    with pytest.raises(NoCurrentJobError, match="works inside a job only"):
        current_job()
    assert issubclass(NoCurrentJobError, RuntimeError)


def test_inside_of_a_job_it_is_the_one_that_was_entered_until_it_is_left():
    context = JobContext(CLAIMED, 5, State())

    token = enter_job(context)
    try:
        assert current_job() is context
    finally:
        leave_job(token)
    with pytest.raises(NoCurrentJobError):
        current_job()


def test_another_context_does_not_see_the_job():
    other = contextvars.copy_context()

    token = enter_job(JobContext(CLAIMED, 5, State()))
    try:
        with pytest.raises(NoCurrentJobError):
            other.run(current_job)
    finally:
        leave_job(token)


def test_a_job_knows_its_facts():
    state = State(model="big")
    context = JobContext(CLAIMED, 5, state)

    assert (context.id, context.queue, context.function) == ("job-1", "mail", "send")
    assert (context.tries, context.max_tries) == (2, 5)
    assert context.tags == ("a", "ü")
    assert context.meta == {"user": {"id": 5}}
    assert context.state is state
    assert repr(context) == "<JobContext job-1 send try 2>"


def test_a_job_without_tags_and_meta_has_empty_ones():
    context = JobContext(CLAIMED._replace(tags=None, meta=None), 1, State())

    assert (context.tags, context.meta) == ((), {})


def test_what_one_does_to_meta_stays_with_that_copy():
    context = JobContext(CLAIMED, 1, State())

    context.meta["user"]["id"] = 6

    assert context.meta == {"user": {"id": 5}}


def test_the_log_of_a_job_says_which_job_it_is(caplog):
    with caplog.at_level(logging.INFO, "sqlite_job.job"):
        JobContext(CLAIMED, 1, State()).log.info("half way")

    (record,) = caplog.records
    assert record.getMessage() == "half way"
    assert (record.job_id, record.job_function, record.job_queue) == ("job-1", "send", "mail")


def test_keys_of_the_state_are_attributes_as_well():
    state = State()

    state.model = "big"
    state["pool"] = [1]

    assert state == {"model": "big", "pool": [1]}
    assert (state["model"], state.pool) == ("big", [1])


def test_a_missing_attribute_of_the_state_is_named_with_those_there_are():
    with pytest.raises(AttributeError, match=r"nothing named 'modle' in .* on_startup \(there is: model, pool\)"):
        _ = State(model=1, pool=2).modle
    with pytest.raises(AttributeError, match=r"there is: nothing\)"):
        _ = State().model


def test_the_state_can_be_asked_copied_and_pickled():
    state = State(model="big")

    assert hasattr(state, "model")
    assert not hasattr(state, "pool")
    assert copy.copy(state) == copy.deepcopy(state) == pickle.loads(pickle.dumps(state)) == state
