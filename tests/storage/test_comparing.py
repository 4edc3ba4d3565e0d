"""Whatever two tables have, and however their rows come in batches, what is told of their differences mends them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sqlite_job.storage.moving import comparing
from sqlite_job.storage.moving.comparing import Checksum, changes_between, gathered, side_by_side

tables = st.dictionaries(st.integers(0, 30), st.sampled_from(["a", "b", "\0", None, b"a", 1.5]))
cuts = st.lists(st.integers(1, 5), min_size=1, max_size=20)


def key_of(row):
    return row[:1]


def batches(table, sizes):
    """Yield a table's rows in the order of the key, in batches of these sizes, which begin again."""
    rows, position = sorted(table.items()), 0
    while rows:
        size = sizes[position % len(sizes)]
        yield rows[:size]
        rows, position = rows[size:], position + 1


@given(tables, tables, cuts, cuts)
def test_the_changes_make_the_target_like_the_source(source, target, some, others):
    mended = dict(target)
    for wanted, found in side_by_side(batches(source, some), batches(target, others), key_of):
        changes = changes_between(wanted, found, key_of)
        assert (changes is None) == (wanted == found)
        for (key,) in changes.gone if changes else ():
            del mended[key]
        for key, value in changes.rows if changes else ():
            assert key not in mended, "it is deleted first"
            mended[key] = value
    assert mended == source


@given(tables, cuts, cuts)
def test_equal_tables_need_no_changes_however_they_are_cut(table, some, others):
    for wanted, found in side_by_side(batches(table, some), batches(table, others), key_of):
        assert changes_between(wanted, found, key_of) is None


@given(tables, tables, cuts, cuts)
def test_checksums_are_the_same_for_the_same_rows_only(one, other, some, others):
    first, second = Checksum(), Checksum()
    for rows in batches(one, some):
        first.add(rows)
    for rows in batches(other, others):
        second.add(rows)
    assert (str(first) == str(second)) == (sorted(one.items()) == sorted(other.items()))
    assert (first.rows, second.rows) == (len(one), len(other))


@given(tables, cuts)
def test_gathered_pages_have_the_same_rows_in_the_same_order(table, some):
    assert [row for rows in gathered(batches(table, some)) for row in rows] == sorted(table.items())


def test_large_rows_are_gathered_in_smaller_numbers(monkeypatch):
    monkeypatch.setattr(comparing, "MOST_BYTES", 100)
    pages = iter([[(1, b"x" * 99)], [(2, "y")], [(3, "z")]])
    assert [len(rows) for rows in gathered(pages)] == [2, 1]
