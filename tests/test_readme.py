"""README's commands, links and paths are real."""

import re
import shlex
from pathlib import Path

import data_ingestion
import model_selection
import multi_worker_distributed_training
import predict_service

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^    ((?:make|\.venv/bin/).*)$", README, re.MULTILINE)
STEPS = {
    "src/data_ingestion.py": data_ingestion,
    "src/multi_worker_distributed_training.py": multi_worker_distributed_training,
    "src/model_selection.py": model_selection,
    "src/predict_service.py": predict_service,
}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_make_command_names_a_target():
    named = [shlex.split(command)[1] for command in COMMANDS if command.startswith("make")]
    assert named == ["run", "test"]
    assert set(named) <= targets()


def test_every_step_command_names_a_script_and_passes_its_arguments():
    words = [shlex.split(command) for command in COMMANDS if command.startswith(".venv/bin/python ")]
    assert len(words) == 4
    for _, script, *arguments in words:
        STEPS[script].parse_args(arguments)


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) >= 6
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_variable_of_the_table_is_one_of_the_makefiles():
    variables = re.findall(r"^\| `([A-Z_]+)` \|", README, re.MULTILINE)
    assert variables == ["WORKERS", "EPOCHS", "BATCH_PER_WORKER", "MODELS", "DATA", "SOURCE"]
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"$({name})" in makefile for name in variables)
