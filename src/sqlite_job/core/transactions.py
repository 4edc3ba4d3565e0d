"""Let a job write in the transaction that records its completion: the block of `current_job().transaction()`."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Optional, Protocol, Type, Union

from sqlite_job.core.errors import TransactionStateError
from sqlite_job.core.outcomes import Committed, Completed
from sqlite_job.core.stopping import Stop

if TYPE_CHECKING:
    import asyncio  # at run time where it is used: half of this package's import time


class OpenTransaction(Protocol):
    """A transaction on the job's own database that holds the write lock."""

    def enter(self) -> Any:
        """Return an SQLAlchemy Session in it, for the user, in this thread."""
        ...

    def flush(self) -> None:
        """Write what the session still holds back."""
        ...

    def complete(self, completed: Completed) -> bool:
        """Record the completion and commit; False, with all rolled back, when the job was taken from this worker.

        Raises TransactionStateError when it was rolled back before, and DatabaseError; then nothing was written.
        """
        ...

    def roll_back(self) -> None:
        """Undo everything, unless it has ended; never raises."""
        ...

    def close(self) -> None:
        """Roll back what is still open, and close the connection; never raises."""
        ...


class JobTransaction:
    """A block for `with`, in a coroutine for `async with`; inside it is an SQLAlchemy Session.

    Left normally, the transaction stays open until the job's function has returned, and is committed together with the
    completion and the result. Left by an exception, or when the job does not complete, all is rolled back.
    """

    __slots__ = ("_committed", "_is_inside", "_is_undone", "_open_transaction", "_opened", "_stop")

    def __init__(self, open_transaction: Callable[[Stop], OpenTransaction], stop: Stop) -> None:
        """Call `open_transaction` with `stop` when the block is entered."""
        self._open_transaction = open_transaction
        self._stop = stop
        self._opened: Optional[OpenTransaction] = None
        self._is_inside = False
        self._is_undone = False
        self._committed: Optional[Committed] = None

    def __enter__(self) -> Any:
        """Wait for the write lock, begin, and return the session."""
        if _is_on_event_loop():
            raise TransactionStateError(
                "a coroutine waits for the write lock with `async with current_job().transaction()`; a plain `with` "
                "would block the other jobs of the event loop, among them perhaps the one that holds the lock"
            )
        self._check_fresh()
        return self._enter(self._open_transaction(self._stop))

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """Keep the transaction open for the completion; after an exception roll it back."""
        opened = self._opened
        assert opened is not None  # noqa: S101 - the block was entered
        self._is_inside = False
        if error is not None:
            self._undo(opened)
            return
        try:
            opened.flush()
        except BaseException:
            self._undo(opened)
            raise

    async def __aenter__(self) -> Any:
        """Wait for the write lock without blocking the event loop, begin, and return the session."""
        import asyncio

        self._check_fresh()
        # In a thread of its own: those of the loop's executor may be what the holder of the lock waits for.
        opening = asyncio.wrap_future(_start(self._open_transaction, self._stop))
        try:
            return self._enter(await asyncio.shield(opening))
        except asyncio.CancelledError:
            # The lock may still come. Whoever cancels has told `stop`, too, so that it does not stay.
            opening.add_done_callback(_close)
            raise

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """Do as at the end of a plain block."""
        self.__exit__(kind, error, trace)

    @property
    def committed(self) -> Optional[Committed]:
        """The outcome of the job, once it is on record."""
        return self._committed

    def complete(self, completed: Completed) -> Union[Completed, Committed]:
        """Commit with the completion of the job, and return the outcome that is left to report; for the runner.

        That is `completed` itself where the block was left by an exception that the job has caught, and where the job
        was taken from this worker: then the fence is closed for it, for ever.
        """
        opened = self._opened
        if opened is None or self._is_undone:
            return completed
        if self._is_inside:
            raise TransactionStateError("the function returned inside of its transaction's block; leave the block")
        if not opened.complete(completed):
            return completed
        self._committed = Committed(*completed[:4])
        return self._committed

    def close(self) -> None:
        """Roll back what was not committed; for the runner, when the try has ended."""
        if self._opened is not None:
            self._opened.close()

    def _undo(self, opened: OpenTransaction) -> None:
        self._is_undone = True
        opened.roll_back()

    def _check_fresh(self) -> None:
        if self._opened is not None:
            raise TransactionStateError("this block was entered before; a job has one transaction in each try")

    def _enter(self, opened: OpenTransaction) -> Any:
        self._opened = opened
        self._is_inside = True
        return opened.enter()


def _start(open_transaction: Callable[[Stop], OpenTransaction], stop: Stop) -> Future[OpenTransaction]:
    found: Future[OpenTransaction] = Future()

    def run() -> None:
        try:
            found.set_result(open_transaction(stop))
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            found.set_exception(error)

    threading.Thread(target=run, name="sqlite-job-opening", daemon=True).start()
    return found


def _is_on_event_loop() -> bool:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _close(opening: asyncio.Future[OpenTransaction]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
