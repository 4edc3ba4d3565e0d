"""Run coroutines from plain code in one event loop that lasts: their connections belong to it."""

from __future__ import annotations

import asyncio
from typing import Any, Coroutine

_loop = asyncio.new_event_loop()


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return _loop.run_until_complete(coroutine)
