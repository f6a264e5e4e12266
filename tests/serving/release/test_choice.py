"""The guarded predictor's choice of the next version, from the folder and the history."""

import pytest

from distml.publishing.versions.history import Event, Record, State
from distml.serving.release import choice
from support.fake_versions import right
from support.fake_versions import version as fake_version


def state(released: int | None = None, *withdrawn: int, digest: str | None = None, before: int | None = None) -> State:
    records = {number: Record(9, Event.WITHDRAWN, number, "noon", "blurred") for number in withdrawn}
    published = {3: Record(1, Event.PUBLISHED, 3, "noon", facts={"digest": digest})} if digest else {}
    return State(published, records, released, 9, before)


@pytest.mark.parametrize(
    ("released", "order"), [(None, [4, 3, 2, 1]), (2, [2, 1, 3, 4]), (4, [4, 3, 2, 1]), (9, [4, 3, 2, 1])]
)
def test_a_start_prefers_the_released_version_then_older_ones(released: int | None, order: list[int]) -> None:
    assert choice.order_at_the_start([4, 3, 2, 1], released) == order


@pytest.mark.parametrize(
    ("current", "offered", "released", "order"),
    [
        (2, [4, 3, 2, 1], 2, [4, 3, 2]),
        (4, [3, 2, 1], 2, [2, 3, 2, 1]),
        (4, [3, 2, 1], None, [3, 2, 1]),
        (2, [4, 3, 1], None, [1, 4, 3]),
        (2, [], None, []),
    ],
)
def test_newer_versions_follow_one_that_is_offered(
    current: int, offered: list[int], released: int | None, order: list[int]
) -> None:
    assert choice.order_after(current, offered, state(released)) == order


@pytest.mark.parametrize(("released", "number"), [(3, 3), (2, None), (1, None), (5, None), (None, None)])
def test_only_a_newer_release_that_is_offered_takes_over(released: int | None, number: int | None) -> None:
    assert choice.newer_release(2, [4, 3, 2, 1], released) == number


@pytest.mark.parametrize(
    ("version", "offered", "decided", "reason"),
    [
        (3, [3, 2], state(2), ""),
        (3, [3, 2], state(3), "the history says that it is released"),
        (3, [3, 2], state(3, digest="digest 3"), "the history says that it is released"),
        (3, [3, 2], state(3, digest="another"), ""),
        (1, [3, 1], state(1, 2), "version 2 was withdrawn"),
        (3, [3], state(None, 2), "version 2 was withdrawn"),
        (1, [1], state(None), "version 2 was removed"),
        (3, [3], state(None), ""),
    ],
)
def test_only_the_history_or_a_missing_version_spares_a_trial(
    version: int, offered: list[int], decided: State, reason: str
) -> None:
    assert choice.why_without_trial(fake_version(version, right), 2, offered, decided) == reason


@pytest.mark.parametrize(
    ("decided", "as_published", "trusted"),
    [
        (state(None), [1, 2, 3], None),
        (state(3, before=2), [2, 3], 3),
        (state(3, before=2), [2], 2),
        (state(3, before=2), [1], 0),
        (state(3), [1, 2], 0),
    ],
)
def test_a_released_version_with_other_files_is_not_trusted(
    decided: State, as_published: list[int], trusted: int | None
) -> None:
    assert choice.trusted_release(decided, as_published.__contains__) == trusted


@pytest.mark.parametrize(
    ("offered", "decided", "reason"),
    [
        ([3, 2], state(2), ""),
        ([3], state(2), ""),
        ([4, 3, 2], state(2), ""),
        ([2], state(2, 3), "withdrawn at noon: blurred"),
        ([2], state(2), "its folder was removed"),
        ([3], state(None, 2), "version 2, the trusted one, was withdrawn"),
    ],
)
def test_a_trial_ends_when_its_question_is_settled(offered: list[int], decided: State, reason: str) -> None:
    assert choice.why_a_trial_ends(3, 2, offered, decided) == reason
