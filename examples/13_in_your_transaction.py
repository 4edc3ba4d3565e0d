"""One transaction for an order and its job, and one for a job and what it writes: nothing half done, nothing twice."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from sqlite_job import Backoff, JobNotFoundError, SQLiteJob, Worker, WorkerSettings, current_job, task


def ship(order_id):
    with current_job().transaction() as session:
        # Committed together with the completion of this job; rolled back, if it fails below.
        session.execute(text("UPDATE stock SET pieces = pieces - 1"))
        session.execute(text("UPDATE orders SET shipped = 1 WHERE id = :id"), {"id": order_id})
    if current_job().tries == 1:
        raise ConnectionError("the printer of labels does not answer")
    return f"order {order_id} shipped on try {current_job().tries}"


class Settings(WorkerSettings):
    functions = [task(ship, max_tries=2, backoff=Backoff(first=0.1))]


def place_order(engine, jobs, item, *, pays):
    with Session(engine) as session:
        order_id = session.scalar(text("INSERT INTO orders (item) VALUES (:item) RETURNING id"), {"item": item})
        job = jobs.with_options(session=session).enqueue(ship, order_id)
        if pays:
            session.commit()  # the order and the job
        return job


def look(engine, query):
    with engine.connect() as connection:
        return connection.execute(text(query)).scalar()


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shop.db"
        settings = Settings(path)
        jobs = SQLiteJob("default", settings)
        print(f"Jobs so far: {len(jobs.list_jobs())}")
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT, shipped INTEGER)"))
            connection.execute(text("CREATE TABLE stock (pieces INTEGER)"))
            connection.execute(text("INSERT INTO stock VALUES (10)"))

        forgotten = place_order(engine, jobs, "lamp", pays=False)
        try:
            forgotten.info()
        except JobNotFoundError:
            print("Rolled back: neither an order nor a job")

        job = place_order(engine, jobs, "chair", pays=True)
        with Worker("default", settings).running_in_background():
            print(f"Committed: {job.result(timeout=10)}")
        print("Orders shipped:", look(engine, "SELECT sum(shipped) FROM orders"))
        print("Left of 10 in stock, though the job ran twice:", look(engine, "SELECT pieces FROM stock"))
        engine.dispose()


if __name__ == "__main__":
    main()
