"""Training by real worker processes on the real data."""

import json
import re
import subprocess
import sys
import threading

import psutil
import pytest
import tensorflow as tf
from conftest import SOURCE, run_script

import input_pipeline
import model_manifest
import saved_model

SCRIPT = SOURCE / "multi_worker_distributed_training.py"
FAST = ("--batch-per-worker", "64", "--train-images", "12800", "--run", "test")


class Gang:
    """`local_pipeline`'s gang for one model, its output line by line."""

    def __init__(self, volume, *options: str, workers: int = 2):
        code = (
            "import sys; sys.path.insert(0, sys.argv[1]); from local_gang import run_gang\n"
            "run_gang([sys.executable, *sys.argv[3:]], int(sys.argv[2]), restarts=1)"
        )
        command = [sys.executable, "-c", code, SOURCE, workers, SCRIPT, "--volume", volume, *FAST, *options]
        self.process = subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.timer = threading.Timer(600, self.process.kill)
        self.timer.start()
        self.lines: list[str] = []

    def wait_for(self, text: str) -> None:
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if text in line:
                return
        pytest.fail(f"the gang ended without saying {text!r}:\n" + "\n".join(self.lines))

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def end(self) -> int:
        self.lines += [line.rstrip() for line in self.process.stdout]
        self.timer.cancel()
        return self.process.wait()

    def finished_epochs(self) -> list[int]:
        return [int(match[1]) for line in self.lines if (match := re.search(r"epoch (\d+)/\d+  loss", line))]


@pytest.mark.parametrize("victim", [0])
def test_a_killed_worker_resumes_from_its_checkpoint(volume, victim):
    gang = Gang(volume, "--model", "plain", "--epochs", "3")
    gang.wait_for("epoch 1/3")
    gang.workers()[victim].kill()
    assert gang.end() == 0, gang.lines
    assert f"worker {victim} was killed by SIGKILL" in "\n".join(gang.lines)
    assert "plain: going on after epoch 1/3 from its checkpoint" in gang.lines
    assert gang.finished_epochs() == [1, 2, 3]
    manifest = model_manifest.verified(volume.candidate("test", "plain"))
    rates = [epoch["learning_rate"] for epoch in manifest["metrics"]["history"]]
    assert len(rates) == 3 and rates == sorted(rates, reverse=True)


def test_all_workers_end_with_identical_weights_and_statistics(trained_volume):
    output = (trained_volume.root / "output.txt").read_text()
    digests = re.findall(r"weights sha256 (\w{64})", output)
    assert len(digests) == 4 and digests[0] == digests[1] != digests[2] == digests[3]


def test_a_candidate_answers_by_both_signatures_in_a_plain_program(trained_volume, volume_with_data):
    model, manifest = saved_model.load(trained_volume.candidate("first", "batchnorm"))
    images, _ = saved_model_sample(volume_with_data)
    by_array = model.signatures["serving_arrays"](images=images)
    files = tf.map_fn(tf.io.encode_png, images, fn_output_signature=tf.string)
    by_file = model.signatures["serving_default"](image_bytes=files)
    assert by_array["class_name"].numpy().tolist() == by_file["class_name"].numpy().tolist()
    assert tf.reduce_max(tf.abs(by_array["probabilities"] - by_file["probabilities"])) < 1e-6
    assert manifest["class_names"][9] == "Ankle boot"


def saved_model_sample(volume):
    split = input_pipeline.load(volume, "test")
    return split.images[:20], split.labels[:20]


def test_the_other_workers_leave_nothing_behind(trained_volume):
    run = trained_volume.run("first")
    assert sorted(path.name for path in run.iterdir()) == ["candidates", "checkpoints", "logs", "report", "run.json"]
    assert sorted(path.name for path in (run / "candidates").iterdir()) == ["batchnorm", "plain"]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["batchnorm", "plain"]


def test_a_finished_run_is_reused_and_says_so(trained_volume):
    again = run_script(
        "multi_worker_distributed_training.py", "--volume", trained_volume, "--model", "plain", "--epochs", 1,
        "--batch-per-worker", 64, "--train-images", 12800, "--run", "first",
        TF_CONFIG=json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}),
    )  # fmt: skip
    assert (again.returncode, again.stdout) == (0, "plain: already trained in run first; its files verify\n")


def test_a_run_of_other_settings_is_refused(trained_volume):
    other = run_script(
        "multi_worker_distributed_training.py", "--volume", trained_volume, "--model", "plain", "--run", "first"
    )
    assert other.returncode == 2
    assert "run first was made with another settings" in other.stderr


@pytest.mark.parametrize(
    ("config", "message"),
    [("{", "TF_CONFIG is not the JSON that a TFJob sets"), ("[]", "TF_CONFIG is not the JSON that a TFJob sets")],
)
def test_a_bad_tf_config_is_one_line(volume_with_data, config, message):
    bad = run_script(SCRIPT.name, "--volume", volume_with_data, "--model", "plain", TF_CONFIG=config)
    assert bad.returncode == 2
    assert message in bad.stderr and "Traceback" not in bad.stderr


def test_an_unknown_model_ends_with_usage():
    wrong = run_script(SCRIPT.name, "--model", "resnet")
    assert wrong.returncode == 2
    assert "invalid choice: 'resnet'" in wrong.stderr


def test_without_data_it_says_to_ingest(tmp_path):
    early = run_script(SCRIPT.name, "--volume", tmp_path, "--model", "plain")
    assert early.returncode == 2
    assert "run data ingestion first" in early.stderr
