"""The times of a database are its server's: what a machine whose clock differs writes and compares."""

from __future__ import annotations

import time

import pytest

from sqlite_job.core.clock import SECOND, SystemClock
from sqlite_job.core.errors import DatabaseUnavailableError
from sqlite_job.storage.opening import _make_storage
from sqlite_job.storage.postgres import clock as server_clock

DEADLINE = 20.0


@pytest.fixture
def storage(postgres_url):
    made = _make_storage(postgres_url, "full", False)
    yield made
    made.close()


class Behind(SystemClock):
    """The clock of a machine that is some hours behind."""

    def now(self):
        return super().now() - 5 * 3600 * SECOND


def wait_until(is_so):
    deadline = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def test_the_difference_to_the_servers_clock_is_measured_before_the_first_use(storage):
    storage._clock._system = Behind()

    assert abs(storage.clock_offset - 5 * 3600 * SECOND) < SECOND


def test_the_difference_is_asked_for_again_without_anybody_waiting(storage, monkeypatch):
    assert abs(storage.clock_offset) < SECOND
    storage._clock._system = Behind()
    monkeypatch.setattr(server_clock, "_AGAIN_SECONDS", 0)

    wait_until(lambda: abs(storage.clock_offset - 5 * 3600 * SECOND) < SECOND)


def test_while_the_server_is_gone_the_time_goes_on_by_what_is_known(own_postgres_server, monkeypatch):
    storage = _make_storage(own_postgres_server.url, "full", False)
    known = storage.clock_offset
    own_postgres_server.stop()
    monkeypatch.setattr(server_clock, "_AGAIN_SECONDS", 0)

    began = time.monotonic()
    assert [storage.clock_offset for _ in range(10)] == [known] * 10
    assert time.monotonic() - began < 1


def test_a_time_that_was_never_known_is_an_error(own_postgres_server):
    url = own_postgres_server.url
    own_postgres_server.stop()

    with pytest.raises(DatabaseUnavailableError):
        _make_storage(url, "full", False).clock_offset  # noqa: B018 - a property that asks
