"""Tables as aligned text."""

import pytest

from distml.step.text_table import table


def test_columns_of_numbers_are_right_aligned_others_left() -> None:
    rows = [("model", "images/s", "share", ""), ("plain", "9,185", "91.2%", "winner"), ("b", "12,438", "", "-")]
    assert table(rows).splitlines() == [
        "model  images/s  share",
        "-----  --------  -----  ------",
        "plain     9,185  91.2%  winner",
        "b        12,438         -",
    ]


@pytest.mark.parametrize("cell", ["Coat", "1d8c7aff0d8c", "2026-11-27 03:00:00", "Dress 17.0%", "distml-5hnr9", "-"])
def test_a_column_with_a_text_is_left_aligned(cell: str) -> None:
    assert table([("a long heading",), ("1",), (cell,)]).splitlines()[2:] == ["1", cell]


@pytest.mark.parametrize("cell", ["7", "-0.5", "+1", "1,234.5", "24 s", "100.0%"])
def test_a_column_of_numbers_with_units_is_right_aligned(cell: str) -> None:
    assert table([("a long heading",), ("",), (cell,)]).splitlines()[2:] == ["", cell.rjust(14)]


def test_a_heading_alone_is_a_table() -> None:
    assert table([("kind", "count")]) == "kind  count\n----  -----"
