"""The identity of a run: changes that make a new run, and changes that do not."""

import ast
import os
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from distml.model import manifest
from distml.step import outcome
from distml.step.volume import Volume
from distml.training import run_identity
from distml.training.settings import Settings
from support.project import SOURCE

SETTINGS = Settings(2, epochs=4, batch_per_worker=64, learning_rate=2e-3, train_images=55_000, precision="float32")

SCRIPT = "multi_worker_distributed_training"
CANNOT_CHANGE_WEIGHTS = {
    SCRIPT: "parses the command line; its settings are in the identity",
    "distml.publishing.selection.candidates": "finds the models that are already trained",
    "distml.step.atomic_files": "writes, renames and hashes files",
    "distml.step.command_line": "parses options; their values are in the identity",
    "distml.step.file_locks": "locks files and folders",
    "distml.step.machine": "names the instruction set and the threads, which the manifest has",
    "distml.step.native_stderr": "holds back what libraries print",
    "distml.step.network": "opens connections",
    "distml.step.outcome": "ends the process",
    "distml.step.progress_bar": "prints",
    "distml.step.volume": "names folders",
    "distml.training.failure_record": "records an error message",
    "distml.training.precision": "its value is in the identity",
    "distml.training.run_identity": "names the run",
    "distml.training.settings": "its values are in the identity",
}


def file_of(module: str) -> Path:
    return SOURCE / f"{module.replace('.', '/')}.py"


def imported_by(module: str) -> set[str]:
    """Return the modules of src that a module imports, inside functions too; packages contain only docstrings."""
    names = set()
    for node in ast.walk(ast.parse(file_of(module).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import is not followed"
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if file_of(name).is_file()}


def test_every_import_is_in_the_identity_or_cannot_change_weights() -> None:
    reached, found = set(), {SCRIPT}
    while found:
        reached |= found
        found = set().union(*map(imported_by, found)) - reached
    covered = {name.removesuffix(".py").replace("/", ".") for name in run_identity.code_files()}
    assert {"distml.training.loop", "distml.model.variants"} <= reached & covered
    assert reached - covered == CANNOT_CHANGE_WEIGHTS.keys()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Copy src to another folder, with other times and without bytecode."""
    copy = tmp_path / "copy of src"
    return shutil.copytree(SOURCE, copy, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.mark.parametrize(
    "name",
    [
        *("__pycache__/variants.cpython-311.pyc", ".ipynb_checkpoints/variants.py", ".variants.py.swp"),
        *("variants.py~", "#variants.py#", ".#variants.py", "variants 2.py"),
    ],
)
def test_the_code_digest_ignores_location_and_editors_leftovers(source: Path, name: str) -> None:
    leftover = source / "distml" / "model" / name
    leftover.parent.mkdir(exist_ok=True)
    leftover.write_text("left")
    assert run_identity.code_sha256(source) == run_identity.code_sha256()


@pytest.mark.parametrize(
    "name", ["distml/training/settings.py", "distml/training/group/local_launcher.py", f"{SCRIPT}.py"]
)
def test_a_change_of_settings_or_identity_code_makes_no_new_run(source: Path, name: str) -> None:
    with (source / name).open("a") as file:
        file.write("# a comment\n")
    assert run_identity.code_sha256(source) == run_identity.code_sha256()


@pytest.mark.parametrize("name", ["distml/training/loop.py", "distml/model/variants.py", "distml/model/a_new_one.py"])
def test_a_changed_training_loop_or_a_new_model_makes_a_new_run(source: Path, name: str) -> None:
    with (source / name).open("a") as file:
        file.write("# a comment\n")
    assert run_identity.code_sha256(source) != run_identity.code_sha256()


def test_a_runs_identity_has_data_code_software_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_identity, "code_sha256", lambda: "code")
    monkeypatch.setattr(run_identity, "software", lambda: {"tensorflow": "2.99.1", "keras": "3.99.2"})
    assert run_identity.identity_of("data", SETTINGS) == {
        "data_sha256": "data",
        "code_sha256": "code",
        "software": {"tensorflow": "2.99.1", "keras": "3.99.2"},
        "settings": {
            "workers": 2, "epochs": 4, "batch_per_worker": 64, "learning_rate": 2e-3, "train_images": 55_000,
            "precision": "float32",
        },
    }  # fmt: skip


def test_a_runs_identity_has_the_versions_that_training_imports() -> None:
    assert run_identity.software() == {"tensorflow": tf.__version__, "keras": keras.__version__}


def test_other_software_makes_a_new_run_and_cannot_resume_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, before = Volume(tmp_path), run_identity.identity_of("data", SETTINGS)
    run_identity.claim_run(volume, "mine", before)
    monkeypatch.setattr(run_identity, "software", lambda: {"tensorflow": "2.99.1", "keras": "3.99.2"})
    after = run_identity.identity_of("data", SETTINGS)
    assert run_identity.default_run(after) != run_identity.default_run(before)
    with pytest.raises(outcome.StepError, match=r"run mine was made with other software \(see .*run\.json\); choose"):
        run_identity.claim_run(volume, "mine", after)


def test_a_claim_removes_the_leftovers_of_a_killed_claim(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    run_identity.claim_run(volume, "mine", {})
    left = volume.run("mine") / ".run.json-killed"
    left.touch()
    os.utime(left, (1, 1))
    run_identity.claim_run(volume, "mine", {})
    assert [path.name for path in volume.run("mine").iterdir()] == ["run.json"]


@pytest.fixture
def lost(tmp_path: Path) -> Volume:
    """Return a volume with a run `mine` that has a candidate and no record."""
    volume = Volume(tmp_path)
    _, identity = run_identity.claim(volume, "mine", "data", SETTINGS)
    folder = volume.candidate("mine", "plain", 1)
    folder.mkdir(parents=True)
    manifest.write(folder, identity)
    (volume.run("mine") / "run.json").unlink()
    return volume


def test_a_lost_run_record_is_written_again_for_the_same_settings(lost: Volume) -> None:
    run_identity.claim(lost, "mine", "data", SETTINGS)
    with pytest.raises(outcome.StepError, match="was made with other settings"):
        run_identity.claim(lost, "mine", "data", replace(SETTINGS, epochs=5))


def test_a_lost_run_record_gives_a_run_to_no_other_settings(lost: Volume) -> None:
    with pytest.raises(outcome.StepError, match=r"run\.json is missing; choose another --run, or remove"):
        run_identity.claim(lost, "mine", "data", replace(SETTINGS, epochs=5))


def test_checkpoints_of_unknown_settings_are_not_resumed(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    volume.checkpoints("mine", "plain", 1).mkdir(parents=True)
    with pytest.raises(outcome.StepError, match=r"run\.json is missing"):
        run_identity.claim(volume, "mine", "data", SETTINGS)


def test_the_name_of_an_unnamed_run_proves_its_identity(tmp_path: Path) -> None:
    volume, run = Volume(tmp_path), run_identity.default_run(run_identity.identity_of("data", SETTINGS))
    volume.checkpoints(run, "plain", 1).mkdir(parents=True)
    assert run_identity.claim(volume, None, "data", SETTINGS)[0] == run
