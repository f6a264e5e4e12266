"""The subcommand check-workflow: its outputs, and what it loads."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import pipeline_admin
from administration.test_parameters import VALUES
from distml import administration
from support.project import SOURCE, run_script


def options(folder: Path, **changes: str) -> list[str]:
    """Return the command line of the workflow's first step."""
    listed = [{"name": name, "value": value} for name, value in (VALUES | changes).items()]
    given = f"--parameters={json.dumps(listed)}"
    return ["check-workflow", f"--volume={folder}", "--workflow=distml-abcde", given, f"--outputs={folder}"]


def outputs(folder: Path) -> tuple[str, str]:
    return (folder / "train").read_text(), (folder / "reason").read_text()


def test_right_parameters_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline_admin.main(pipeline_admin.parse_args(options(tmp_path)))
    assert outputs(tmp_path) == ("true", "the parameter train is always")
    assert capsys.readouterr().out == "the parameters are right; training: the parameter train is always\n"


def test_a_wrong_parameter_exits_with_2_and_writes_no_output(tmp_path: Path) -> None:
    ended = run_script("pipeline_admin.py", *options(tmp_path, workers="0"))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "pipeline_admin.py: parameter workers: '0' is not an integer of 1 or more\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("train", "text", "printed"), [(True, "true", "training"), (False, "false", "not training")])
def test_if_needed_asks_whether_to_train(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    train: bool,
    text: str,
    printed: str,
) -> None:
    asked: list[tuple[str, ...]] = []

    def decide(*arguments: object) -> SimpleNamespace:
        asked.append(tuple(map(str, arguments)))
        return SimpleNamespace(train=train, reason="a sentence")

    monkeypatch.setattr(administration, "retraining", SimpleNamespace(decide=decide), raising=False)
    pipeline_admin.main(pipeline_admin.parse_args(options(tmp_path, train="if-needed")))
    assert asked == [(str(tmp_path), "flower-sample", "kubeflow")]
    assert outputs(tmp_path) == (text, "a sentence")
    assert capsys.readouterr().out == f"the parameters are right; {printed}: a sentence\n"


def test_the_check_loads_neither_tensorflow_nor_the_kubernetes_client(tmp_path: Path) -> None:
    code = (
        "import pipeline_admin, sys; pipeline_admin.main(pipeline_admin.parse_args(sys.argv[1:]));"
        "print({'tensorflow', 'keras', 'kubernetes'} & {*sys.modules})"
    )
    command = [sys.executable, "-c", code, *options(tmp_path)]
    ended = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "set()"
