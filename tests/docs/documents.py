"""Run a document as its reader does: write its files, type its commands, compare what is printed.

In a document

- a Python block whose first line is `# name.py` is a file of that name, put into the reader's folder;
- any other Python block is a program of its own, run in that folder; `print(...)  # 42` says what the line prints;
- a console block has commands after `$ `, and what they print; `...` stands for any text;
- a console block opened with "```console another terminal" has one command that goes on; it is stopped with SIGTERM,
  and must then end with exit code 0, when the same command comes again and at the end of the document.

Blocks of other languages (a unit file, a diagram) are not run.
"""

from __future__ import annotations

import doctest
import json
import os
import re
import signal
import subprocess
import sys
import threading
from importlib import metadata
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "sqlite_job.testing.pytest_plugin"
ANOTHER_TERMINAL = "another terminal"

# Long enough for a machine that is busy with other tests; nothing waits that long when all is well.
PATIENCE_SECONDS = 60

_FENCE = re.compile(r"^```(?P<language>\w*)(?P<rest>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE_NAME = re.compile(r"# (?P<name>\w+\.py)\s*$")
_PRINTED = re.compile(r"^\s*print\(.*\)  # (?P<text>.+)$")
_RUN_WITH_NAMES = "import json, runpy, sys; runpy.run_path(sys.argv[1], json.loads(sys.argv[2]), '__main__')"


class Block(NamedTuple):
    language: str
    rest: str
    text: str
    line: int

    @property
    def file_name(self) -> Optional[str]:
        match = _FILE_NAME.match(self.text.split("\n", 1)[0])
        return match["name"] if match else None


class Command(NamedTuple):
    text: str
    output: str


def documents() -> List[Path]:
    """Return every Markdown file of the project."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(document: Path) -> Iterator[Block]:
    text = document.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        yield Block(match["language"], match["rest"].strip(), match["text"], text.count("\n", 0, match.start()) + 2)


def commands(console: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        text, _, output = part.partition("\n")
        yield Command(text, output)


class Reader:
    """Somebody who follows one document in one folder."""

    def __init__(self, folder: Path, names: Callable[[], Mapping[str, Any]] = dict) -> None:
        """Work in `folder`; programs find `names` defined, as far as the document leaves them to the reader."""
        self.folder = folder
        self._names = names
        self._terminals: Dict[str, Terminal] = {}

    def follow(self, document: Path) -> None:
        try:
            for block in blocks(document):
                try:
                    self._do(block)
                except AssertionError as error:
                    raise AssertionError(f"{document.relative_to(ROOT)}:{block.line}: {error}") from error
            for terminal in self._terminals.values():
                terminal.stop()
        finally:
            for terminal in self._terminals.values():
                terminal.kill()

    def _do(self, block: Block) -> None:
        if block.language == "python" and block.file_name:
            (self.folder / block.file_name).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            self._run_program(block)
        elif block.language == "console" and block.rest == ANOTHER_TERMINAL:
            self._run_beside(block)
        elif block.language == "console":
            for command in commands(block.text):
                check_output(command.output, run(command.text, self.folder))

    def _run_program(self, block: Block) -> None:
        program = self.folder / f"line_{block.line}.py"
        program.write_text(block.text, encoding="utf-8")
        names = self._names()
        if names:
            printed = run([sys.executable, "-c", _RUN_WITH_NAMES, program.name, json.dumps(names)], self.folder)
        else:
            printed = run([sys.executable, program.name], self.folder)
        check_printed(block.text, printed)

    def _run_beside(self, block: Block) -> None:
        (command,) = commands(block.text)
        if command.text in self._terminals:
            self._terminals[command.text].stop()
        self._terminals[command.text] = terminal = Terminal(command, self.folder)
        terminal.wait_for_output()


class Terminal:
    """A program that goes on beside the others."""

    def __init__(self, command: Command, folder: Path) -> None:
        self.command = command
        self._lines: List[str] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            f"exec {command.text}",  # so that the signal reaches the program, not the shell
            shell=True,
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def wait_for_output(self) -> None:
        with self._news:
            self._news.wait_for(self._is_settled, PATIENCE_SECONDS)
            check_output(self.command.output, "".join(self._lines))

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(PATIENCE_SECONDS)
        assert code == 0, f"{self.command.text} ended with exit code {code}:\n{''.join(self._lines)}"

    def kill(self) -> None:
        """Leave nothing behind, whatever went wrong."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reading.join()

    def _is_settled(self) -> bool:
        return is_as_shown(self.command.output, "".join(self._lines)) or self._process.poll() is not None

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                with self._news:
                    self._lines.append(line.decode())
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()


def run(command: Any, folder: Path) -> str:
    """Run a command to its end, and return what it printed; it must end with exit code 0."""
    done = subprocess.run(
        command,
        shell=isinstance(command, str),
        cwd=folder,
        env=environment(),
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    printed, complaints = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == 0, f"{command} ended with exit code {done.returncode}:\n{printed}{complaints}"
    return printed


def environment() -> Dict[str, str]:
    """Return a reader's environment: this interpreter is `python`, warnings are errors, and nothing else is special.

    The fixtures for pytest are there, as they are where the package is installed with its entry points.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COLUMNS", "LINES"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    plugins = {} if has_plugin() else {"PYTEST_PLUGINS": PLUGIN}
    return {**kept, **plugins, "PATH": path, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "error"}


def has_plugin() -> bool:
    """Whether the package is installed, and not since before it had the plugin: pytest refuses one loaded twice."""
    try:
        return any(entry.value == PLUGIN for entry in metadata.distribution("sqlite-job").entry_points)
    except metadata.PackageNotFoundError:
        return False


def check_output(shown: str, printed: str) -> None:
    assert is_as_shown(shown, printed), f"the document shows\n{shown}\nbut this was printed:\n{printed}"


def is_as_shown(shown: str, printed: str) -> bool:
    return doctest.OutputChecker().check_output(shown, printed, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)


def check_printed(source: str, printed: str) -> None:
    """Compare the comments behind `print(...)` with what was printed; words after it explain it."""
    shown = [match["text"] for match in map(_PRINTED.match, source.splitlines()) if match]
    found = printed.splitlines()
    same = len(shown) == len(found) and all(f"{text} ".startswith(f"{line} ") for text, line in zip(shown, found))
    assert same, f"the comments show {shown}, but this was printed: {found}"
