"""Hold the code of the README this project began with, word for word: all of it works, and goes on working."""

from __future__ import annotations

MY_TASKS = """\
# my_tasks.py
import time
from sqlite_job.settings import WorkerSettings

def add_numbers(a, b):
    return a + b

def process_data(items, multiplier=2):
    time.sleep(1)  # Simulate work
    return [x * multiplier for x in items]

class MyWorkerSettings(WorkerSettings):
    functions = [add_numbers, process_data]
"""

ENQUEUE_JOBS = """\
# enqueue_jobs.py
from sqlite_job.connections import SQLiteJob

job_conn = SQLiteJob("default")

# Enqueue jobs using simple function names
job1 = job_conn.enqueue("add_numbers", 10, 20)
job2 = job_conn.enqueue("process_data", [1, 2, 3, 4], multiplier=3)

print(f"Enqueued jobs: {job1}, {job2}")
"""

# The two spaces behind the name were there.
WORKER = f"""\
# worker.py{"  "}
from sqlite_job.worker import Worker
from my_tasks import MyWorkerSettings

# Workers require WorkerSettings
worker = Worker("default", MyWorkerSettings())
worker.run()  # Runs forever, processing jobs
"""

GET_RESULTS = """\
from sqlite_job.connections import SQLiteJob

job_conn = SQLiteJob("default")
result = job_conn.get_job_result(job_id)
print(result)  # 30 for the add_numbers job
"""

QUICK_START = (MY_TASKS, ENQUEUE_JOBS, WORKER, GET_RESULTS)

# What follows names things that its reader has, as `my_function`.

SETTINGS_PATTERN = """\
class MyWorkerSettings(WorkerSettings):
    functions = [
        my_function,
        another_function,
        # Add all your job functions here
    ]

# This is mandatory - no Worker() without settings
worker = Worker("queue_name", MyWorkerSettings())
"""

MULTIPLE_QUEUES = """\
# Different queues for different types of work
email_job = SQLiteJob("email").enqueue("send_email", "user@example.com")
data_job = SQLiteJob("data_processing").enqueue("analyze_data", dataset)

# Run workers for specific queues
email_worker = Worker("email", EmailWorkerSettings())
data_worker = Worker("data_processing", DataWorkerSettings())
"""

ERROR_HANDLING = """\
def might_fail():
    raise ValueError("Something went wrong")

class MySettings(WorkerSettings):
    functions = [might_fail]

# Job will be marked as FAILED, worker continues
job_conn.enqueue("might_fail")
"""
