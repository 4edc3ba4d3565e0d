"""How hooks may be written in settings: functions, methods, objects, each sync or async."""

from __future__ import annotations

import asyncio

import pytest

from sqlite_job import WorkerSettings


class Base(WorkerSettings):
    functions = [print]


def on_startup_elsewhere(state):
    return ("function", state)


async def on_startup_later(state):
    return ("coroutine", state)


class Object:
    def __call__(self, state):
        return ("object", state)

    def method(self, state):
        return ("bound", state)


class WithMethod(Base):
    name = "mine"

    def on_startup(self, state):
        return (self.name, state)


class WithStaticMethod(Base):
    @staticmethod
    def on_startup(state):
        return ("static", state)


class WithClassMethod(Base):
    @classmethod
    def on_startup(cls, state):
        return (cls.__name__, state)


class WithCoroutineMethod(Base):
    name = "mine, later"

    async def on_startup(self, state):
        return (self.name, state)


class ChildOfMethod(WithMethod):
    name = "the child's"


@pytest.mark.parametrize(
    ("kind", "result"),
    [
        (type("Settings", (Base,), {"on_startup": on_startup_elsewhere}), "function"),
        (type("Settings", (Base,), {"on_startup": staticmethod(on_startup_elsewhere)}), "function"),
        (type("Settings", (Base,), {"on_startup": Object()}), "object"),
        (type("Settings", (Base,), {"on_startup": Object().method}), "bound"),
        (type("Settings", (Base,), {"on_startup": on_startup_later}), "coroutine"),
        (type("Settings", (Base,), {"on_startup": lambda state: ("lambda", state)}), "lambda"),
        (WithMethod, "mine"),
        (WithStaticMethod, "static"),
        (WithClassMethod, "WithClassMethod"),
        (WithCoroutineMethod, "mine, later"),
        (ChildOfMethod, "the child's"),
    ],
)
def test_a_hook_is_called_as_it_was_meant_with_the_state_alone(kind, result):
    found = kind().hooks["on_startup"]("the state")
    if asyncio.iscoroutine(found):
        found = asyncio.run(found)

    assert found == (result, "the state")
