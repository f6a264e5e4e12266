"""The record of releases: what it keeps, and what the metrics show of it."""

from distml.protocol.contract import Release, Stage
from distml.serving.monitoring import metrics
from distml.serving.release.releases import KEPT, Releases


def test_a_version_keeps_its_newest_stage_only() -> None:
    releases = Releases()
    releases.enter(1, "a", Stage.RELEASED, "first")
    releases.enter(2, "b", Stage.CHECKING)
    releases.enter(2, "b", Stage.REJECTED, "too slow")
    releases.enter(2, "c", Stage.CHECKING)
    assert [*releases] == [
        Release(2, "c", Stage.CHECKING, ""),
        Release(2, "b", Stage.REJECTED, "too slow"),
        Release(1, "a", Stage.RELEASED, "first"),
    ]


def test_the_oldest_of_many_versions_is_forgotten() -> None:
    releases = Releases()
    for number in range(1, KEPT + 3):
        releases.enter(number, "a", Stage.RELEASED)
    assert [release.version for release in releases] == [*range(KEPT + 2, 2, -1)]


def test_the_metrics_count_stages_and_show_the_newest() -> None:
    counter = metrics.RELEASES.labels(Stage.REJECTED)
    before = counter._value.get()
    Releases().enter(7, "a", Stage.REJECTED, "too slow")
    assert counter._value.get() == before + 1
    (family,) = metrics.STAGE.collect()
    assert [(sample.labels, sample.value) for sample in family.samples] == [({"version": "7", "stage": "rejected"}, 1)]
