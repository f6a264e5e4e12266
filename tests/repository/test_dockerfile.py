"""The Dockerfile: the image's scripts, files and packages. The tests do not run Docker."""

import re

from support.project import ROOT
from support.yaml_files import DOCKERFILE, SCRIPTS


def test_each_script_of_the_image_is_a_file_in_src() -> None:
    assert SCRIPTS == {
        "data_ingestion": "data-ingestion.py",
        "multi_worker_distributed_training": "multi-worker-distributed-training.py",
        "model_selection": "model-selection.py",
        "predict_service": "predict-service.py",
        "pipeline_admin": "pipeline-admin.py",
        "serve": "serve.py",
    }
    for module in SCRIPTS:
        assert (ROOT / "src" / f"{module}.py").is_file()


def test_the_image_uses_a_pinned_base_and_only_files_sent_to_docker() -> None:
    base = "python:3.11-slim-bookworm"
    assert re.findall(r"^FROM (.+)$", DOCKERFILE, re.MULTILINE) == [f"{base} AS packages", base]
    assert "--no-build-isolation --require-hashes" in DOCKERFILE
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sent == {"requirements/run.txt", "requirements/run-gpu.txt", "src", "build-settings"}
    assert all((ROOT / name).exists() for name in sent - {"build-settings"})


def test_build_settings_reach_only_the_stage_of_the_packages() -> None:
    packages, image = DOCKERFILE.split(" AS packages\n")[1].split("\nFROM ")
    assert "COPY requirements/${REQUIREMENTS} build-settings* /\n" in packages
    copied = ["/usr/share/datasets", "/usr/share/doc/dataset-fashion-mnist", "/opt/venv"]
    assert re.findall(r"^COPY (.+)$", image, re.MULTILINE) == [
        *(f"--from=packages {folder} {folder}" for folder in copied),
        "src /opt/pipeline/src",
    ]
    assert not re.search(r"\b(apt-get|pip|ARG)\b", image)
    assert "/build-settings/\n" in (ROOT / ".gitignore").read_text()


def test_the_gpu_requirements_differ_only_in_tensorflow() -> None:
    def pins(name: str) -> set[str]:
        found = re.findall(r"^([a-z][\w.-]*==\S+)", (ROOT / name).read_text(), re.MULTILINE)
        return {pin for pin in found if not pin.startswith("nvidia-")}

    cpu, gpu = pins("requirements/run.txt"), pins("requirements/run-gpu.txt")
    (tensorflow,) = (pin for pin in gpu if pin.startswith("tensorflow=="))
    assert cpu - gpu == {tensorflow.replace("tensorflow==", "tensorflow-cpu==")}
    assert gpu <= cpu
