"""The decisions of local_pipeline.py, without a training."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import local_pipeline
import model_selection
from distml.data import fashion_mnist, published_files, sources
from distml.model import manifest
from distml.step import command_line, outcome
from distml.step.volume import Volume
from support.project import SOURCE, run_script
from support.signing_keys import make


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the steps and worker groups instead of running them."""
    started: list[str] = []
    monkeypatch.setattr(local_pipeline, "end_on_signals", lambda: None)
    monkeypatch.setattr(local_pipeline, "run_step", lambda lock, script, *options: started.append(script))
    monkeypatch.setattr(
        local_pipeline, "run_worker_group", lambda command, *rest: started.append(command[command.index("--model") + 1])
    )
    return started


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    """Make a volume with the manifest of a data set, and the candidate `plain-seed1` of the run `mine`."""
    volume = Volume(tmp_path / "volume")
    volume.dataset.mkdir(parents=True)
    (volume.dataset / fashion_mnist.MANIFEST).write_text(json.dumps({**fashion_mnist.FACTS, "files": {}}))
    candidate = volume.candidate("mine", "plain", 1)
    candidate.mkdir(parents=True)
    (candidate / "saved_model.pb").write_text("model")
    manifest.write(candidate, {"model": "plain"})
    return volume


def run(volume: Volume, *options: str) -> None:
    parsed = local_pipeline.parse_args(
        ["--volume", str(volume), "--run", "mine", "--models", "plain dropout", *options]
    )
    local_pipeline.main(parsed)


def test_no_worker_starts_if_every_candidate_is_already_trained(
    started: list[str], volume: Volume, capsys: pytest.CaptureFixture[str]
) -> None:
    run(volume, "--models", "plain")
    assert started == ["data_ingestion.py", "model_selection.py"]
    assert "every candidate is already trained in run mine; the files verify\n" in capsys.readouterr().out


def test_one_more_seed_of_a_trained_model_starts_the_workers(started: list[str], volume: Volume) -> None:
    run(volume, "--models", "plain", "--seeds", "2")
    assert started == ["data_ingestion.py", "plain", "model_selection.py"]


def test_the_seeds_are_not_part_of_a_runs_identity(started: list[str], volume: Volume) -> None:
    for seeds in ("--seeds=1", "--seeds=3", "--seed=7"):
        run(volume, seeds)
    assert started.count("model_selection.py") == 3


def test_selection_considers_only_the_requested_candidates(
    started: list[str], volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    monkeypatch.setattr(local_pipeline, "run_step", lambda lock, *words: steps.append([str(word) for word in words]))
    run(volume, "--seed=2", "--seeds=2")
    script, *options = steps[-1]
    selected = model_selection.parse_args(options)
    assert (script, selected.models, selected.seed, selected.seeds) == (
        *("model_selection.py", ["plain", "dropout"]),
        *(2, 2),
    )


def test_a_damaged_candidate_is_trained_again(started: list[str], volume: Volume) -> None:
    (volume.candidate("mine", "plain", 1) / "saved_model.pb").write_text("damage")
    run(volume)
    assert started == ["data_ingestion.py", "plain,dropout", "model_selection.py"]


def test_local_pipeline_starts_without_tensorflow() -> None:
    code = "import local_pipeline, sys; print({'tensorflow', 'keras', 'tensorflow_datasets'} & {*sys.modules})"
    started = subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, check=True)
    assert started.stdout == "set()\n"


def test_a_step_killed_by_a_library_is_reported_with_the_signal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    killed = [sys.executable, "-c", "import os; os.abort()"]
    monkeypatch.setattr(local_pipeline, "command", lambda script, *options: killed)
    with pytest.raises(SystemExit) as ended:
        local_pipeline.run_step(0, "data_ingestion.py")
    assert ended.value.code == 134
    assert capsys.readouterr().err.endswith(": data_ingestion.py was killed by SIGABRT; its last output is above\n")


def test_a_run_with_other_settings_is_refused_despite_a_good_candidate(started: list[str], volume: Volume) -> None:
    run(volume)
    with pytest.raises(outcome.StepError, match="run mine was made with other settings"):
        run(volume, "--epochs", "9")
    assert started.count("data_ingestion.py") == 2 and started.count("model_selection.py") == 1


