from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import child
from benchmarks.__main__ import BEGIN, END
from benchmarks.check import WrongWorkError
from benchmarks.compare import charts, tables
from benchmarks.compare.catalogue import SYSTEMS
from benchmarks.compare.checking import check_ran, check_results
from benchmarks.compare.comparison import METRICS, Comparison, Failure, from_json
from benchmarks.compare.ledger import Entry, Ledger
from benchmarks.compare.place import Place
from benchmarks.compare.runs import sample_size
from benchmarks.compare.sizes import FULL

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    written, document = folder / "results.json", folder / "benchmarks.md"
    document.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    place = folder / "place"
    place.mkdir()
    options = ["--system", "sqlite-job", "--tiny", "--folder", str(place), "--json", str(written)]
    ran = run(*options, "--document", str(document), "--charts", str(folder / "charts"))
    assert ran.returncode == 0, ran.stderr
    return folder, json.loads(written.read_text()), ran


def test_comparison_measures_each_figure_of_a_system(measured):
    _, results, _ = measured

    samples = results["samples"]["sqlite-job"]
    assert set(samples) == {metric.name for metric in METRICS}
    assert all(len(values) == 1 for values in samples.values())
    may_be_nothing = {"idle_cpu", "kill_lost", "kill_held", "kill_twice"}
    assert all(samples[name][0] > 0 for name in set(samples) - may_be_nothing)
    assert results["failures"] == []
    assert results["left_out"] == {}


def test_a_killed_worker_of_ours_loses_nothing(measured):
    _, results, _ = measured

    samples = results["samples"]["sqlite-job"]
    assert (samples["kill_lost"], samples["kill_held"]) == ([0], [0])


def test_comparison_writes_document_and_charts_and_leaves_nothing_behind(measured):
    folder, _, ran = measured

    document = (folder / "benchmarks.md").read_text()
    assert document.startswith(f"before\n{BEGIN}\n![enqueue, one by one; ")
    assert "](charts/compare-kill.svg)\n\n### Jobs a second\n" in document
    assert document.endswith(f"{END}\nafter\n")
    assert {path.name for path in (folder / "charts").iterdir()} == set(charts.CHARTS)
    assert list((folder / "place").iterdir()) == []
    assert "round 1 of 1: drain" in ran.stderr


def test_system_that_cannot_be_had_is_left_out_loudly(tmp_path):
    (tmp_path / "huey.py").write_text("raise ImportError('no huey here')\n")
    written = tmp_path / "results.json"

    ran = run("enqueue", "--system", "huey", "--tiny", "--json", str(written), PYTHONPATH=str(tmp_path))

    assert "LEFT OUT: huey: ImportError: no huey here" in ran.stderr
    assert json.loads(written.read_text())["left_out"] == {"huey": "ImportError: no huey here"}
    assert "huey was left out: ImportError: no huey here" in ran.stdout


def test_unknown_system_is_refused_with_the_names_there_are():
    ran = run("--system", "hoey")

    assert ran.returncode == 2
    assert "there is no 'hoey'; there is sqlite-job; " in ran.stderr


def started(*numbers):
    return [Entry(has_ended=False, process=1, number=number, at=number) for number in numbers]


def test_check_accepts_each_job_once_with_its_result():
    check_ran(started(1, 0, 2), 3)
    check_results([0, 1, 2], 3)
    check_results(None, 3)  # who stores none


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (started(0, 1), "1 of 3 jobs never ran, as number 2"),
        (started(0, 1, 2, 1), "1 of 3 jobs ran more than once, as number 1"),
        (started(0, 1, 2, 3), "4 jobs ran, and 3 were asked for"),
        ([], "3 of 3 jobs never ran, as number 0"),
    ],
)
def test_check_notices_a_lost_or_repeated_job(entries, message):
    with pytest.raises(WrongWorkError, match=message):
        check_ran(entries, 3)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([0, None, 2], "1 of 3 results are wrong or missing: job 1 has the result None"),
        ([0, 2, 1], "2 of 3 results are wrong or missing: job 1 has the result 2"),
        ([0, 1], "2 results for 3 jobs"),
    ],
)
def test_check_notices_a_wrong_or_missing_result(results, message):
    with pytest.raises(WrongWorkError, match=message):
        check_results(results, 3)


def test_ledger_holds_the_first_job_of_a_process_until_the_gate_opens(tmp_path):
    ledger = Ledger(str(tmp_path / "ledger"))
    job = threading.Thread(target=ledger.start, args=(7,), daemon=True)
    job.start()
    deadline = threading.Event()
    while ledger.ready() != {f"ledger.ready-{os.getpid()}"}:
        assert not deadline.wait(0.01)
        assert job.is_alive()
    before = ledger.count()

    opened = ledger.open_gate()
    job.join(10)
    ledger.end(7)

    assert before == 0
    (start, end) = ledger.read()
    assert (start.has_ended, start.number, end.has_ended, end.number) == (False, 7, True, 7)
    assert opened <= start.at <= end.at


