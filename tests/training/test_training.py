"""Training by real worker processes on the real data."""

import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import multi_worker_distributed_training
from distml.data import fashion_mnist, input_pipeline
from distml.model import manifest as model_manifest
from distml.model import saved_model
from distml.step import machine, outcome
from distml.step.volume import Volume
from distml.training import precision, run_identity
from distml.training.checkpoints import COLUMNS, Checkpoints
from distml.training.group import worker as worker_module
from distml.training.replicated_model import ReplicatedModel
from distml.training.settings import Settings
from support.project import SOURCE, run_script

SCRIPT = SOURCE / "multi_worker_distributed_training.py"
FAST = ("--batch-per-worker", "64", "--train-images", "6400", "--run", "test")


class Group:
    """The worker group of `local_pipeline` for one model, with its output line by line."""

    def __init__(self, volume: Volume, *options: str, workers: int = 2) -> None:
        code = (
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "from distml.training.group.local_launcher import run_worker_group\n"
            "run_worker_group([sys.executable, *sys.argv[3:]], int(sys.argv[2]), restarts=3)"
        )
        command = [sys.executable, "-c", code, SOURCE, workers, SCRIPT, "--volume", volume, *FAST, *options]
        self.process = subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout
        self.output = self.process.stdout
        self.timer = threading.Timer(200, self.kill)
        self.timer.start()
        self.lines: list[str] = []

    def wait_for(self, text: str) -> None:
        for line in self.output:
            self.lines.append(line.rstrip())
            if text in line:
                return
        pytest.fail(f"the group ended without printing {text!r}:\n" + "\n".join(self.lines))

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def kill(self) -> None:
        """Kill the launcher and all workers, so that no worker keeps the pipe open."""
        for process in (*self.workers(), self.process):
            process.kill()

    def kill_during_export(self, candidates: Path) -> None:
        """Kill worker 0 as soon as it has created its temporary folder for the candidate."""
        while not list(candidates.glob(".*")):
            assert self.process.poll() is None, self.lines
            time.sleep(0.01)
        self.workers()[0].kill()

    def end(self) -> int:
        self.lines += [line.rstrip() for line in self.output]
        self.timer.cancel()
        return self.process.wait()

    def finished_epochs(self) -> list[int]:
        return [int(match[1]) for line in self.lines if (match := re.search(r"epoch (\d+)/\d+  loss", line))]


def test_two_kills_and_a_stall_do_not_change_the_final_weights(volume: Volume, trained_volume: Volume) -> None:
    group = Group(volume, "--model", "batchnorm", "--epochs", "3", "--stall-timeout", "60")
    group.wait_for("epoch 1/3")
    group.workers()[1].kill()
    group.wait_for("epoch 2/3")
    group.workers()[1].send_signal(signal.SIGSTOP)
    group.wait_for("epoch 3/3")
    group.kill_during_export(volume.candidates("test"))
    assert group.end() == 0, group.lines
    output = "\n".join(group.lines)
    assert "worker 1 was killed by SIGKILL" in output and "worker 0 was killed by SIGKILL" in output
    assert "lost a peer" in output or "took longer than 60 s" in output  # TensorFlow's heartbeat usually notices first
    assert group.finished_epochs() == [1, 2, 3]
    disturbed = model_manifest.verified(volume.candidate("test", "batchnorm", 1))
    undisturbed = model_manifest.verified(trained_volume.candidate("first", "batchnorm", 1))
    assert [measured(disturbed, key) for key in CURVES] == [measured(undisturbed, key) for key in CURVES]
    weights = "variables/variables.data-00000-of-00001"
    assert disturbed["files"][weights] == undisturbed["files"][weights]


@pytest.mark.skipif(precision.of_this_machine() == "float32", reason="here the test above trains in float32")
def test_a_kill_does_not_change_the_final_weights_in_float32(volume: Volume) -> None:
    weights = []
    for kill in (False, True):
        group = Group(volume, "--model", "plain", "--epochs", "2", "--precision", "float32", f"--run=killed-{kill}")
        group.wait_for("epoch 1/2")
        if kill:
            group.workers()[1].kill()
        assert group.end() == 0, group.lines
        assert ("worker 1 was killed by SIGKILL" in "\n".join(group.lines)) == kill
        manifest = model_manifest.verified(volume.candidate(f"killed-{kill}", "plain", 1))
        assert manifest["settings"]["precision"] == "float32"
        weights.append(manifest["files"]["variables/variables.data-00000-of-00001"])
    assert weights[0] == weights[1]


