"""Pixels sent as numbers: the accepted types, and the sentences that name a mistake."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distml.protocol.contract import BadInput
from distml.protocol.pixels import pixels_of_array, pixels_of_numbers
from support.request_strategies import JSON

DATATYPES = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
MISTAKES: list[tuple[list[Any], str]] = [
    ([0, 0.25, 1], "these are between 0 and 1, such as 0.25; multiply them by 255 and round them"),
    ([-0.0, 1.0], "these are between 0 and 1, such as 1.0; multiply them by 255 and round them"),
    ([1, 1.0], "these are between 0 and 1, such as 1.0; multiply them by 255 and round them"),
    ([0.0, 12.5, 255.0], "12.5 is not whole; round it"),
    ([3, -1], "the smallest is -1; send them as the image has them, without normalisation"),
    ([0.5, -0.5], "the smallest is -0.5; send them as the image has them, without normalisation"),
    ([0, 256], "the largest is 256"),
    ([0.5, 512.0], "the largest is 512"),
    ([2**64], "the largest is 1.8446744073709552e+19"),
    ([0, float("nan")], "one of them is NaN or infinite"),
    ([0, float("-inf")], "one of them is NaN or infinite"),
    ([0, None], "one of them is null"),
    ([0, True], "one of them is true or false"),
    ([0, "7"], "one of them is a string"),
    ([0, [7]], "one of them is a list"),
    ([{}, {}], "one of them is an object"),
]


@pytest.mark.parametrize("values", [[0, 7, 255], [0.0, 7.0, 255.0], [0, 7.0, 255], [-0.0, 7, 255]])
def test_whole_numbers_from_0_to_255_are_pixels(values: list) -> None:
    assert pixels_of_numbers(values) == bytes([0, 7, 255])


@pytest.mark.parametrize("values", [[0, 1], [1], [0.0], [-0.0, 0], [0.0, 2.0], [1, 1.0, 2]])
def test_dark_pixels_are_accepted_unless_they_are_floats_up_to_1(values: list) -> None:
    assert pixels_of_numbers(values) == bytes(map(int, values))


def test_integers_that_a_request_declares_as_floats_are_floats() -> None:
    assert pixels_of_numbers([0, 255], are_floats=True) == bytes([0, 255])
    with pytest.raises(BadInput, match="these are between 0 and 1, such as"):
        pixels_of_numbers([0, 1], are_floats=True)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_arrays_of_every_numeric_type_hold_pixels(datatype: str) -> None:
    values = np.arange(128 if datatype == "int8" else 256)
    assert pixels_of_array(values.astype(datatype)) == bytes(values.tolist())


@pytest.mark.parametrize(("values", "mistake"), MISTAKES)
def test_the_sentence_names_the_mistake_in_pixels(values: list, mistake: str) -> None:
    with pytest.raises(BadInput) as caught:
        pixels_of_numbers(values)
    assert str(caught.value) == f"pixels must be whole numbers from 0 to 255; {mistake}"


@pytest.mark.parametrize("datatype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("values", "mistake"), [each for each in MISTAKES if type(each[0][-1]) is float])
def test_arrays_get_the_sentence_of_lists(values: list, mistake: str, datatype: str) -> None:
    with pytest.raises(BadInput) as caught:
        pixels_of_array(np.array(values, datatype))
    assert str(caught.value) == f"pixels must be whole numbers from 0 to 255; {mistake}"


@settings(max_examples=300, deadline=None)
@given(st.lists(JSON | st.integers(-1, 256) | st.floats(width=16), max_size=6))
def test_any_list_gives_its_pixels_or_one_sentence(values: list) -> None:
    try:
        assert list(pixels_of_numbers(values)) == values
    except BadInput as error:
        assert str(error).startswith("pixels must be whole numbers from 0 to 255; ") and len(str(error)) < 200
