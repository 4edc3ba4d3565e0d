"""The work: the same functions for every system, plain, or as coroutines where a system wants those."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Callable, Dict, Tuple

from benchmarks.compare import place
from benchmarks.compare.ledger import Ledger

Arguments = Tuple[Any, ...]

_ledger = Ledger(place.here().ledger)


def noop(number: int) -> int:
    _ledger.start(number)
    return number


def nap(number: int, milliseconds: int) -> int:
    _ledger.start(number)
    time.sleep(milliseconds / 1000)
    _ledger.end(number)
    return number


def weigh(number: int, payload: str) -> int:
    """Return the number if its payload came whole."""
    _ledger.start(number)
    return _weighed(number, payload)


async def async_noop(number: int) -> int:
    await _ledger.astart(number)
    return number


async def async_nap(number: int, milliseconds: int) -> int:
    await _ledger.astart(number)
    await asyncio.sleep(milliseconds / 1000)
    _ledger.end(number)
    return number


async def async_weigh(number: int, payload: str) -> int:
    await _ledger.astart(number)
    return _weighed(number, payload)


def make_payload(number: int, size: int) -> str:
    """Return a text of so many characters that is another one for each number."""
    piece = f"{number}-"
    return (piece * (size // len(piece) + 1))[:size]


def _weighed(number: int, payload: str) -> int:
    return number if payload == make_payload(number, len(payload)) else -1


PLAIN: Dict[str, Callable[..., Any]] = {"noop": noop, "nap": nap, "weigh": weigh}
COROUTINES: Dict[str, Callable[..., Any]] = {"noop": async_noop, "nap": async_nap, "weigh": async_weigh}
