"""The files for GitHub and pre-commit agree with the Makefile, the requirements and docs/upgrading.md."""

import re
import shlex
import shutil
import subprocess
import tomllib

import pytest
import yaml

from support import makefile
from support.project import ROOT

WORKFLOW = (ROOT / ".github/workflows/ci.yaml").read_text()
JOBS = yaml.safe_load(WORKFLOW)["jobs"]
HOOKS = {
    hook["id"]: hook | {"repo": repository["repo"]}
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]
}
VERSIONS = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|", (ROOT / "docs/upgrading.md").read_text(), re.MULTILINE))


def made(job: str) -> list[str]:
    """Return the arguments of make in a job, in order."""
    commands = [step["run"].replace("${{ matrix.python }}", "3.N") for step in JOBS[job]["steps"] if "run" in step]
    return [word for command in commands if command.startswith("make ") for word in shlex.split(command)[1:]]


RELIABILITY = ["reliability", "PART=quick", "PYTHON=python3.N"]


def test_each_ci_job_runs_its_make_targets() -> None:
    assert {job: made(job) for job in JOBS} == {
        "lint": ["lint", "PYTHON=python3.11"],
        "test": ["test", "PYTHON=python3.N", "test-hostile", "PYTHON=python3.N", *RELIABILITY],
        "cluster": ["cluster", "image", "test-cluster", "PYTHON=python3.11"],
    }


def test_the_ci_jobs_use_targets_and_variables_of_the_makefile() -> None:
    words = [word for job in JOBS for word in made(job)]
    targets = {word for word in words if "=" not in word}
    assert targets <= makefile.TARGETS
    assert {word.partition("=")[0] for word in words} - targets <= set(makefile.VARIABLES)


def test_the_ci_runs_the_tests_on_each_supported_python() -> None:
    supported = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    ((lowest, above),) = re.findall(r"^>=3\.(\d+),<3\.(\d+)$", supported)
    assert JOBS["test"]["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(int(lowest), int(above))]


def test_the_ci_fails_where_a_test_misses_its_program() -> None:
    assert JOBS["test"]["env"] == {"REQUIRE_ALL_PROGRAMS": "1"}


def test_make_cluster_creates_nodes_with_a_supported_kubernetes() -> None:
    images = re.findall(r"--image (kindest/node|rancher/k3s):v([\w.-]+)", makefile.TEXT)
    assert dict(images) == {
        "kindest/node": VERSIONS["kind's node image"].removeprefix("v"),
        "rancher/k3s": VERSIONS["k3d's node image"].removeprefix("v"),
    }
    lowest, highest = VERSIONS["Kubernetes"].split(" to ")
    assert all(lowest <= ".".join(version.split(".")[:2]) <= highest for _, version in images)


def test_each_action_is_pinned_by_the_hash_of_the_version_in_the_table() -> None:
    used = re.findall(r"uses: (.+)", WORKFLOW)
    assert len(used) == 2 * len(JOBS)
    assert [re.sub("@[0-9a-f]{40} # ", " ", line) for line in sorted(set(used))] == [
        "actions/checkout " + VERSIONS["actions/checkout"],
        "actions/setup-python " + VERSIONS["actions/setup-python"],
    ]


def test_a_hung_test_on_the_cluster_still_prints_pods_and_logs() -> None:
    tests, last = JOBS["cluster"]["steps"][-2:]
    assert tests["run"].startswith("make test-cluster ")
    assert tests["timeout-minutes"] < JOBS["cluster"]["timeout-minutes"]
    assert last["if"] == "failure()"


def test_the_hooks_run_the_ruff_that_the_requirements_pin() -> None:
    assert list(HOOKS) == ["environment", "ruff-check", "ruff-format", "actionlint"]
    entries = [HOOKS[name]["entry"] for name in ("environment", "ruff-check", "ruff-format")]
    assert entries == [
        "sh environment.sh dev",
        ".venv/bin/ruff check --fix --force-exclude",
        ".venv/bin/ruff format --force-exclude",
    ]
    assert {hook["repo"] for hook in HOOKS.values()} == {"local", "https://github.com/rhysd/actionlint"}
    assert len(re.findall(r"^ruff==", (ROOT / "requirements/dev.txt").read_text(), re.MULTILINE)) == 1


def test_actionlint_has_one_version() -> None:
    (in_ci,) = re.findall(r"rhysd/actionlint/cmd/actionlint@(\S+)", WORKFLOW)
    (in_hook,) = re.findall(r"rev: [0-9a-f]{40} # (\S+)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert in_ci == in_hook == VERSIONS["actionlint"]


def test_each_pattern_of_gitattributes_matches_a_tracked_file() -> None:
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("this copy of the project has no .git, or this machine has no git")
    patterns = re.findall(r"^([^#\s]+) ", (ROOT / ".gitattributes").read_text(), re.MULTILINE)
    assert patterns == ["*", "*.png", "requirements/**/*.txt"]
    for pattern in patterns:
        assert subprocess.check_output(["git", "ls-files", "--", pattern], cwd=ROOT), pattern
