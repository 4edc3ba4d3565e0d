"""Say where a measured queue is and what it runs, to the process that enqueues and to the workers alike.

Workers are started by the commands of the systems themselves, which have no room for arguments of ours: it goes
through the environment.
"""

from __future__ import annotations

import importlib
import json
import os
from typing import Any, Dict, NamedTuple

_VARIABLE = "COMPARED_PLACE"


class Place(NamedTuple):
    """`store` is a path or URL; `concurrency` is 0 where the driver chooses what suits jobs that do nothing."""

    system: str
    variant: str
    store: str
    folder: str
    ledger: str
    kind: str = "noop"
    concurrency: int = 0


def here() -> Place:
    return Place(**json.loads(os.environ[_VARIABLE]))


def environment(place: Place) -> Dict[str, str]:
    return {**os.environ, _VARIABLE: json.dumps(place._asdict())}


def driver(module: str, place: Place) -> Any:
    """Import a driver for one place, once in the life of a process."""
    os.environ[_VARIABLE] = json.dumps(place._asdict())
    return importlib.import_module(f"benchmarks.compare.systems.{module}")
