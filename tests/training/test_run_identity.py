"""What two trainings must share to be of one run."""

import os

import keras
import pytest
import tensorflow as tf

from distml.step import outcome
from distml.step.volume import Volume
from distml.training import run_identity
from distml.training.settings import Settings

SETTINGS = Settings(2, epochs=4, batch_per_worker=64, learning_rate=2e-3, seed=1, train_images=55_000)


def test_the_identity_names_data_code_software_and_settings(monkeypatch):
    monkeypatch.setattr(run_identity, "code_sha256", lambda: "code")
    monkeypatch.setattr(run_identity, "software", lambda: {"tensorflow": "2.99.1", "keras": "3.99.2"})
    assert run_identity.identity_of("data", SETTINGS) == {
        "data_sha256": "data",
        "code_sha256": "code",
        "software": {"tensorflow": "2.99.1", "keras": "3.99.2"},
        "settings": {
            "workers": 2, "epochs": 4, "batch_per_worker": 64, "learning_rate": 2e-3, "seed": 1, "train_images": 55_000
        },
    }  # fmt: skip


def test_the_software_is_what_is_installed_and_what_trains():
    assert run_identity.software() == {"tensorflow": tf.__version__, "keras": keras.__version__}


def test_other_software_makes_another_run_and_cannot_go_on_with_the_old(tmp_path, monkeypatch):
    volume, before = Volume(tmp_path), run_identity.identity_of("data", SETTINGS)
    run_identity.claim_run(volume, "mine", before)
    monkeypatch.setattr(run_identity, "software", lambda: {"tensorflow": "2.99.1", "keras": "3.99.2"})
    after = run_identity.identity_of("data", SETTINGS)
    assert run_identity.default_run(after) != run_identity.default_run(before)
    with pytest.raises(outcome.StepError, match=r"run mine was made with other software \(see .*run\.json\); choose"):
        run_identity.claim_run(volume, "mine", after)


def test_every_claim_removes_what_a_killed_one_left(tmp_path):
    volume = Volume(tmp_path)
    run_identity.claim_run(volume, "mine", {})
    left = volume.run("mine") / ".run.json-killed"
    left.touch()
    os.utime(left, (1, 1))
    run_identity.claim_run(volume, "mine", {})
    assert [path.name for path in volume.run("mine").iterdir()] == ["run.json"]
