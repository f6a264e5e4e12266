"""The table of the history, as it is printed and kept on the volume."""

import pytest

from distml.publishing.versions import decisions, folders, history, history_table
from distml.publishing.versions.history import Event, History, Record, State
from distml.step.volume import Volume

FACTS = {"run": "r1", "model": "plain", "seed": 2, "digest": "1d8c7aff0d8c5f", "validation_accuracy": 0.932}
RECORDS = [
    Record(
        1, Event.PUBLISHED, 9, "2026-11-27T03:00:00+00:00", "found on the volume", {"published": "2026-10-01T10:00:00"}
    ),
    Record(2, Event.PUBLISHED, 10, "2026-11-27T03:00:00+00:00", "", FACTS),
    Record(4, Event.ROLLED_BACK, 9, "2026-11-27T03:10:00+00:00", "", {"withdrawn": [10, 11]}),
    Record(5, Event.ROLLED_BACK, 9, "2026-11-27T03:20:00+00:00", "slow", {"withdrawn": [12]}),
]
TABLE = """\
time (UTC)           event        version  model        run  validation  test  digest        reason
-------------------  -----------  -------  -----------  ---  ----------  ----  ------------  ------
2026-10-01 10:00:00  published          9                                                    found on the volume
2026-11-27 03:00:00  published         10  plain-seed2  r1       0.9320        1d8c7aff0d8c
2026-11-27 03:10:00  rolled back        9                                                    versions 10, 11 withdrawn
2026-11-27 03:20:00  rolled back        9                                                    version 12 withdrawn: slow

record 3 is missing or damaged, so it does not count; decide again what it decided
released: version 9
"""


def test_the_table_has_a_line_for_each_decision_and_the_released_version() -> None:
    assert history_table.render(RECORDS, State({}, {}, 9, 5), []) == TABLE.replace("------\n", 26 * "-" + "\n", 1)


def test_an_empty_history_has_no_table() -> None:
    assert history_table.render([], State({}, {}, None, 0), []) == "the history has no records\n"


@pytest.mark.parametrize("content", [b"an older table", b"\xff", None])
def test_the_next_look_at_the_history_repairs_the_table(versions: Volume, content: bytes | None) -> None:
    table = versions.history.read_bytes()
    versions.history.unlink()
    if content:
        versions.history.write_bytes(content)
    decisions.complete(versions)
    assert versions.history.read_bytes() == table
    assert table.decode() == history_table.render(*_read(versions))


def test_the_withdrawn_versions_are_listed_and_one_without_a_record_too(versions: Volume) -> None:
    decisions.withdraw(versions, 2, "")
    (versions.versions / folders.WITHDRAWN / "9").mkdir()
    decisions.complete(versions)
    assert versions.history.read_text().splitlines()[-3:] == [
        "version 9 is in .withdrawn without a record of its withdrawal; withdraw or release it again",
        "released: none; a starting predictor takes the newest",
        "withdrawn: 2",
    ]


def _read(volume: Volume) -> tuple[list[Record], history.State, list[int]]:
    reader = History(volume.versions)
    return reader.records(), reader.state(), folders.numbers(volume.versions / folders.WITHDRAWN)
