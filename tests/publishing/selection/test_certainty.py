"""The certainty of comparisons, against published worked examples and against brute force."""

import itertools

import numpy as np
import pytest

from distml.publishing.selection import certainty


def right(*counts: tuple[int, bool]) -> np.ndarray:
    return np.concatenate([np.full(count, value) for count, value in counts])


def test_the_interval_is_wilsons() -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    assert certainty.interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert certainty.interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert certainty.interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert certainty.interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_the_interval_of_a_perfect_model_ends_at_1() -> None:
    low, high = certainty.interval(5000, 5000)
    assert high == 1.0 and 0.999 < low < 1


def test_models_that_differ_on_no_image_are_equal() -> None:
    same = right((90, True), (10, False))
    assert certainty.mcnemar(same, same) == 1.0


def test_the_exact_test_counts_coin_tosses() -> None:
    # 8 heads in 10 tosses or more, or 2 or fewer: 2 * (1 + 10 + 45) / 1024.
    one = right((100, True), (8, True), (2, False))
    other = right((100, True), (8, False), (2, True))
    assert certainty.mcnemar(one, other) == certainty.mcnemar(other, one) == 112 / 1024


def test_the_exact_test_equals_a_count_of_all_outcomes() -> None:
    for tosses, heads in itertools.product(range(9), range(9)):
        if heads <= tosses:
            one = right((heads, True), (tosses - heads, False))
            outcomes = [sum(toss) for toss in itertools.product((0, 1), repeat=tosses)]
            as_far = [abs(2 * sum_ - tosses) >= abs(2 * heads - tosses) for sum_ in outcomes]
            assert certainty.mcnemar(one, ~one) == pytest.approx(np.mean(as_far))


def test_thousands_of_differing_images_do_not_overflow() -> None:
    one = right((2600, True), (2400, False))
    assert certainty.mcnemar(one, ~one) == pytest.approx(0.00487, abs=5e-5)


def test_holm_adjusts_by_the_number_of_tests_left_and_keeps_the_order() -> None:
    assert certainty.holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert certainty.holm({"a": 0.7, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert certainty.holm({}) == {}
