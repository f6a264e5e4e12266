"""The precision that a machine, a run and a network have."""

import dataclasses
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from distml.model import names, variants
from distml.step import machine, outcome
from distml.step.volume import Volume
from distml.training import precision, run_identity
from distml.training.replicated_model import ReplicatedModel
from distml.training.settings import Settings

AUTO = Settings(2, epochs=4, batch_per_worker=64, learning_rate=2e-3, train_images=55_000, precision=precision.AUTO)
BOTH = (precision.FLOAT32, precision.BFLOAT16)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"avx", "avx2"}, "float32"),
        ({"avx512f", "avx512_vnni"}, "float32"),
        ({"avx512f", "avx512_bf16"}, "bfloat16"),
        ({"amx_bf16"}, "bfloat16"),
        (set(), "float32"),
    ],
)
def test_a_processor_with_the_instructions_takes_bfloat16(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: set[str], expected: str
) -> None:
    monkeypatch.setattr(machine, "processor_flags", lambda: flags)
    assert precision.of_this_machine(tmp_path) == expected


@pytest.mark.parametrize(("build", "expected"), [("tensorflow-cpu", "bfloat16"), ("tensorflow", "float32")])
def test_a_machine_with_a_gpu_takes_float32_unless_tensorflow_is_for_cpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, build: str, expected: str
) -> None:
    def version(name: str) -> str:
        if name != build:
            raise metadata.PackageNotFoundError(name)
        return "2"

    monkeypatch.setattr(machine, "processor_flags", lambda: {"avx512_bf16"})
    monkeypatch.setattr(metadata, "version", version)
    assert precision.of_this_machine(tmp_path) == "bfloat16"
    (tmp_path / "nvidia0").touch()
    assert precision.of_this_machine(tmp_path) == expected


@pytest.mark.parametrize("recorded", BOTH)
@pytest.mark.parametrize("run", [None, "mine"])
def test_a_run_keeps_its_precision(tmp_path: Path, run: str | None, recorded: str) -> None:
    volume = Volume(tmp_path)
    name, identity = run_identity.claim(volume, run, "data", AUTO.with_precision(recorded))
    assert identity["settings"]["precision"] == recorded
    continued = run_identity.with_recorded_precision(volume, run, "data", AUTO)
    assert continued.precision == recorded
    assert run_identity.claim(volume, run, "data", continued) == (name, identity)


@pytest.mark.parametrize("run", [None, "mine"])
def test_a_new_run_has_no_precision_yet(tmp_path: Path, run: str | None) -> None:
    volume = Volume(tmp_path)
    run_identity.claim(volume, None, "data", dataclasses.replace(AUTO, epochs=5, precision="float32"))
    assert run_identity.with_recorded_precision(volume, run, "data", AUTO) == AUTO


def test_a_named_precision_is_not_replaced_by_the_recorded_one(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    run_identity.claim(volume, "mine", "data", AUTO.with_precision("bfloat16"))
    named = AUTO.with_precision("float32")
    assert run_identity.with_recorded_precision(volume, "mine", "data", named) == named


def test_groups_that_agree_at_the_same_moment_train_in_the_first_precision(tmp_path: Path) -> None:
    volume, sooner, later = Volume(tmp_path), AUTO.with_precision("bfloat16"), AUTO.with_precision("float32")
    assert run_identity.claim_agreed(volume, "mine", "data", sooner) == sooner
    assert run_identity.claim_agreed(volume, "mine", "data", later) == sooner
    with pytest.raises(outcome.StepError, match="run mine was made with other settings"):
        run_identity.claim_agreed(volume, "mine", "data", dataclasses.replace(later, epochs=9))
    unnamed = [run_identity.claim_agreed(volume, None, "data", settings) for settings in (sooner, later)]
    assert unnamed == [sooner, later]
    # Both unnamed runs exist now: the workers have to agree, whatever was tried before.
    assert run_identity.with_recorded_precision(volume, None, "data", AUTO) == AUTO


def test_the_two_precisions_are_two_runs() -> None:
    runs = {run_identity.default_run(run_identity.identity_of("data", AUTO.with_precision(name))) for name in BOTH}
    assert len(runs) == 2


@pytest.mark.parametrize("content", ["{}", '{"settings": 3}', '{"settings": {"precision": "float8"}}'])
def test_a_record_without_a_precision_decides_nothing(tmp_path: Path, content: str) -> None:
    volume = Volume(tmp_path)
    volume.run("mine").mkdir(parents=True)
    (volume.run("mine") / "run.json").write_text(content)
    assert run_identity.with_recorded_precision(volume, "mine", "data", AUTO) == AUTO


@pytest.mark.parametrize("name", names.MODELS)
def test_bfloat16_convolves_in_bfloat16_and_keeps_float32_elsewhere(name: str) -> None:
    settings = dataclasses.replace(AUTO, workers=1, precision="bfloat16", batch_per_worker=8, train_images=8)
    model = ReplicatedModel(tf.distribute.get_strategy(), name, 1, settings, steps_per_epoch=1)
    *hidden, classifier = (layer.compute_dtype for layer in model.network.layers)
    assert (set(hidden), classifier) == ({"bfloat16"}, "float32")
    images = np.random.default_rng(1).integers(0, 256, (8, 28, 28, 1), np.uint8)
    batch = (images, np.arange(8))
    losses = [
        float(model.take_steps(iter(tf.data.Dataset.from_tensors(batch).repeat()), tf.constant(10))) for _ in range(3)
    ]
    assert losses[2] < losses[0]
    variables = [*model.network.variables, *model.optimizer.variables]
    assert {variable.dtype for variable in variables if "float" in variable.dtype} == {"float32"}
    exported = model.exported()
    assert {layer.compute_dtype for layer in exported.layers} == {"float32"}
    logits = model.network(images, training=False)
    assert logits.dtype == tf.float32
    assert np.allclose(exported(images, training=False), logits, atol=0.05 * float(tf.reduce_max(tf.abs(logits))))


def test_validation_counts_the_answers_of_the_exported_model() -> None:
    settings = dataclasses.replace(AUTO, workers=1, precision="bfloat16")
    model = ReplicatedModel(tf.distribute.get_strategy(), "plain", 1, settings, steps_per_epoch=1)
    images = np.random.default_rng(1).integers(0, 256, (512, 28, 28, 1), np.uint8)
    by_precision = [network(images, training=False).numpy().argmax(1) for network in (model.exported(), model.network)]
    counts = []
    for labels in by_precision:
        batch = (images, labels, np.ones(512, np.float32))
        counts.append(float(model.count_correct(iter(tf.data.Dataset.from_tensors(batch).repeat()), tf.constant(1))))
    assert counts[0] == 512 > counts[1]  # untrained, the two precisions often choose different classes


def test_building_a_model_leaves_keras_policy_alone() -> None:
    variants.build("plain", "bfloat16")
    assert variants.build("plain").layers[1].compute_dtype == "float32"
