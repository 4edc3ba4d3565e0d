"""Answer a web request at once, and do the work behind it: enqueue in one request, ask for the result in another."""

from __future__ import annotations

import json
import tempfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from sqlite_job import JobNotFoundError, JobStatus, SQLiteJob, Worker, WorkerSettings


def make_report(title):
    return f"# {title}\n\nAll is well."


class Settings(WorkerSettings):
    functions = [make_report]


def make_handler(jobs):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            job = jobs.enqueue(make_report, body["title"])
            self.answer(202, {"job": job})

        def do_GET(self):
            job = jobs.job(self.path.rpartition("/")[2])
            try:
                status = job.status()
            except JobNotFoundError:
                self.answer(404, {"error": "no such report"})
                return
            self.answer(200, {"status": status, "report": job.result() if status is JobStatus.COMPLETED else None})

        def answer(self, code, content):
            body = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Print nothing."""

    return Handler


@contextmanager
def serving(jobs):
    with ThreadingHTTPServer(("127.0.0.1", 0), make_handler(jobs)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def fetch(url, content=None):
    data = None if content is None else json.dumps(content).encode()
    try:
        with urlopen(Request(url, data), timeout=10) as response:  # noqa: S310 - our own server
            return response.status, json.load(response)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def main():
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder) / "jobs.db")
        jobs = SQLiteJob("default", settings)
        with serving(jobs) as url:
            code, answer = fetch(f"{url}/reports", {"title": "Monday"})
            job = answer["job"]
            print(f"POST /reports: {code}, a job of {len(job)} characters")
            print(f"GET /reports/JOB: {fetch(f'{url}/reports/{job}')}")
            print(f"GET /reports/unknown: {fetch(f'{url}/reports/unknown')}")

            # Here the worker lives in the web app; as a process of its own it would outlive the app's restarts.
            with Worker("default", settings).running_in_background():
                jobs.job(job).result(timeout=10)
            print(f"GET /reports/JOB: {fetch(f'{url}/reports/{job}')}")


if __name__ == "__main__":
    main()
