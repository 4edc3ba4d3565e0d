from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sqlite_job
from sqlite_job.cli.exit_code import MEANINGS, ExitCode
from sqlite_job.cli.printable import printable_line, printable_lines
from sqlite_job.cli.program import program
from tests.cli.conftest import clean_environment


def test_the_version_is_printed(run):
    assert run("--version") == (0, f"sqlite-job {sqlite_job.__version__}\n", "")


def test_the_help_lists_every_command_and_every_exit_code(run):
    ended = run("--help")
    assert ended.code == 0
    for name in program.commands:
        assert f"\n  {name} " in ended.out
    assert set(MEANINGS) == set(ExitCode)
    for code, meaning in MEANINGS.items():
        assert f"\n    {code.value:<4} {meaning}\n" in ended.out


@pytest.mark.parametrize("name", list(program.commands))
def test_every_command_has_help_that_fits_a_terminal(run, name):
    ended = run(name, "-h")
    assert (ended.code, ended.out) == (0, run(name, "--help").out)
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "\x08" not in ended.out
    assert "\\b" not in ended.out


def test_a_misspelt_command_is_a_usage_error(run):
    ended = run("enqeue")
    assert (ended.code, ended.out) == (2, "")
    assert "No such command 'enqeue'" in ended.err


@pytest.mark.parametrize(
    ("typed", "offered"), [("enq", "enqueue"), ("enqueue --dela", "--delay"), ("list --status fai", "failed")]
)
def test_a_shell_can_complete_commands_options_and_values(run, folder, typed, offered):
    words = f"sqlite-job {typed}"
    shell = {"_SQLITE_JOB_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    command = [str(Path(sys.executable).with_name("sqlite-job"))]
    environment = {**clean_environment(), **shell}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.splitlines() == [f"plain,{offered}"]
    assert ended.stderr == ""


def test_help_loads_neither_rich_nor_sqlalchemy():
    code = (
        "import sys; from sqlite_job.cli.program import program; program(['--help'], standalone_mode=False); "
        "sys.stderr.write(' '.join(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "Exit codes:" in ended.stdout
    assert not {"rich", "sqlalchemy", "alembic"} & set(ended.stderr.split())


def test_text_is_made_printable_as_python_writes_it():
    assert printable_line("é\t\n\x1b[0m\x9b\u202e\udcff\\") == "é\\t\\n\\x1b[0m\\x9b\\u202e\\udcff\\"
    assert printable_lines("a\n\tb\r\x00") == "a\n\tb\\r\\x00"