def test_a_candidate_and_its_run_name_precision_and_hardware(trained_volume: Volume) -> None:
    manifest = model_manifest.verified(trained_volume.candidate("first", "plain", 1))
    taken = precision.of_this_machine()
    record = json.loads((trained_volume.run("first") / "run.json").read_text())
    report = json.loads((trained_volume.report / "report.json").read_text())
    assert {facts["settings"]["precision"] for facts in (manifest, record, report)} == {taken}
    assert manifest["hardware"] == {
        "instruction_set": machine.instruction_set(),
        "threads": len(machine.cores()) // 2 or 1,
    }
    assert (
        f"worker 0: training in {taken} on {machine.instruction_set()}"
        in (trained_volume.root / "output.txt").read_text()
    )


def test_a_resume_without_the_instructions_keeps_bfloat16_and_warns(volume: Volume) -> None:
    """The group is a single worker, whose processor the program makes poorer."""
    options = ["--volume", volume, "--model", "plain", "--epochs", 1, "--run", "moved", "--train-images", 640]
    started = run_script(SCRIPT.name, *options, "--precision", "bfloat16", "--start-timeout", 60)
    assert started.returncode == 0, started.stderr
    shutil.rmtree(volume.candidate("moved", "plain", 1))  # the checkpoint stays
    program = (
        "import runpy, sys; sys.path.insert(0, sys.argv[1])\n"
        "from distml.step import machine; machine.processor_flags = lambda: {'avx2'}\n"
        "sys.argv = sys.argv[2:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", program, SOURCE, SCRIPT, *options]
    resumed = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    assert "plain-seed1: resuming after epoch 1/1 from its checkpoint" in resumed.stdout
    warning = "training in bfloat16 on AVX2: the run's precision, but this processor has no instructions for it"
    assert warning in resumed.stdout
    assert model_manifest.verified(volume.candidate("moved", "plain", 1))["settings"]["precision"] == "bfloat16"


CURVES = ("loss", "validation_accuracy", "learning_rate")


def measured(manifest: dict, key: str) -> list[float]:
    return [epoch[key] for epoch in manifest["metrics"]["history"]]


def test_work_that_outlasts_the_watchdogs_limit_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: queue.Queue[tuple[str, int]] = queue.Queue()
    monkeypatch.setattr(worker_module, "end", lambda message, status: ended.put((message, status)))
    with worker_module.Watchdog().bound(1, "a step"):
        assert ended.get(timeout=10) == ("worker: a step took longer than 1 s; the job has to be restarted", 1)


def test_the_learning_rate_falls_to_zero(trained_volume: Volume) -> None:
    rates = measured(model_manifest.verified(trained_volume.candidate("first", "plain", 1)), "learning_rate")
    assert rates[0] > rates[1] > rates[2] and rates[2] == pytest.approx(0, abs=1e-6)


def test_tensorboard_shows_each_epoch(trained_volume: Volume) -> None:
    events = EventAccumulator(str(trained_volume.logs("first", "plain", 1))).Reload()
    shown = {event.step: float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors("validation_accuracy")}
    manifest = model_manifest.verified(trained_volume.candidate("first", "plain", 1))
    assert shown == pytest.approx(dict(enumerate(measured(manifest, "validation_accuracy"), 1)))


def settings_of(epochs: int, batch: int, images: int, precision: str = "float32") -> Settings:
    """Return the settings of a training on one worker."""
    return Settings(1, epochs, batch, learning_rate=1e-3, train_images=images, precision=precision)


def test_the_training_step_is_a_graph_function_and_not_inlined() -> None:
    strategy = tf.distribute.get_strategy()
    settings = settings_of(epochs=1, batch=2, images=2)
    model = ReplicatedModel(strategy, "plain", 1, settings, steps_per_epoch=1)
    batch = (np.zeros((2, 28, 28, 1), np.uint8), np.zeros(2, np.int64))
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
    graph = model.take_steps.get_concrete_function(batches, tf.constant(1)).graph.as_graph_def()
    steps = [item for item in graph.library.function if any(node.op == "MaxPoolGrad" for node in item.node_def)]
    assert steps and all(step.attr["_noinline"].b for step in steps)


