from __future__ import annotations

import os
import sys

import pytest

MODULES = {
    "needs.py": "import no_such_package",
    "broken.py": "def f(:\n",
    "raises.py": "x = 1\nraise ValueError('boom')\n",
    "imports.py": "from my_tasks import nothing\n",
    "ends.py": "import sys\nsys.exit(3)\n",
    "empty.py": "",
    "package/__init__.py": "",
    "package/inner.py": "import package.gone\n",
    "making.py": (
        "from my_tasks import MyWorkerSettings\n"
        "class Settings(MyWorkerSettings):\n"
        "    def __init__(self, database):\n"
        "        raise KeyError('no key')\n"
    ),
    "instance.py": "from my_tasks import MyWorkerSettings\nsettings = MyWorkerSettings()\n",
}


@pytest.fixture
def error(run, tasks, folder):
    """Return the one line that a path leads to."""
    for name, source in MODULES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(source, encoding="utf-8")

    def error_of(path: str) -> str:
        ended = run("worker", path, "--burst")
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith("Error: ")
        assert ended.err.count("\n") == 1
        return ended.err[len("Error: ") : -1]

    return error_of


def test_a_module_that_is_not_there_is_named_with_the_folder_and_what_resembles_it(error, folder):
    assert error("my_task.MyWorkerSettings") == (
        f"No module named 'my_task' in {os.path.realpath(folder)} or on Python's path (did you mean 'my_tasks'?); "
        "run this in the folder that has it, or set PYTHONPATH"
    )


def test_a_module_missing_from_a_package_is_named(error):
    assert error("package.tasks.Settings").startswith("No module named 'package.tasks' in ")


def test_a_module_that_needs_one_that_is_missing_is_told_apart_and_placed(error, folder):
    assert error("needs.Settings") == (
        "Importing needs failed: ModuleNotFoundError: No module named 'no_such_package' "
        f"({folder / 'needs.py'}, line 1); install it for the Python that runs this: {sys.executable}"
    )


def test_a_missing_neighbour_of_the_module_is_not_taken_for_the_module(error):
    assert error("package.inner.Settings").startswith("Importing package.inner failed: ModuleNotFoundError")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("broken.Settings", "Importing broken failed: SyntaxError: "),
        ("raises.Settings", "Importing raises failed: ValueError: boom ("),
        ("imports.Settings", "Importing imports failed: ImportError: cannot import name 'nothing' from 'my_tasks'"),
        ("ends.Settings", "Importing ends failed: it ended the program ("),
    ],
)
def test_an_error_inside_the_module_is_told_with_its_line(error, path, problem):
    message = error(path)
    assert message.startswith(problem)
    assert f"{path.split('.')[0]}.py, line " in message


def test_an_error_in_the_making_of_settings_is_told_with_its_line(error, folder):
    assert error("making.Settings") == (
        f"Making making.Settings failed: KeyError: 'no key' ({folder / 'making.py'}, line 4)"
    )


@pytest.mark.parametrize("path", ["my_tasks", "my_tasks.", "my_tasks:"])
def test_a_path_without_a_class_lists_the_settings_of_the_module(error, path):
    assert error(path) == (
        "'my_tasks' names no class; give module.Class, as my_tasks.MyWorkerSettings; "
        "the settings there: my_tasks.MyWorkerSettings, my_tasks.OtherSettings"
    )


@pytest.mark.parametrize("path", ["MyWorkerSettings", ".MyWorkerSettings"])
def test_a_class_without_a_module_is_told_the_form(error, path):
    assert error(path) == "'MyWorkerSettings' names no class; give module.Class, as my_tasks.MyWorkerSettings"


@pytest.mark.parametrize("path", ["my_tasks.py", "./my_tasks.py", f"tasks{os.sep}my_tasks.MyWorkerSettings"])
def test_the_path_of_a_file_is_told_the_form(error, path):
    assert error(path) == f"{path!r} is the path of a file; give an import path, as my_tasks.MyWorkerSettings"


def test_a_class_that_is_not_there_gets_a_guess_and_the_list(error):
    assert error("my_tasks.MyWorkerSetting") == (
        "my_tasks has no 'MyWorkerSetting' (did you mean 'MyWorkerSettings'?); "
        "the settings there: my_tasks.MyWorkerSettings, my_tasks.OtherSettings"
    )


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("my_tasks.add_numbers", "my_tasks.add_numbers is of the type function, not a subclass of WorkerSettings; "),
        ("my_tasks.Cancel", "my_tasks.Cancel is a class, not a subclass of WorkerSettings; "),
        ("my_tasks.WorkerSettings", "my_tasks.WorkerSettings is the base class; name your own; "),
        ("instance.settings", "instance.settings is an instance; name its class MyWorkerSettings; "),
    ],
)
def test_what_is_no_settings_class_is_told_what_it_is(error, path, problem):
    message = error(path)
    assert message.startswith(problem)
    assert "the settings there: " in message


def test_a_module_without_settings_is_told_so(error, folder):
    assert error("empty.Settings") == (
        f"empty has no 'Settings'; empty ({folder / 'empty.py'}) has no subclass of WorkerSettings"
    )
