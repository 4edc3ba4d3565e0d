"""Run the suite on the oldest supported Python and on the newest one here, and last the whole of it on the default one.

usage: python tools/test_everywhere.py [arguments for pytest]

The first suite that fails ends the run with its exit code, so that no later summary can hide it. A Python that is not
here is no failure, but is named before the last suite, together with how to get it.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

Minor = Tuple[int, int]

ROOT = Path(__file__).resolve().parent.parent
OLDEST: Minor = (3, 8)
NEWEST: Minor = (3, 13)  # the newest that pyproject.toml names; a newer one that is here is run instead
DEFAULT: Minor = (sys.version_info[0], sys.version_info[1])

# One more than there are processors, since a third of the time tests wait. More than four processes at once would make
# a test with a deadline wait for its turn.
PYTEST = ["-m", "pytest", "-n", str(min((os.cpu_count() or 1) + 1, 4)), "--dist", "loadgroup"]
# What says the same on every Python, and takes longest. PostgreSQL is left to the contract in tests/storage there: what
# is above the storage does not know which database it is, and has been run on a file (tests/databases.py).
ONCE = [
    *(
        f"--ignore=tests/{name}"
        for name in ("benchmarks", "chaos", "docs", "postgres", "cli/test_on_postgres.py", "storage/test_moving.py")
    ),
    *("-m", "not also_on_postgres"),
]
LEFT_OUT = "benchmarks, chaos, documents, moves to other databases, and all but the contract on PostgreSQL"
PIP_INSTALL = ["-m", "pip", "--disable-pip-version-check", "install", "-q"]
PROBE = "import ensurepip, sqlite3, sys, venv; print(sys.version_info.releaselevel, *sys.version_info[:3])"


class Interpreter(NamedTuple):
    """A Python that can run the suite."""

    version: Tuple[int, int, int]
    path: Path

    @property
    def minor(self) -> Minor:
        """The version without its last number."""
        return self.version[:2]


def main(pytest_arguments: List[str]) -> int:
    """Run the suites one after the other and return the exit code of the first that fails, or 0."""
    found = find_interpreters()
    newest = max([*found, DEFAULT])
    others = [found[minor] for minor in (OLDEST, newest) if minor in found and minor != DEFAULT]
    missing = [minor for minor in (OLDEST, NEWEST) if minor not in found and minor != DEFAULT]
    if newest > NEWEST:
        missing = [minor for minor in missing if minor != NEWEST]
    for interpreter in others:
        say(f"Python {text(interpreter.version)}: all but {LEFT_OUT} ({interpreter.path})")
        code = run_suite(prepare(interpreter), [*ONCE, *pytest_arguments])
        if code != 0:
            say(f"FAILED on Python {text(interpreter.version)}; the suites after it were not run")
            return code
    for interpreter in others:
        say(f"Python {text(interpreter.version)}: passed")
    for minor in missing:
        say(f"Python {text(minor)}: NOT FOUND, SO NOT RUN. {how_to_get(minor)}")
    say(f"Python {text(sys.version_info[:3])}: the whole suite ({sys.executable}), the default and the last")
    return run_suite(Path(sys.executable), pytest_arguments)


def find_interpreters() -> Dict[Minor, Interpreter]:
    """Return the newest usable release of each minor version from the oldest supported on."""
    found: Dict[Minor, Interpreter] = {}
    for path in candidates():
        interpreter = probe(path)
        if interpreter is None or interpreter.minor < OLDEST:
            continue
        known = found.get(interpreter.minor)
        if known is None or known.version < interpreter.version:
            found[interpreter.minor] = interpreter
    return found


def candidates() -> Iterator[Path]:
    """Yield every file that is named as an interpreter is: python3.X."""
    for folder in folders():
        if folder.is_dir():
            yield from (path for path in sorted(folder.iterdir()) if re.fullmatch(r"python3\.\d+", path.name))


def folders() -> Iterator[Path]:
    """Yield the folders on PATH and those of pyenv, shims resolved."""
    # os.path's expanduser, since Path's raises an error where there is no home.
    pyenv_roots = [Path(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"))]  # noqa: PTH111
    for entry in os.environ.get("PATH", "").split(os.pathsep):
        folder = Path(entry)
        if folder.name == "shims":
            # A shim starts only the versions that are switched on; the interpreters themselves lie beside it.
            pyenv_roots.append(folder.parent)
        elif entry:
            yield folder
    for root in pyenv_roots:
        yield from sorted(root.glob("versions/*/bin"))


def probe(path: Path) -> Optional[Interpreter]:
    """Return the interpreter, or None for one that does not start, cannot make a venv or is no final release."""
    try:
        answer = subprocess.run([str(path), "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    level, *numbers = answer.stdout.decode().split()
    if level != "final":
        return None
    major, minor, micro = map(int, numbers)
    return Interpreter((major, minor, micro), path)


def prepare(interpreter: Interpreter) -> Path:
    """Return the Python of a venv with the project, made anew if the interpreter or pyproject.toml has changed."""
    folder = ROOT / ".venvs" / text(interpreter.minor)
    python = folder / "bin" / "python"
    stamp = folder / ".installed"
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    wanted = f"{interpreter.path} {text(interpreter.version)} {digest}\n"
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    run(interpreter.path, "-m", "venv", "--clear", str(folder))
    run(python, *PIP_INSTALL, "pip>=21.3")  # the first that installs this project editable
    run(python, *PIP_INSTALL, "-e", ".[test]")
    stamp.write_text(wanted)
    return python


def run(python: Path, *arguments: str) -> None:
    """Run one step of an installation; a step that fails ends the program, as a suite that fails does."""
    code = subprocess.run([str(python), *arguments], cwd=ROOT, check=False).returncode
    if code != 0:
        say(f"FAILED: {python} {' '.join(arguments)}")
        sys.exit(code)


def run_suite(python: Path, pytest_arguments: List[str]) -> int:
    """Run pytest and return its exit code; 'no tests ran' is one of its failures."""
    return subprocess.run([str(python), *PYTEST, *pytest_arguments], cwd=ROOT, check=False).returncode


def how_to_get(minor: Minor) -> str:
    """Say where a missing Python comes from."""
    name = text(minor)
    return f"Get it with `pyenv install {name}` or your system's packages (python{name} and python{name}-venv)."


def text(version: Tuple[int, ...]) -> str:
    """Return a version as it is written."""
    return ".".join(map(str, version))


def say(line: str) -> None:
    """Print a line that is seen between the outputs of the suites."""
    print(f"\n==> {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
