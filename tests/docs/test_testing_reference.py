"""Compare the reference of the helpers for tests with the code."""

from __future__ import annotations

import inspect

import pytest

from sqlite_job import testing
from sqlite_job.testing import pytest_plugin
from tests.docs.test_reference import names, parameters, public, section, text_of

TEXT = text_of("testing.md")


def table(before):
    assert before in TEXT
    return names(TEXT.partition(before)[2].split("\n\n", 1)[0])


def test_every_helper_is_documented_once():
    assert sorted(table("| name | what it is |")) == sorted(testing.__all__)


@pytest.mark.parametrize("function", [testing.drain, testing.inline], ids=lambda function: function.__name__)
def test_every_argument_is_documented_in_the_order_of_the_function(function):
    assert table(f"| argument of `{function.__name__}` |") == parameters(function)


def test_every_argument_of_the_assertions_is_documented():
    documented = table("| argument | what matches |")

    assert documented == parameters(testing.assert_enqueued)
    assert documented[:-1] == parameters(testing.refute_enqueued) == parameters(testing.enqueued)


@pytest.mark.parametrize(
    ("kind", "heading"),
    [
        (testing.Drained, "| attribute of `Drained` |"),
        (testing.EnqueuedJob, "| attribute of `EnqueuedJob` |"),
        (testing.FakeClock, "| method of `FakeClock` |"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_everything_public_is_documented(kind, heading):
    attributes = {
        *public(kind),
        *getattr(kind, "__dataclass_fields__", {}),
        *(["info"] if "EnqueuedJob" in heading else []),
    }

    assert sorted(table(heading)) == sorted(attributes)


def test_signatures_are_those_of_the_code():
    for function in (testing.drain, testing.inline, testing.fake_time):
        shown = f"`{function.__name__}{plain(inspect.signature(function))}`".replace("1000", "1_000")
        assert shown in " ".join(TEXT.split()), shown


def test_every_fixture_is_documented():
    fixtures = [
        name
        for name, value in vars(pytest_plugin).items()
        if "fixture" in type(value).__name__.lower() and name[0] != "_"
    ]

    assert len(fixtures) > 3
    assert sorted(names(section(TEXT, "## Fixtures for pytest"))) == sorted(fixtures)


def plain(signature):
    """Return a signature without its annotations."""
    empty = inspect.Signature.empty
    parameters = [one.replace(annotation=empty) for one in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=empty)
