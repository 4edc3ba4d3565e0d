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
from typing import Any, Callable, Dict, Iterator

ROOT = Path(__file__).resolve().parent.parent


class ChildError(Exception):
    """A child failed; the message has what it wrote to its standard error stream."""


def call(function: Callable[..., Any], /, **arguments: Any) -> Any:
    """Return what a function of a module of ours returns in a process of its own."""
    with start(function, **arguments) as answer:
        return answer()


@contextlib.contextmanager
def start(function: Callable[..., Any], /, **arguments: Any) -> Iterator[Callable[[], Any]]:
    """Start the process, and give a function that waits for its end and returns its answer."""
    command = [sys.executable, "-m", "benchmarks.child", function.__module__, function.__name__, json.dumps(arguments)]
    # A file, not a pipe: nobody reads while we wait, and a worker logs what it likes.
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, cwd=str(ROOT), env=environment(), universal_newlines=True
        )

        def answer() -> Any:
            written, _ = process.communicate()
            if process.returncode != 0:
                errors.seek(0)
                raise ChildError(f"{function.__name__} ended with {process.returncode}:\n{errors.read()[-4000:]}")
            return json.loads(written)

        try:
            yield answer
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()


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
