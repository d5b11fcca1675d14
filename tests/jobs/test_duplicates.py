"""The table of seen ids."""

from hypothesis import given
from hypothesis import strategies as st

from asyncapi.jobs.duplicates import SeenIds


@given(st.lists(st.text(max_size=3), max_size=200))
def test_gives_the_first_row_of_every_id(names: list[str]) -> None:
    """As a dictionary would."""
    seen, expected = SeenIds(len(names)), dict[str, int]()
    try:
        for row, name in enumerate(names, 1):
            assert seen.first(name, row) == expected.setdefault(name, row)
    finally:
        seen.close()


def test_holds_as_many_ids_as_it_was_made_for() -> None:
    """At its greatest load, around its end."""
    seen = SeenIds(20_000)

    assert all(seen.first(f"id-{i}", i) == i for i in range(1, 20_001))
    assert all(seen.first(f"id-{i}", 99_999) == i for i in range(1, 20_001))
    seen.close()
