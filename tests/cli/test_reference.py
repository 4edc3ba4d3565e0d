"""Hold docs/reference/cli.md to the program: every command, option and exit code, and what its examples print."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from sqlite_job.cli.exit_code import MEANINGS
from sqlite_job.cli.program import program
from tests.docs.documents import ROOT, blocks, commands, environment, is_as_shown

DOCUMENT = ROOT / "docs" / "reference" / "cli.md"

# What is different each time, in the document and in what is printed.
VARIABLE = [
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\.\d+[+-]\d\d:\d\d"), "TIME"),
    (re.compile(r"^\d\d:\d\d:\d\d ", re.MULTILINE), "TIME "),
    (re.compile(r"\d+(\.\d+)? m?s\b"), "SPAN"),
    (re.compile(r"(?<= )\d+[smh](?= |$)", re.MULTILINE), "AGE"),
    (re.compile(r"^ +[~^]+$", re.MULTILINE), ""),  # Python 3.11 points at the place in the line
]


def section(name: str) -> str:
    return DOCUMENT.read_text(encoding="utf-8").partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def first_cells(text: str):
    return re.findall(r"^\| `?([^|`]+)", text, re.MULTILINE)


def same_each_time(text: str, folder: str) -> str:
    text = text.replace(folder, "/srv/shop")
    for pattern, name in VARIABLE:
        text = pattern.sub(name, text)
    return text


@pytest.mark.skipif(sys.platform == "win32", reason="the examples are for a POSIX shell")
@pytest.mark.timeout(300)  # some thirty processes, one after the other
def test_the_examples_print_what_they_show(folder):
    for block in blocks(DOCUMENT):
        if block.file_name:
            (folder / block.file_name).write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            for command in commands(block.text):
                printed = typed(command.text)
                assert is_as_shown(same_each_time(command.output, str(folder)), same_each_time(printed, str(folder))), (
                    f"{DOCUMENT.name}:{block.line}: {command.text}\n{printed}"
                )


def typed(command: str) -> str:
    """Return what a terminal would show: both streams, in the order they were written."""
    done = subprocess.run(
        command,
        shell=True,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    return done.stdout.decode()


@pytest.mark.parametrize("name", list(program.commands))
def test_every_option_of_a_command_is_documented(name):
    documented = [re.split(r"[ .]", cell)[0] for cell in first_cells(section(name))]
    assert {name_of(parameter) for parameter in program.commands[name].params} <= set(documented)


def name_of(parameter) -> str:
    if parameter.param_type_name == "option":
        return max(parameter.opts, key=len)
    return re.split(r"[.\]]", (parameter.metavar or parameter.name.upper()).strip("[]"))[0]


def test_every_exit_code_is_documented_with_its_meaning():
    assert re.findall(r"^\| (\d+) \| (.+) \|$", section("Exit codes"), re.MULTILINE) == [
        (str(code.value), meaning) for code, meaning in MEANINGS.items()
    ]


def test_every_command_is_listed_in_the_order_of_the_help():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert re.findall(r"^\| \[`(\w+)`\]\(#\1\)", text, re.MULTILINE) == list(program.commands)