def test_the_leftovers_of_killed_chiefs_disappear_from_the_checkpoints(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    model = ReplicatedModel(
        tf.distribute.get_strategy(), "plain", 1, settings_of(epochs=4, batch=8, images=16), steps_per_epoch=2
    )
    checkpoints = Checkpoints(model, True, folder, tmp_path / "logs")
    for _ in range(3):
        checkpoints.record(**dict.fromkeys(COLUMNS, 0.0))
    intact = sorted(path.name for path in folder.iterdir())
    for name in (".ckpt-3-0123456789abcdef", ".ckpt-1-fedcba9876543210", "ckpt-1"):
        (folder / name).mkdir()
        (folder / name / "checkpoint.index").touch()
    checkpoints.remove_leftovers()
    assert sorted(path.name for path in folder.iterdir()) == intact
    assert checkpoints.restore(epochs=4) == 3


def test_a_resumed_training_does_not_repeat_its_dropout(tmp_path: Path) -> None:
    settings = settings_of(epochs=2, batch=8, images=16)
    batch = (np.zeros((8, 28, 28, 1), np.uint8), np.zeros(8, np.int64))

    def training() -> tuple[ReplicatedModel, Checkpoints]:
        model = ReplicatedModel(tf.distribute.get_strategy(), "dropout", 1, settings, steps_per_epoch=2)
        return model, Checkpoints(model, True, tmp_path / "checkpoints", tmp_path / "logs")

    first, checkpoints = training()
    first.take_steps(iter(tf.data.Dataset.from_tensors(batch).repeat()), tf.constant(2))
    checkpoints.record(**dict.fromkeys(COLUMNS, 0.0))
    again, checkpoints = training()
    assert checkpoints.restore(epochs=2) == 1
    (drawn,), (resumed,) = first.random_state, again.random_state
    assert resumed.numpy().tolist() == drawn.numpy().tolist()
    assert resumed.numpy()[1] == 2  # the counter, after two steps


def test_more_seeds_train_only_the_missing_candidates(volume: Volume) -> None:
    finished = volume.candidate("seeds", "plain", 1)
    finished.mkdir(parents=True)
    model_manifest.write(finished, {})
    options = ["--volume", volume, "--run", "seeds", "--model", "plain", "--seeds", 2, "--epochs", 1]
    trained = run_script(SCRIPT.name, *options, "--train-images", 640)
    assert trained.returncode == 0, trained.stderr
    assert "plain-seed1: already trained in run seeds; its files verify\n" in trained.stdout
    assert re.findall(r"^(.*): epoch 1/1  loss", trained.stdout, re.MULTILINE) == ["plain-seed2"]
    manifest = model_manifest.verified(volume.candidate("seeds", "plain", 2))
    assert (manifest["run"], manifest["model"], manifest["seed"]) == ("seeds", "plain", 2)
    assert "seed" not in manifest["settings"]


def test_weights_follow_from_the_seed_whatever_was_trained_before() -> None:
    settings = settings_of(epochs=1, batch=8, images=16)
    batch = (np.arange(8 * 28 * 28, dtype=np.uint8).reshape(8, 28, 28, 1), np.arange(8))

    def trained(seed: int) -> bytes:
        model = ReplicatedModel(tf.distribute.get_strategy(), "dropout", seed, settings, steps_per_epoch=2)
        model.take_steps(iter(tf.data.Dataset.from_tensors(batch).repeat()), tf.constant(2))
        return b"".join(weight.tobytes() for weight in model.network.get_weights())

    alone, other, later = map(trained, (2, 1, 2))
    assert alone == later != other


def test_all_workers_end_with_identical_weights_and_statistics(trained_volume: Volume) -> None:
    output = (trained_volume.root / "output.txt").read_text()
    digests = re.findall(r"weights sha256 (\w{64})", output)
    assert len(digests) == 4 and digests[0] == digests[1] != digests[2] == digests[3]


def test_two_workers_train_as_one_worker_with_the_same_global_batch(volume: Volume, trained_volume: Volume) -> None:
    alone = run_script(
        SCRIPT.name, "--volume", volume, "--model", "plain", "--run", "alone", "--epochs", 3,
        "--batch-per-worker", 128, "--train-images", 6400, TF_CONFIG=" ",  # counts as unset
    )  # fmt: skip
    assert alone.returncode == 0, alone.stderr
    manifests = (
        model_manifest.verified(trained_volume.candidate("first", "plain", 1)),
        model_manifest.verified(volume.candidate("alone", "plain", 1)),
    )
    two, one = (measured(manifest, "loss") for manifest in manifests)
    assert two == pytest.approx(one, rel=0.03)  # sums over 128 and over 2 * 64 images round differently


def test_both_signatures_of_a_candidate_give_the_same_answer(trained_volume: Volume, volume_with_data: Volume) -> None:
    model, manifest = saved_model.load(trained_volume.candidate("first", "batchnorm", 1))
    images, _ = sample(volume_with_data)
    by_array = model.signatures["serving_arrays"](images=images)
    files = tf.map_fn(tf.io.encode_png, images, fn_output_signature=tf.string)
    by_file = model.signatures["serving_default"](image_bytes=files)
    assert by_array["class_name"].numpy().tolist() == by_file["class_name"].numpy().tolist()
    assert tf.reduce_max(tf.abs(by_array["probabilities"] - by_file["probabilities"])) < 1e-6
    assert manifest["class_names"][9] == "Ankle boot"


def sample(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    split = input_pipeline.load(volume, "test")
    return split.images[:20], split.labels[:20]


def test_only_the_chief_leaves_files_in_the_run(trained_volume: Volume) -> None:
    run = trained_volume.run("first")
    assert sorted(path.name for path in run.iterdir()) == ["candidates", "checkpoints", "logs", "report", "run.json"]
    assert sorted(path.name for path in (run / "candidates").iterdir()) == ["batchnorm-seed1", "plain-seed1"]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["batchnorm-seed1", "plain-seed1"]


def test_a_finished_model_is_not_trained_again(trained_volume: Volume) -> None:
    again = run_script(
        "multi_worker_distributed_training.py", "--volume", trained_volume, "--model", "plain", "--epochs", 3,
        "--batch-per-worker", 64, "--train-images", 6400, "--run", "first",
        TF_CONFIG=json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}),
    )  # fmt: skip
    assert (again.returncode, again.stdout) == (0, "plain-seed1: already trained in run first; its files verify\n")


