"""The image of the pods: its user, its contents and its size."""

import shutil
import subprocess
from pathlib import Path

import pytest
from kubernetes import client

from cluster.kube import execute, run

pytestmark = pytest.mark.cluster
IMAGE = "kubeflow/multi-worker-strategy:v0.1"
STEPS = (
    "/data-ingestion.py",
    "/multi-worker-distributed-training.py --run=any-user --model=plain --epochs=1 --train-images=2000",
    "/model-selection.py --run=any-user --accuracy-floor=0",
)
# Asks the predictor in the same container, which may still start.
ASK = """
import time, urllib.request
for _ in range(60):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8080/v2/models/flower-sample/ready").status)
        break
    except OSError:
        time.sleep(1)
"""


def test_the_image_runs_as_a_numeric_user_with_a_read_only_root(pods: None) -> None:
    assert execute("predict-service", "id", "--user").strip() == "1000"
    refused = run("exec", "predict-service", "--", "touch", "/opt/pipeline/src/new")
    assert "Read-only file system" in refused.stderr


@pytest.fixture(scope="module")
def size(cluster: client.ApiClient) -> int:
    """Return the bytes of the image in this machine's Docker, or skip the test."""
    if not shutil.which("docker"):
        pytest.skip("this machine has no docker to inspect the image with")
    inspected = docker("image", "inspect", "--format", "{{.Size}}", IMAGE)
    if inspected.returncode:
        pytest.skip(f"docker cannot inspect the image {IMAGE}: {inspected.stderr.strip()}")
    return int(inspected.stdout)


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_any_users_of_the_group_root_run_the_steps_after_each_other(size: int, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    arguments = ["--rm", "--read-only", "--tmpfs=/tmp", f"--volume={tmp_path}:/trained_model", "--user"]
    for user, step in enumerate(STEPS, 1234567):
        ended = docker("run", *arguments, f"{user}:0", IMAGE, "python3", *step.split())
        assert ended.returncode == 0, ended.stderr
    container = docker("run", "--detach", *arguments, "1234560:0", IMAGE, "python3", "/serve.py").stdout.strip()
    asked = docker("exec", container, "python3", "-c", ASK)
    docker("rm", "--force", container)
    assert (asked.returncode, asked.stdout) == (0, "200\n")
    assert [path for path in tmp_path.rglob("*") if not path.stat().st_mode & 0o020] == []


def test_the_image_contains_no_compiler_and_no_tests(pods: None) -> None:
    found = execute("predict-service", "bash", "-c", "command -v gcc cc c++ make git strip; true")
    assert found == ""
    tests = execute("predict-service", "find", "/opt", "-type", "d", "-name", "tests", "-print", "-quit")
    assert tests == ""


def test_the_image_contains_no_cache(size: int) -> None:
    caches = "/.*/[.]cache/.*|/var/cache/apt/.*|/var/lib/apt/lists/.*"
    find = ["find", "/", "-xdev", "-regextype", "posix-extended", "-type", "f", "-regex", caches]
    # Root can read every folder.
    found = docker("run", "--rm", "--user=0", IMAGE, *find)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "script",
    [
        "/data-ingestion.py",
        "/multi-worker-distributed-training.py",
        "/model-selection.py",
        "/predict-service.py",
        "/serve.py",
        "/pipeline-admin.py smoke-test",
        "/pipeline-admin.py confirm-release",
    ],
)
def test_each_script_has_its_documented_path(script: str, pods: None) -> None:
    assert "--volume VOLUME" in execute("predict-service", "python3", *script.split(), "--help")


def test_the_image_contains_fashion_mnist(pods: None) -> None:
    folder = "/usr/share/datasets/fashion-mnist"
    assert len(execute("predict-service", "ls", folder).split()) >= 4


def test_the_image_is_smaller_than_1_7_gb(size: int) -> None:
    assert size < 1.7e9