def test_place_goes_through_the_environment_to_a_worker(tmp_path):
    chosen = Place("huey", "full", "/some/where.db", str(tmp_path), str(tmp_path / "ledger"), "nap", 50)
    code = "from benchmarks.compare import place; print(list(place.here()))"

    shown = subprocess.check_output(
        [sys.executable, "-c", f"from benchmarks.compare import place, workers\n{START.format(list(chosen), code)}"],
        cwd=str(child.ROOT),
        text=True,
    )

    assert shown.strip() == str(list(chosen))


START = """
import sys, subprocess
chosen = place.Place(*{0!r})
print(subprocess.check_output([sys.executable, "-c", {1!r}], env=place.environment(chosen), text=True).strip())
"""


@pytest.fixture
def compared():
    """Two systems by hand: the peer is quicker at one thing, and never done after a kill."""
    facts = {"documentation": "https://example.org", "durability": "some", "setup": "so", "version": "1", "marks": []}
    peer = {**facts, "marks": ["stores no results"]}
    made = Comparison(
        {"date": "today", "kill limit": "60"},
        [{"name": "sqlite-job", **facts}, {"name": "peer", **peer}],
        {"absent": "no server"},
    )
    for ours, theirs in ((100.0, 40.0), (300.0, 50.0), (200.0, 60.0)):
        made.add("sqlite-job", {"drain": ours, "p50": 2.0, "kill_seconds": 0.5, "kill_lost": 0})
        made.add("peer", {"drain": theirs, "p50": 0.25, "kill_seconds": None, "kill_lost": 3})
    made.failures.append(Failure("peer", "io", "it failed\nwith words"))
    return made


def test_table_shows_median_and_range_and_marks_the_best(compared):
    text = tables.as_markdown(compared)

    speeds, _, killed = (part for part in text.split("\n\n") if part.startswith("|  | ") and "| peer \\* |" in part)
    assert "| sqlite-job | **200 (100-300)** |" in speeds
    assert "| peer \\* | 50 (40-60) |" in speeds
    assert "| sqlite-job | **0.50** | **0** |" in killed
    assert "| peer \\* | not within 60 s | 3 |" in killed
    assert "stores no results" in text


def test_table_says_where_another_one_is_best_and_who_is_missing(compared):
    text = tables.as_markdown(compared)

    assert "- enqueue to start, p50: peer\n" in text
    assert "- run no-ops, one worker" not in text
    assert "- absent was left out: no server" in text
    assert "- peer, io: a sample is missing: it failed" in text


def test_comparison_is_the_same_when_it_is_read_again(compared):
    again = from_json(compared.as_json())

    assert again.as_json() == compared.as_json()
    assert tables.as_markdown(again) == tables.as_markdown(compared)


def test_what_ended_in_most_rounds_has_a_median_and_what_did_not_has_none(compared):
    compared.samples["peer"]["kill_seconds"] = [1.0, None, 2.0]
    assert compared.middle("peer", "kill_seconds") == 2.0

    compared.samples["peer"]["kill_seconds"] = [1.0, None, None]
    assert compared.middle("peer", "kill_seconds") is None
    assert "not within 60 s (1 of 3 were)" in tables.as_markdown(compared)


def test_chart_has_a_bar_for_each_system_in_both_colour_schemes(compared):
    drawn = charts.draw(compared, ["drain", "kill_seconds"])

    root = ET.fromstring(drawn)
    space = {"svg": "http://www.w3.org/2000/svg"}
    widths = [float(bar.get("width")) for bar in root.iterfind("svg:rect", space)]
    texts = [text.text for text in root.iterfind("svg:text", space)]
    assert widths[0] == pytest.approx(4 * widths[1], rel=0.01)  # 200 and 50 jobs a second
    assert len(widths) == 3  # who never ended has a text in the place of its bar
    assert "not within 60 s" in texts
    assert texts.count("sqlite-job") == texts.count("peer") == 2
    assert "prefers-color-scheme: dark" in drawn
    assert "background" not in drawn


def test_chart_of_what_was_not_measured_is_not_written(compared, tmp_path):
    written = charts.write(compared, tmp_path)

    assert {path.name for path in written} == {
        "compare.svg",
        "compare-throughput.svg",
        "compare-waiting.svg",
        "compare-kill.svg",
    }


def test_each_system_says_how_safe_it_is_and_where_its_setup_is_documented():
    folder = Path(child.ROOT) / "benchmarks" / "compare" / "systems"
    for system in SYSTEMS:
        assert (folder / f"{system.module}.py").is_file()
        assert system.durability
        assert system.setup
        assert system.documentation.startswith("https://") or (child.ROOT / system.documentation).is_file()
    assert len({system.name for system in SYSTEMS}) == len(SYSTEMS)


@pytest.mark.parametrize(
    ("pace", "most", "jobs"),
    [(1_500, 1_000_000, 2_250), (1_500, 2_000, 2_000), (30, 1_000_000, FULL.least_jobs)],
)
def test_sample_has_as_many_jobs_as_keep_a_system_busy(pace, most, jobs):
    assert sample_size(pace, most, FULL) == jobs


def run(*arguments, **variables):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.compare", *arguments],
        cwd=str(child.ROOT),
        env={**child.environment(), "PYTHONIOENCODING": "utf-8", **variables},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
