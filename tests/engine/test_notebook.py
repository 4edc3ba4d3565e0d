"""The notebook: of progress the newest, of log records all, and each once."""

from __future__ import annotations

import threading
from collections import defaultdict

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from sqlite_job.core.notes import JobNotes, LogNote, ProgressNote
from sqlite_job.core.outcomes import Returned
from sqlite_job.engine.notebook import MAX_PROGRESS_MESSAGE, Notebook
from tests.engine.making import HandClock
from tests.storage.making import NOW, claimed_job

JOBS = [claimed_job(1), claimed_job(1)._replace(claim_number=2), claimed_job(2)]
CLAIMS = [(job.seq, job.claim_number) for job in JOBS]

who = st.sampled_from(range(len(JOBS)))


def log_note(number):
    return LogNote(NOW, 1, 20, "app", str(number))


class Notekeeping(RuleBasedStateMachine):
    """Jobs that note things, and a worker that takes the notes and sometimes fails to write them."""

    def __init__(self):
        super().__init__()
        self.wakes = 0
        self.notebook = Notebook(self.wake, HandClock())
        self.number = 0
        self.noted, self.written = defaultdict(list), defaultdict(list)
        self.newest, self.last_written = {}, {}

    def wake(self):
        self.wakes += 1

    def next_number(self):
        self.number += 1
        return self.number

    @rule(who=who)
    def say_progress(self, who):
        was_empty, before = self.notebook.is_empty, self.wakes
        self.newest[CLAIMS[who]] = number = float(self.next_number())
        self.notebook.put_progress(JOBS[who], number, None, None)
        assert self.wakes - before == was_empty, "the reader is woken by the first note, and by no other"

    @rule(who=who)
    def log(self, who):
        was_empty, before = self.notebook.is_empty, self.wakes
        record = log_note(self.next_number())
        self.noted[CLAIMS[who]].append(record)
        self.notebook.put_record(JOBS[who], 20, "app", record.message)
        assert self.wakes - before == was_empty

    @rule(who=who, says_progress=st.booleans())
    def hear_of_a_process(self, who, says_progress):
        records = (log_note(self.next_number()), log_note(self.next_number()))
        self.noted[CLAIMS[who]] += records
        progress = None
        if says_progress:
            progress = ProgressNote(float(self.number), None, None, NOW)
            self.newest[CLAIMS[who]] = progress.done
        self.notebook.put(JobNotes(*CLAIMS[who], progress, records))

    @rule()
    def write_all(self):
        self.write(self.notebook.take())
        assert self.notebook.is_empty

    @rule(who=who)
    def write_of_an_ended_job(self, who):
        self.write(self.notebook.take_of([Returned(*CLAIMS[who])]))

    @rule(who=who, is_said_meanwhile=st.booleans())
    def fail_to_write(self, who, is_said_meanwhile):
        several = self.notebook.take()
        if is_said_meanwhile:
            self.say_progress(who)
            self.log(who)
        self.notebook.put_back(several)

    def write(self, several):
        for notes in several:
            claim = (notes.seq, notes.claim_number)
            self.written[claim] += notes.records
            if notes.progress is not None:
                self.last_written[claim] = notes.progress.done

    def teardown(self):
        self.write(self.notebook.take())
        assert {claim: records for claim, records in self.written.items() if records} == self.noted
        assert self.last_written == self.newest


TestNotekeeping = Notekeeping.TestCase


def test_only_the_notes_of_ended_runs_are_taken_with_their_outcomes():
    notebook = Notebook(lambda: None, HandClock())
    for job in JOBS:
        notebook.put_progress(job, 1.0, 2.0, "m")

    (notes,) = notebook.take_of([Returned(1, 1), Returned(3, 1)])

    assert notes == JobNotes(1, 1, ProgressNote(1.0, 2.0, "m", NOW), ())
    assert [(left.seq, left.claim_number) for left in notebook.take()] == CLAIMS[1:]


def test_a_message_is_cleaned_and_bounded():
    notebook = Notebook(lambda: None, HandClock())
    notebook.put_progress(JOBS[0], 1.0, None, "\x1b[31m\x00\ud800" + "x" * 10_000)
    (notes,) = notebook.take()

    assert notes.progress.message.startswith("\x1b[31m\\x00\\ud800xxx")
    assert len(notes.progress.message) == MAX_PROGRESS_MESSAGE


def test_threads_lose_no_record_and_end_with_the_newest_progress():
    notebook = Notebook(lambda: None, HandClock())
    job, taken = JOBS[0], []
    start = threading.Barrier(5)

    def say(first):
        start.wait()
        for number in range(first, first + 2_000):
            notebook.put_record(job, 20, "app", str(number))
            notebook.put_progress(job, float(number), None, None)

    threads = [threading.Thread(target=say, args=(first,)) for first in range(0, 8_000, 2_000)]
    for thread in threads:
        thread.start()
    start.wait()
    while any(thread.is_alive() for thread in threads):
        taken += notebook.take()
    taken += notebook.take()

    numbers = [int(record.message) for notes in taken for record in notes.records]
    assert sorted(numbers) == list(range(8_000))
    last = [notes.progress.done for notes in taken if notes.progress is not None][-1]
    assert last in {1_999.0, 3_999.0, 5_999.0, 7_999.0}


@pytest.mark.timeout(20)
def test_who_notes_something_while_the_notebook_is_held_by_the_same_thread_does_not_wait_for_itself():
    """As garbage does that is collected just then, and logs in its last moment."""
    notebook = Notebook(lambda: None, HandClock())

    def records():
        notebook.put_record(JOBS[2], 20, "app", "1")
        yield log_note(2)

    notebook.put(JobNotes(1, 1, None, records()))
    assert [(notes.seq, len(notes.records)) for notes in notebook.take()] == [(1, 1), (2, 1)]
