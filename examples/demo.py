"""Show the queue at work in about five seconds: `make demo`, or `python examples/demo.py`.

One person enqueues, two workers in processes of their own do the work, and the results come back. All of it happens in
a temporary folder, which is gone afterwards.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sqlite_job import (
    Backoff,
    JobFailedError,
    JobStatus,
    ResultTimeoutError,
    SQLiteJob,
    Worker,
    WorkerSettings,
    call,
    current_job,
    task,
)

SMALL_JOBS = 5_000
PAGES = 10
LONGEST = 60  # seconds that any wait may take, on however slow a machine

COLOURS = {
    JobStatus.PENDING: "yellow",
    JobStatus.SCHEDULED: "yellow",
    JobStatus.RUNNING: "cyan",
    JobStatus.COMPLETED: "green",
    JobStatus.FAILED: "red",
}


# ---- what the workers do --------------------------------------------------------------------------------------------


def add_numbers(a, b):
    return a + b


def process_data(items, multiplier=2):
    time.sleep(0.5)  # Simulate work
    return [item * multiplier for item in items]


def charge_card(amount):
    if current_job().tries == 1:
        raise ConnectionError("the bank does not answer")
    return f"charged {amount} on try {current_job().tries}"


def read_age(form):
    return int(form["age"])


async def fetch_page(number):
    await asyncio.sleep(0.3)  # Instead of a request
    return f"<h1>Page {number}</h1>"


class DefaultSettings(WorkerSettings):
    functions = [
        add_numbers,
        process_data,
        task(charge_card, max_tries=3, backoff=Backoff(first=0.3)),
        read_age,
    ]


class WebSettings(WorkerSettings):
    functions = [fetch_page]
    max_jobs = PAGES


SETTINGS = {"default": DefaultSettings, "web": WebSettings}


# ---- what the person sees -------------------------------------------------------------------------------------------


def main():
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="sqlite-job-demo-") as folder:
        database = Path(folder) / "jobs.db"
        started = time.perf_counter()
        tell_what_this_is(console)
        with workers(database) as processes:
            handles = enqueue(console, database)
            watch(console, handles, processes)
            show_failure(console, handles[-1])
            run_coroutines(console, database)
            run_many(console, database)
        show_log(console, database)
        tell_how_to_go_on(console, time.perf_counter() - started)


def tell_what_this_is(console):
    text = (
        "[bold]sqlite-job[/]: functions in, results out, from one SQLite file.\n"
        "This program enqueues. Two other processes are the workers."
    )
    console.print()
    console.print(Panel(text, border_style="cyan", expand=False))


def enqueue(console, database):
    heading(console, 1, "Enqueue: by function or by name")
    code(
        console,
        """
        jobs = SQLiteJob("default", DefaultSettings("jobs.db"))
        jobs.enqueue(add_numbers, 10, 20)
        jobs.enqueue("process_data", [1, 2, 3, 4], multiplier=3)
        jobs.enqueue(charge_card, 42)  # fails on its first try of three
        jobs.enqueue(read_age, {"age": "unknown"})  # fails, and has one try only
        """,
    )
    jobs = SQLiteJob("default", DefaultSettings(database))
    return [
        jobs.enqueue(add_numbers, 10, 20),
        jobs.enqueue("process_data", [1, 2, 3, 4], multiplier=3),
        jobs.enqueue(charge_card, 42),
        jobs.enqueue(read_age, {"age": "unknown"}),
    ]


def watch(console, handles, processes):
    heading(console, 2, "Watch: the workers take the jobs, the file tells how they are")
    if not console.is_terminal:
        wait_for(handles, processes)
        console.print(picture(handles))
        return
    with Live(picture(handles), console=console, auto_refresh=False) as live:
        wait_for(handles, processes, lambda: live.update(picture(handles), refresh=True))


def wait_for(handles, processes, show=lambda: None):
    while not all(handle.status().is_final for handle in handles):
        if any(process.poll() is not None for process in processes):
            sys.exit("A worker has ended before its time.")
        time.sleep(0.05)  # one picture after the other, for the eyes
        show()


def picture(handles):
    table = Table("Job", "Call", "Status", "Tries", "Result or error")
    for handle in handles:
        info = handle.info()
        table.add_row(
            f"...{info.id[-6:]}",
            Text(f"{info.function}({info.arguments})"),
            Text(info.status, style=COLOURS.get(info.status, "")),
            str(info.tries),
            Text(info.result or info.error or ""),
        )
    return table


def show_failure(console, handle):
    heading(console, 3, "A failure: raised where you wait, with the worker's traceback")
    code(console, "job.result()")
    try:
        handle.result(timeout=LONGEST)
    except JobFailedError as error:
        *lines, last = error.traceback.rstrip().splitlines()
        excerpt = Text.assemble(("\n".join(lines), "dim"), ("\n" + last, "bold red"))
        console.print(Panel(excerpt, title=f"JobFailedError: {error.error_type}", border_style="red", expand=False))


def run_coroutines(console, database):
    heading(console, 4, "Async: coroutine functions share one event loop")
    code(console, f"jobs.enqueue_many([call(fetch_page, n) for n in range({PAGES})])  # 0.3 s each")
    jobs = SQLiteJob("web", WebSettings(database))
    jobs.enqueue(fetch_page, 0).result(timeout=LONGEST)  # the worker is there: the start of its process is not measured
    started = time.perf_counter()
    handles = jobs.enqueue_many([call(fetch_page, number) for number in range(PAGES)])
    pages = [handle.result(timeout=LONGEST) for handle in handles]
    seconds = time.perf_counter() - started
    console.print(f"   {len(pages)} pages after [bold green]{seconds:.2f} s[/], the last one is {pages[-1]}")


def run_many(console, database):
    heading(console, 5, f"Speed: {SMALL_JOBS:,} small jobs through one worker, results on disk")
    jobs = SQLiteJob("default", DefaultSettings(database))
    calls = [call(add_numbers, number, number) for number in range(SMALL_JOBS)]
    started = time.perf_counter()
    handles = jobs.enqueue_many(calls)
    enqueued = time.perf_counter()
    wait_for_all(console, jobs, handles)
    done = time.perf_counter()
    right = sum(handle.result() == 2 * number for number, handle in enumerate(handles))
    for verb, seconds in (("enqueued", enqueued - started), ("worked off", done - enqueued)):
        rate = f"{SMALL_JOBS / seconds:>8,.0f}"
        console.print(f"   {verb:<10} in {seconds:.2f} s: [bold green]{rate}[/] jobs a second")
    console.print(f"   {right:,} of {SMALL_JOBS:,} results are right")


def wait_for_all(console, jobs, handles):
    with console.status("at work", spinner="line") as status:
        while True:
            try:
                handles[-1].result(timeout=0.1)
                break
            except ResultTimeoutError:
                status.update(f"{jobs.counts()[JobStatus.PENDING]:,} wait")
    # Ten run at once, so the last one in the queue need not be the last to end.
    for info in [*jobs.list_jobs(status="pending"), *jobs.list_jobs(status="running")]:
        jobs.job(info.id).result(timeout=LONGEST)


def show_log(console, database):
    heading(console, 6, "The log of the first worker, which has stopped cleanly")
    log = log_of(database, "default").read_text().splitlines()
    lines = [line for line in log if line[:1].isdigit()]  # those with a time: no tracebacks
    for line in [*lines[:5], "...", *lines[-1:]]:
        console.print(Text(f"   {line}", style="dim"), overflow="crop", no_wrap=True)


def tell_how_to_go_on(console, seconds):
    heading(console, 7, f"That was all, in {seconds:.1f} s. How to go on")
    table = Table.grid(padding=(0, 3))
    table.add_row("   README.md", "what it is, and a quick start of four small files")
    table.add_row("   docs/tutorial.md", "from the first job to a web app, step by step")
    table.add_row("   examples/", "small programs, each on one subject")
    table.add_row("   make test", "the whole suite")
    console.print(table)
    console.print()


def heading(console, number, text):
    console.print()
    console.print(f"[bold cyan]{number}.[/] [bold]{text}[/]")


def code(console, text):
    for line in text.strip().splitlines():
        statement, mark, comment = line.strip().partition("  # ")
        console.print(Text.assemble("   ", (statement, "green"), (mark + comment, "dim")))


# ---- the workers' processes -----------------------------------------------------------------------------------------


@contextmanager
def workers(database):
    """Run a worker for each queue; stop them at the end, however it comes."""
    processes = [start_worker(database, queue) for queue in SETTINGS]
    try:
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(LONGEST)


def start_worker(database, queue):
    with log_of(database, queue).open("w") as log:
        return subprocess.Popen([sys.executable, __file__, "worker", queue, str(database)], stderr=log)


def log_of(database, queue):
    return database.parent / f"{queue}.log"


def work(queue, database):
    Worker(queue, SETTINGS[queue](database)).run()


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        work(*sys.argv[2:])
    else:
        main()