def test_a_claim_of_a_run_with_other_settings_is_refused(trained_volume: Volume) -> None:
    identity = json.loads((trained_volume.run("first") / "run.json").read_text())
    run_identity.claim_run(trained_volume, "first", identity)
    other = {**identity, "settings": {**identity["settings"], "epochs": 4}}
    with pytest.raises(outcome.StepError, match="run first was made with other settings"):
        run_identity.claim_run(trained_volume, "first", other)


def without_peers(index: int) -> str:
    """Return the TF_CONFIG of one of two workers, with a peer that does not listen."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        addresses = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in (one, other)]
    return json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})


def test_a_missing_peer_ends_the_worker_after_the_start_timeout(volume: Volume) -> None:
    alone = run_script(
        SCRIPT.name, "--volume", volume, "--model", "plain", "--run", "alone", "--start-timeout", 5,
        TF_CONFIG=without_peers(0),
    )  # fmt: skip
    assert alone.returncode == outcome.LOST_PEER
    assert (
        "worker: waiting for all 2 workers to start took longer than 5 s; the job has to be restarted" in alone.stderr
    )


def test_sigterm_ends_a_waiting_worker_at_once_with_status_143(volume: Volume) -> None:
    options = ["--volume", str(volume), "--model", "plain", "--run", "sigterm"]
    worker = subprocess.Popen(
        [sys.executable, SCRIPT, *options],
        env={**os.environ, "TF_CONFIG": without_peers(1)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout and worker.stderr
    assert "waiting for worker 0" in worker.stdout.readline()
    worker.terminate()
    assert worker.wait(timeout=10) == 143
    assert "ended by SIGTERM" in worker.stderr.read()


def test_ctrl_c_stops_the_whole_worker_group(volume: Volume) -> None:
    group = Group(volume, "--model", "plain", "--epochs", "9")
    group.wait_for("epoch 1/9")
    workers = group.workers()
    group.process.send_signal(signal.SIGINT)
    group.end()
    assert sum("worker: ended by SIGTERM" in line for line in group.lines) == 2
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)


def test_a_bad_tf_config_is_refused_in_one_line(volume_with_data: Volume) -> None:
    bad = run_script(SCRIPT.name, "--volume", volume_with_data, "--model", "plain", TF_CONFIG="{")
    assert bad.returncode == 2
    assert "TF_CONFIG is not the JSON that a TFJob sets" in bad.stderr and bad.stderr.count("\n") == 1


def test_an_unknown_model_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        multi_worker_distributed_training.parse_args(["--model", "resnet"])
    assert ended.value.code == 2
    errors = capsys.readouterr().err
    assert "unknown model resnet; choose from plain, dropout, batchnorm" in errors and errors.count("\n") == 1


def test_an_empty_volume_asks_for_data_ingestion(tmp_path: Path) -> None:
    with pytest.raises(outcome.StepError, match="run data ingestion first"):
        fashion_mnist.verified_manifest(Volume(tmp_path))
