"""Show how far a job has come: as words, or as a bar that moves while somebody waits."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Callable, Iterator, Optional, Protocol

from sqlite_job.cli.printable import printable_line
from sqlite_job.core.notes import JobProgress

if TYPE_CHECKING:
    from rich.progress import Progress

# Past it a float has no room for the last digit, and nobody reads so many.
_MOST_DIGITS = 1e15

# How often the bar is drawn anew, for the time that passes; the database is read when somebody commits.
_FRAMES_A_SECOND = 8


class Amounts(Protocol):
    """How much is done of how much, and what is being done: a JobProgress, a MoveProgress."""

    @property
    def done(self) -> float:
        """What is done."""
        ...

    @property
    def total(self) -> Optional[float]:
        """All there is to do, where that is known."""
        ...

    @property
    def message(self) -> Optional[str]:
        """What is being done."""
        ...


def describe_progress(progress: JobProgress) -> str:
    """Return progress on one line: 3 of 10 (30 %), importing."""
    said = _amounts(progress)
    if progress.fraction is not None:
        said += f" ({int(progress.fraction * 100)} %)"  # rounded down: 100 % is when all is done
    return f"{said}, {progress.message}" if progress.message else said


@contextmanager
def progress_bar() -> Iterator[Callable[[Amounts], None]]:
    """Draw a bar on the standard error stream, from the first call of what is returned to the end of the block.

    Nothing is written where that stream is no terminal.
    """
    with ExitStack() as stack:
        yield _ProgressBar(stack).show


class _ProgressBar:
    """A bar that `stack` takes away."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._bar: Optional[Progress] = None
        self._is_on_terminal = sys.stderr is not None and sys.stderr.isatty()

    def show(self, progress: Amounts) -> None:
        """Show this; without a total the bar only moves."""
        if not self._is_on_terminal:
            return
        if self._bar is None:
            self._bar = self._stack.enter_context(_make_bar())
            self._bar.add_task("", message="", amounts="")
        (task,) = self._bar.tasks
        task.total = progress.total  # update() takes None for "as before"
        self._bar.update(
            task.id,
            completed=progress.done,
            message=printable_line(progress.message or ""),
            amounts=_amounts(progress),
        )


def _make_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    return Progress(
        BarColumn(),
        TextColumn("{task.fields[amounts]}", markup=False),
        TimeRemainingColumn(),
        TextColumn(
            "{task.fields[message]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
        ),
        console=Console(stderr=True),
        transient=True,
        expand=True,
        refresh_per_second=_FRAMES_A_SECOND,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _amounts(progress: Amounts) -> str:
    done = _amount(float(progress.done))
    return done if progress.total is None else f"{done} of {_amount(float(progress.total))}"


def _amount(number: float) -> str:
    return f"{int(number):,}" if number.is_integer() and number < _MOST_DIGITS else f"{number:,.6g}"
