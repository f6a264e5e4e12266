"""The administrator's script: its subcommands, its help, and what it imports."""

import errno
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline_admin
from distml.publishing.versions import history_table, publication, signature
from distml.step.volume import Volume
from support.crashes import candidate
from support.project import SOURCE, run_script
from support.refusals import refuse
from support.signing_keys import make

SUBCOMMANDS = (
    *("check-workflow", "end-training", "smoke-test", "confirm-release", "history", "release", "withdraw", "roll-back"),
    "serve-reports",
    "remove-runs",
    "check-drift",
)


def test_pipeline_admins_help_lists_each_subcommand_on_its_own_line() -> None:
    printed = run_script("pipeline_admin.py", "--help", COLUMNS="120").stdout
    assert tuple(re.findall("^    ([a-z-]+)", printed, re.MULTILINE)) == SUBCOMMANDS


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_the_help_of_a_subcommand_shows_its_usage(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        pipeline_admin.parse_args([name, "--help"])
    printed = capsys.readouterr().out
    assert ended.value.code == 0
    assert f" {name} [-h] [--" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["end-trainings"], "argument SUBCOMMAND: invalid choice: 'end-trainings' (choose from "),
        ([], "the following arguments are required: SUBCOMMAND; see --help"),
        (["end-training", "--workflow=w", "--model=other"], "argument --model: invalid choice: 'other' (choose from "),
        (
            ["end-training", "--workflow=w", "--model=plain"],
            "--model and --seed need each other; see end-training --help",
        ),
        (["end-training", "--workflow=w", "--seed=x"], "argument --seed: 'x' is not an integer from 0 to 2000000000"),
        (
            ["end-training", "--workflow=../w"],
            "argument --workflow: '../w' is not a plain folder name; use letters, digits",
        ),
        (
            ["smoke-test", "--version=x"],
            "argument --version: 'x' is not an integer of 1 or more; see smoke-test --help",
        ),
        (
            ["end-training", "--workflow=w", "--explain-failure=2026-11-27T08:00:00Z"],
            "--explain-failure needs --model; see end-training --help",
        ),
        (
            ["end-training", "--workflow=w", "--explain-failure=2026-11-27T08:00:00"],
            "argument --explain-failure: '2026-11-27T08:00:00' is not a time with a zone, expected one such as ",
        ),
        (["withdraw"], "the following arguments are required: --version; see withdraw --help"),
        (["roll-back", "--to=last"], "argument --to: 'last' is not an integer of 1 or more; see roll-back --help"),
        (["release", "--version=1", "--reason=a\nb"], "argument --reason: a reason is one line of at most 200 "),
        (["roll-back", "--volume=missing"], "nothing is published in missing/saved_model_versions, so there"),
        (["serve-reports", "--volume=missing"], "there is no volume missing; name its folder with --volume"),
        (["serve-reports", "--port=0"], "argument --port: '0' is not an integer from 1 to 65535; see serve-reports "),
        (["remove-runs", "--keep=-1"], "argument --keep: '-1' is not an integer of 0 or more; see remove-runs --help"),
        (["remove-runs", "--volume=missing"], "there is no volume missing; name its folder with --volume (make: DATA="),
        (
            ["check-drift", "--url=flowers"],
            "argument --url: 'flowers' is not the URL of a service; expected one without",
        ),
        (["history", "--volume=missing"], "there is no volume missing; name its folder with --volume (make: DATA=...)"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_one_line(words: list[str], message: str) -> None:
    ended = run_script("pipeline_admin.py", *words)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert ended.stderr.startswith(f"pipeline_admin.py: {message}")


def test_no_subcommand_of_pipeline_admin_loads_tensorflow() -> None:
    libraries = "distml.training.group.tfjobs, distml.publishing.service.confirmation"
    code = f"import pipeline_admin, {libraries}, sys; print({{'tensorflow', 'keras'}} & {{*sys.modules}})"
    started = subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, check=True)
    assert started.stdout == "set()\n"


def admin(volume: Volume, *words: str) -> None:
    """Run a subcommand in this process."""
    pipeline_admin.main(pipeline_admin.parse_args([*words, "--volume", str(volume)]))


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    """Return a volume with the versions 1, 2 and 3, of a few bytes."""
    volume = Volume(tmp_path / "volume")
    for _ in range(3):
        publication.publish(volume, candidate(volume), {}, keep=5)
    return volume


def test_each_decision_is_printed_in_one_line(volume: Volume, capsys: pytest.CaptureFixture[str]) -> None:
    admin(volume, "withdraw", "--version=3")
    admin(volume, "release", "--version=2", "--reason=it is good")
    admin(volume, "roll-back", "--reason=coats are shirts")
    admin(volume, "release", "--version=3")
    admin(volume, "release", "--version=3", "--reason=again")
    assert capsys.readouterr().out.splitlines() == [
        f"version 3 is withdrawn; its files are in {volume.versions / '.withdrawn'}",
        "version 2 is released",
        "rolled back to version 1; withdrawn: 2; predictors follow within seconds",
        "version 3 is released",
        "version 3 is released already; nothing is recorded",
    ]


@pytest.mark.parametrize("decision", ["release --version=3", "roll-back --to=2", "roll-back"])
def test_a_decision_with_a_public_key_refuses_an_unsigned_version(
    volume: Volume, tmp_path: Path, decision: str
) -> None:
    before = volume.history.read_text()
    with pytest.raises(signature.NotVerified, match="is not signed; publish it with --signing-key"):
        admin(volume, *decision.split(), f"--public-key={make(tmp_path, 'key').public}")
    assert volume.history.read_text() == before


def test_history_prints_the_table_that_is_kept_on_the_volume(
    volume: Volume, capsys: pytest.CaptureFixture[str]
) -> None:
    admin(volume, "history")
    assert capsys.readouterr().out == volume.history.read_text()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_history_prints_the_table_of_a_volume_that_it_may_not_change(
    volume: Volume, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    table = volume.history.read_text()
    volume.history.unlink()
    refuse(monkeypatch, number, (history_table, "write_text"))
    admin(volume, "history")
    assert capsys.readouterr().out == table


def test_a_decision_on_a_full_disk_leaves_the_table_out_of_date(
    volume: Volume, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = volume.history.read_text()
    refuse(monkeypatch, errno.ENOSPC, (history_table, "write_text"))
    admin(volume, "roll-back")
    assert capsys.readouterr() == (
        "rolled back to version 2; withdrawn: 3; predictors follow within seconds\n",
        f"warning: the disk is full, so {volume.history} is out of date; the history itself is complete, and"
        " pipeline_admin.py history prints it\n",
    )
    assert volume.history.read_text() == before


def test_history_of_a_volume_without_versions_creates_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    admin(Volume(tmp_path), "history")
    assert (capsys.readouterr().out, list(tmp_path.iterdir())) == ("the history has no records\n", [])
