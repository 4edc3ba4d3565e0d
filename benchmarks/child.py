"""Call a function in a fresh interpreter: what is measured shares no memory, threads or caches with the runner.

`python -m benchmarks.child MODULE FUNCTION ARGUMENTS` prints what the function returns; both are JSON.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any, Callable, Dict, Iterator

ROOT = Path(__file__).resolve().parent.parent


class ChildError(Exception):
    """A child failed; the message has what it wrote to its standard error stream."""


class Child:
    """A running call; `errors` is a file, not a pipe: nobody reads while we wait, and a worker logs what it likes."""

    def __init__(self, function: Callable[..., Any], arguments: Dict[str, Any], errors: IO[str]) -> None:
        self._name = function.__name__
        self._errors = errors
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.child", function.__module__, self._name, json.dumps(arguments)],
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=str(ROOT),
            env=environment(),
            universal_newlines=True,
        )

    def terminate(self) -> None:
        """Send SIGTERM, which a worker answers with a clean end."""
        self._process.terminate()

    def answer(self) -> Any:
        """Wait for the end, and return what the function returned; raises ChildError."""
        written, _ = self._process.communicate()
        if self._process.returncode != 0:
            self._errors.seek(0)
            raise ChildError(f"{self._name} ended with {self._process.returncode}:\n{self._errors.read()[-4000:]}")
        return json.loads(written)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def call(function: Callable[..., Any], /, **arguments: Any) -> Any:
    """Return what a function of one of our modules returns in a process of its own."""
    with start(function, **arguments) as child:
        return child.answer()


@contextlib.contextmanager
def start(function: Callable[..., Any], /, **arguments: Any) -> Iterator[Child]:
    """Start such a call; at the end of the block nothing of it is left."""
    with tempfile.TemporaryFile("w+") as errors, contextlib.closing(Child(function, arguments, errors)) as child:
        yield child


def environment() -> Dict[str, str]:
    """Return our environment, with compiled files allowed and no database of the user's in it."""
    unwanted = ("PYTHONDONTWRITEBYTECODE", "SQLITE_JOB_DATABASE")
    return {name: value for name, value in os.environ.items() if name not in unwanted}


def main() -> None:
    module, function, arguments = sys.argv[1:]
    answer = getattr(importlib.import_module(module), function)(**json.loads(arguments))
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
