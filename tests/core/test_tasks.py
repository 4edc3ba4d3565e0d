"""Functions as tasks: their options, and the registry that finds them again."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass

import pytest

from sqlite_job import Backoff, UnknownFunctionError, WorkerSettings, call, task
from sqlite_job.core.calls import Call
from sqlite_job.core.numbers import is_whole
from sqlite_job.core.tasks import Task, TaskOptions, as_exceptions, as_task, runs_as_coroutine


def add(a, b=0):
    """Add."""
    return a + b


def multiply(a, b):
    return a * b


async def fetch(url):
    return url


class Mailer:
    def send(self, to):
        return to

    async def fetch(self, url):
        return url

    def __call__(self, to):
        return to


class AsyncMailer:
    async def __call__(self, to):
        return to


def settings_with(*functions):
    class MyWorkerSettings(WorkerSettings):
        pass

    MyWorkerSettings.functions = list(functions)
    return MyWorkerSettings("unused.db")


def find(looked_for, *functions):
    return settings_with(*functions).registry.find(looked_for)


# ---- task ------------------------------------------------------------------------------------------------------------


def test_task_joins_a_function_with_options_and_stays_callable():
    made = task(add, name="plus", max_tries=3)

    assert isinstance(made, Task)
    assert made(1, b=2) == 3
    assert (made.name, made.function, made.options) == ("plus", add, TaskOptions(name="plus", max_tries=3))
    assert repr(made) == "<Task 'plus'>"


def test_task_as_a_decorator_leaves_the_function_as_it_was():
    def double(a):
        """Twice."""
        return 2 * a

    decorated = task(max_tries=3, queue="fast")(double)

    assert decorated is double
    assert (decorated(2), decorated.__name__, decorated.__doc__) == (4, "double", "Twice.")
    assert as_task(decorated).options == TaskOptions(max_tries=3, queue="fast")
    assert as_task(decorated).name == "double"


def test_a_plain_function_is_a_task_without_options_and_a_task_is_itself():
    made = task(add)

    assert as_task(add).options == TaskOptions()
    assert as_task(add).name == "add"
    assert as_task(made) is made


def test_a_lambda_has_no_name_until_it_is_given_one():
    nameless = lambda: None

    assert task(nameless).name is None
    assert task(nameless, name="nothing").name == "nothing"


@pytest.mark.parametrize(
    ("options", "mend"),
    [
        ({"name": ""}, "A function name must not be empty"),
        ({"name": 3}, "A function name must be text, not int"),
        ({"name": "a\nb"}, "A function name must not contain control characters"),
        ({"name": "a" * 129}, "may have 128 characters"),
        ({"queue": " "}, "A queue name must not be empty"),
        ({"priority": 1.5}, "priority is a whole number, not 1.5"),
        ({"priority": True}, "priority is a whole number, not True"),
        ({"priority": 2**63}, "priority is a whole number"),
        ({"max_tries": 0}, "max_tries is a whole number from 1, not 0"),
        ({"max_tries": "3"}, "max_tries is a whole number from 1, not '3'"),
        ({"max_tries": True}, "max_tries is a whole number from 1, not True"),
        ({"backoff": 5}, r"backoff is a Backoff, as Backoff\(first=2\), not 5"),
        ({"retry_on": "ValueError"}, "retry_on is an exception class or a tuple of them, not 'ValueError'"),
        ({"retry_on": [ValueError]}, "retry_on is an exception class"),
        ({"give_up_on": (ValueError, int)}, "give_up_on is an exception class"),
        ({"give_up_on": ValueError()}, "give_up_on is an exception class"),
    ],
)
def test_an_option_that_cannot_work_is_refused_in_both_forms(options, mend):
    with pytest.raises(ValueError, match=mend):
        task(add, **options)
    with pytest.raises(ValueError, match=mend):
        task(**options)


def test_all_wrong_options_are_named_at_once():
    with pytest.raises(ValueError, match=r"priority .*; max_tries .*; backoff "):
        task(add, priority="high", max_tries=0, backoff=1)


def test_an_unknown_option_is_a_type_error_with_its_name():
    with pytest.raises(TypeError, match="retries"):
        task(add, retries=3)


@pytest.mark.parametrize("function", ["add", 3, ("add",)])
def test_task_refuses_what_is_no_function(function):
    with pytest.raises(TypeError, match=r"task\(\) takes a function, not "):
        task(function, max_tries=3)


def test_every_good_option_is_kept():
    options = {
        "name": "plus",
        "queue": "fast",
        "priority": -3,
        "max_tries": 5,
        "backoff": Backoff(first=2),
        "retry_on": (OSError, SystemExit),
        "give_up_on": ValueError,
    }

    assert task(add, **options).options == TaskOptions(**options)


def test_a_call_notes_a_function_and_its_arguments():
    noted = call(add, 1, b=2)

    assert isinstance(noted, Call)
    assert (noted.function, noted.args, noted.kwargs) == (add, (1,), {"b": 2})
    assert call("f", function="mine").kwargs == {"function": "mine"}


# ---- the registry ----------------------------------------------------------------------------------------------------


def test_a_function_is_found_by_its_name_and_by_itself():
    assert find("add", add, multiply).function is add
    assert find(multiply, add, multiply).name == "multiply"


def test_a_renamed_function_is_found_by_its_new_name_itself_and_its_task_and_not_by_the_old_name():
    renamed = task(add, name="plus")

    for looked_for in ("plus", add, renamed, task(add, name="plus")):
        assert find(looked_for, renamed).name == "plus"
    with pytest.raises(UnknownFunctionError):
        find("add", renamed)


def test_a_decorated_function_is_found_with_its_options():
    @task(name="twice", priority=4)
    def double(a):
        return 2 * a

    for looked_for in ("twice", double):
        found = find(looked_for, double)
        assert (found.name, found.priority, found.function) == ("twice", 4, double)


def test_a_method_of_an_object_is_found_by_name_and_by_method():
    mailer = Mailer()

    assert find("send", mailer.send).name == "send"
    # Each access makes a new method object: they are equal, and not the same.
    assert find(mailer.send, mailer.send).name == "send"


def test_a_task_of_a_method_is_found_by_an_equal_task():
    mailer = Mailer()

    assert find(task(mailer.send, name="mail"), task(mailer.send, name="mail")).name == "mail"


def test_a_function_listed_under_two_names_is_found_under_each_and_itself_under_the_first():
    twice = (task(add, name="first"), task(add, name="second"))

    assert find("second", *twice).function is add
    assert find(twice[1], *twice).name == "second"
    assert find(add, *twice).name == "first"


@pytest.mark.parametrize(
    ("looked_for", "message"),
    [
        ("ad", r"No function named 'ad'; add it to MyWorkerSettings.functions \(did you mean 'add'\?\)"),
        ("quite_different", r"No function named 'quite_different'; add it to MyWorkerSettings.functions$"),
        (fetch, "No function named 'fetch'; add it to MyWorkerSettings.functions"),
        (lambda: None, "No function named '<function <lambda>"),
        (task(add, name="plus"), "No function named 'plus'"),
        # Of the same name, and another function: it would run something else.
        (task(fetch, name="add"), "No function named 'add'"),
        ("Add", r"No function named 'Add'.*did you mean 'add'\?"),
        ("add ", r"No function named 'add '.*did you mean 'add'\?"),
    ],
)
def test_what_is_not_listed_is_refused_with_where_to_add_it_and_what_was_perhaps_meant(looked_for, message):
    with pytest.raises(UnknownFunctionError, match=message):
        find(looked_for, add, multiply)


def test_names_are_in_the_order_of_the_settings():
    assert settings_with(multiply, add, fetch).registry.names == ["multiply", "add", "fetch"]


def test_an_object_that_can_be_called_is_a_function_once_it_has_a_name():
    mailer = Mailer()

    assert find("mail", task(mailer, name="mail")).function is mailer
    assert find(mailer, task(mailer, name="mail")).name == "mail"


def test_an_object_that_cannot_be_hashed_is_a_function_like_any_other():
    @dataclass
    class Scale:  # with __eq__ and without __hash__
        by: int

        def __call__(self, a):
            return self.by * a

    scale = Scale(3)

    assert find("scale", task(scale, name="scale")).function is scale
    with pytest.raises(UnknownFunctionError):
        find(Scale(4), add)


def test_options_of_a_task_reach_the_registered_task_and_settings_fill_the_rest():
    class MyWorkerSettings(WorkerSettings):
        functions = [add, task(multiply, queue="fast", priority=2, max_tries=7, backoff=Backoff(9), retry_on=OSError)]
        max_tries = 3
        backoff = Backoff(first=5)

    plain, special = MyWorkerSettings("unused.db").registry.tasks.values()

    assert (plain.queue, plain.priority, plain.retry.max_tries) == (None, 0, 3)
    assert (plain.retry.backoff, plain.retry.retry_on, plain.retry.give_up_on) == (Backoff(5), (Exception,), ())
    assert (special.queue, special.priority, special.retry.max_tries) == ("fast", 2, 7)
    assert (special.retry.backoff, special.retry.retry_on) == (Backoff(9), (OSError,))


# ---- what the rest stands on -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "is_coroutine"),
    [
        (add, False),
        (fetch, True),
        (functools.partial(add, 1), False),
        (functools.partial(fetch, "a"), True),
        (Mailer().send, False),
        (Mailer().fetch, True),
        (Mailer(), False),
        (AsyncMailer(), True),
        (functools.lru_cache(maxsize=None)(add), False),
        (Mailer, False),
        (print, False),
        (asyncio.sleep, True),
    ],
)
def test_a_function_runs_as_a_coroutine_if_a_call_of_it_gives_one(function, is_coroutine):
    assert runs_as_coroutine(function) is is_coroutine


@pytest.mark.parametrize("value", [0, -1, 5, 2**63 - 1, -(2**63)])
def test_a_whole_number_fits_64_bits(value):
    assert is_whole(value)


@pytest.mark.parametrize("value", [True, 1.0, "1", None, 2**63, -(2**63) - 1])
def test_anything_else_is_no_whole_number(value):
    assert not is_whole(value)


def test_a_whole_number_may_have_a_least_value():
    assert is_whole(1, least=1)
    assert not is_whole(0, least=1)


def test_one_exception_a_tuple_and_none_are_all_tuples():
    assert as_exceptions(ValueError, (Exception,)) == (ValueError,)
    assert as_exceptions((ValueError, OSError), (Exception,)) == (ValueError, OSError)
    assert as_exceptions((), (Exception,)) == ()
    assert as_exceptions(None, (Exception,)) == (Exception,)