def test_a_fresh_start_removes_the_files_of_finished_and_killed_steps(volume: Volume) -> None:
    leftovers = [
        volume.dataset.parent / ".fashion_mnist-left",
        volume.versions / ".2-left",
        volume.root / ".report-left",
    ]
    for path in (volume.version(1), volume.report, *leftovers):
        path.mkdir(parents=True)
    for record in (volume.run("mine") / "run.json", volume.report / "report.json"):
        record.touch()
    volume.clear()
    assert sorted(path.name for path in volume.root.rglob("*")) == ["datasets", "runs"]


def test_a_fresh_start_keeps_the_files_of_others(started: list[str], volume: Volume) -> None:
    kept = [
        volume.root / name for name in ("letter", "runs/tensorboard/events", "report/my.html", "datasets/mine/data")
    ]
    for path in kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    volume.clear()
    assert all(path.exists() for path in kept)


def test_a_fresh_start_follows_no_link(tmp_path: Path, volume: Volume) -> None:
    shared = Volume(tmp_path / "shared")
    volume.root.rename(shared.root)
    volume.root.mkdir()
    volume.versions.symlink_to(shared.dataset)
    volume.clear()
    assert list(shared.dataset.iterdir()) and not volume.versions.is_symlink()


def test_a_fresh_start_removes_the_data_before_the_first_step(
    started: list[str], volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "where", lambda source: source)
    with pytest.raises(outcome.StepError, match="no data set in"):
        run(volume, "--fresh")
    assert started == ["data_ingestion.py"]


@pytest.mark.parametrize("content", ["missing", "damaged"])
def test_a_fresh_start_without_a_usable_source_removes_nothing(
    started: list[str], volume: Volume, tmp_path: Path, content: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    if content == "damaged":
        for name in published_files.FILES:
            (source / name).write_bytes(b"damaged")
    before = sorted(volume.root.rglob("*"))
    with pytest.raises(outcome.StepError, match=content if content == "missing" else "cannot be decompressed"):
        run(volume, "--fresh", "--source", str(source))
    assert (sorted(set(volume.root.rglob("*")) - {volume.lock}), started) == (before, [])


@pytest.mark.parametrize("option", ["--workers=1000", "--batch-per-worker=30000"])
def test_settings_that_cannot_be_trained_are_refused_before_removal(
    started: list[str], volume: Volume, option: str
) -> None:
    before = sorted(volume.root.rglob("*"))
    with pytest.raises(outcome.StepError, match=r"workers need at least|a global batch of 60000 is more than"):
        run(volume, "--fresh", option)
    assert (sorted(volume.root.rglob("*")), started) == (before, [])


def test_a_volume_needs_a_name_and_may_start_with_a_home_folder() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="the volume's folder has no name"):
        command_line.volume("")
    assert command_line.volume("~/volume") == Volume(Path(os.environ["HOME"]) / "volume")
    with pytest.raises(argparse.ArgumentTypeError, match="begins with a home folder that is not known"):
        command_line.volume("~nobody-of-this-name/volume")


@pytest.mark.parametrize("signed", [True, False])
def test_the_selection_gets_the_signing_key(
    started: list[str], volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signed: bool
) -> None:
    steps = []
    monkeypatch.setattr(local_pipeline, "run_step", lambda lock, *words: steps.append([str(word) for word in words]))
    key = make(tmp_path, "key").private
    run(volume, f"--signing-key={key if signed else ''}")
    assert model_selection.parse_args(steps[-1][1:]).signing_key == (key if signed else None)


@pytest.mark.parametrize("script", ["local_pipeline.py", "model_selection.py"])
def test_a_missing_signing_key_is_refused_before_anything_is_done(tmp_path: Path, script: str) -> None:
    ended = run_script(script, "--volume", tmp_path / "volume", "--signing-key", tmp_path / "key.pem")
    reason = f"argument --signing-key: cannot read the private key {tmp_path / 'key.pem'}: No such file or directory"
    assert (ended.returncode, ended.stderr) == (2, f"{script}: {reason}; see --help\n")
    assert not (tmp_path / "volume").exists()
