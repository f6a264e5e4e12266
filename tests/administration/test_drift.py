"""The subcommand `check-drift`."""

from collections.abc import Iterator

import pytest

import pipeline_admin
from distml.administration.drift import Drifted
from distml.publishing.drift.service_drift import NoReference, Unanswered
from distml.step import outcome
from support.local_server import running
from support.replicas import Replica, window


@pytest.fixture
def replica() -> Iterator[Replica]:
    with running(Replica()) as started:
        yield started


def check(replica: Replica, answer: object) -> None:
    replica.statuses = [answer]
    pipeline_admin.main(pipeline_admin.parse_args(["check-drift", f"--url=http://{replica.address}"]))


def test_a_calm_service_gets_a_table_and_a_sentence(replica: Replica, capsys: pytest.CaptureFixture[str]) -> None:
    check(replica, window([500, 500]))
    assert capsys.readouterr().out.splitlines() == [
        "version 2, 1,000 images of 1 replica",
        "",
        "feature     distance  corrected p",
        "----------  --------  -----------",
        "intensity      0.000            1",
        "class          0.000            1",
        "confidence     0.000            1",
        "",
        "no drift from the validation images of version 2 in the last 1,000 images: intensity 0.00 (p 1), class 0.00"
        " (p 1), confidence 0.00 (p 1)",
    ]


def test_drift_exits_with_4_after_the_table(replica: Replica, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        Drifted, match="the last 1,000 images have drifted from the validation images of version 2: "
    ) as failed:
        check(replica, window([1000, 0]))
    assert failed.value.exit_status == 4
    assert "intensity      0.500  below 1e-99\n" in capsys.readouterr().out


def test_too_few_images_are_calm_and_have_no_table(replica: Replica, capsys: pytest.CaptureFixture[str]) -> None:
    check(replica, window([1000, 0], blocks=4))
    assert capsys.readouterr().out == "too few images for version 2 yet: 4 of at least 5 blocks are complete\n"


@pytest.mark.parametrize(
    ("answer", "kind", "status"),
    [(b"", Unanswered, 1), ({**window([1, 1]), "reference": None}, NoReference, 2)],
)
def test_a_service_that_cannot_be_compared_is_no_drift(
    replica: Replica, answer: object, kind: type[outcome.StepError], status: int
) -> None:
    with pytest.raises(kind) as failed:
        check(replica, answer)
    assert failed.value.exit_status == status
