"""Agreements of real workers: on the precision, and on the mean of a training step."""

import itertools
import json
from typing import Any

import pytest

from support.groups import run_in_group

# For each (wanted, able) of this worker: the precision that the group agrees on, or the message of the refusal.
AGREE = """
import contextlib, io
from distml.step import outcome
from distml.training import precision
from distml.training.group import agreement
results = []
for wanted, able in json.loads(sys.argv[2]):
    precision.of_this_machine = lambda: "bfloat16" if able else "float32"
    precision.has_instructions = lambda: able
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        try:
            results.append(agreement.on_precision(strategy, wanted))
            agreement.announce(results[-1], index)
        except outcome.StepError as error:
            results.append(str(error))
    results.append(output.getvalue())
print(json.dumps(results))
"""
CASES: list[tuple[tuple[str, bool], tuple[str, bool], str]] = [
    (("auto", True), ("auto", True), "bfloat16"),
    (("auto", True), ("auto", False), "float32"),
    (("auto", False), ("auto", True), "float32"),
    (("auto", False), ("auto", False), "float32"),
    (("bfloat16", True), ("auto", False), "bfloat16"),
    (("auto", True), ("float32", True), "float32"),
    (("bfloat16", False), ("bfloat16", False), "bfloat16"),
]
DIFFERENT = (("float32", True), ("bfloat16", True))


@pytest.fixture(scope="module")
def agreed() -> list[list[Any]]:
    """Return what each of two workers agreed on and printed, case by case, the last of them being `DIFFERENT`."""
    cases = [*((first, second) for first, second, _ in CASES), DIFFERENT]
    return run_in_group(AGREE, 2, [json.dumps(wanted) for wanted in zip(*cases, strict=True)])


def test_bfloat16_needs_every_workers_processor_or_an_order(agreed: list[list[Any]]) -> None:
    for output in agreed:
        assert output[0:-2:2] == [expected for *_, expected in CASES]


def test_workers_started_with_different_precisions_are_refused(agreed: list[list[Any]]) -> None:
    message = "the workers were started with different precisions (bfloat16, float32); give all the same --precision"
    assert [output[-2] for output in agreed] == [message, message]


def test_a_worker_without_the_instructions_warns_that_bfloat16_is_slow(agreed: list[list[Any]]) -> None:
    for output, position in zip(agreed, (0, 1), strict=True):
        for case, printed in zip(CASES, output[1::2], strict=False):
            slow = case[2] == "bfloat16" and not case[position][1]
            assert ("will be slow" in printed) == slow
            assert (f"worker {position}: training in {case[2]} on " in printed) == (slow or position == 0)


# The mean of eight tensors of several shapes by one gather and by TensorFlow's ring, as hexadecimal bytes.
MEAN = """
from distml.training.group import mean
random = tf.random.stateless_normal
shapes = [[], [3], [5, 7], [3, 3, 8, 2], [10]]
values = [random(shape, seed=[index, number]) for number, shape in enumerate(shapes)]
results = []
for mean.GATHER_UP_TO in (group.size, 1):
    step = tf.function(lambda: mean.over_workers([tf.identity(value) for value in values]))
    for _ in range(2):
        parts = [strategy.experimental_local_results(part)[0] for part in strategy.run(step)]
        results.append([[list(part.shape), part.numpy().tobytes().hex()] for part in parts])
print(json.dumps(results))
"""


@pytest.mark.parametrize("workers", [2, 3])
def test_every_worker_gets_the_same_mean_by_gather_and_by_ring(workers: int) -> None:
    outputs = run_in_group(MEAN, workers)
    gathered = [output[:2] for output in outputs]
    ring = [output[2:] for output in outputs]
    for way in (gathered, ring):
        assert all(result == way[0][0] for result in itertools.chain(*way))
    if workers == 2:  # with more workers the order of the additions differs, and with it the last bit
        assert gathered == ring
    assert [shape for shape, _ in gathered[0][0]] == [[], [3], [5, 7], [3, 3, 8, 2], [10]]
