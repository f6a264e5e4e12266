"""The caller's settings of pip: they decide where packages come from, but not what pip installs, nor where to."""

import pytest

from support.clone import PYTHON, Clone


def test_a_failed_pip_install_ends_with_one_line_and_no_stamp(ready_clone: Clone) -> None:
    next(ready_clone.wheels.glob("tiny_dev*")).unlink()
    ended = ready_clone.environment("dev")
    assert ended.returncode == 1
    assert ended.stderr.endswith(
        "pip could not install the packages of .venv (its error is above); fix that and run make again\n"
    )
    assert not (ready_clone.folder / ".venv/made-from").exists()


# Settings with which pip would install other packages, or install them elsewhere.
UNWANTED = {
    **{"user": "1", "target": "target", "prefix": "prefix", "root": "root", "python": str(PYTHON)},
    **{"require-virtualenv": "1", "dry-run": "1", "constraint": "nowhere.txt", "requirement": "nowhere.txt"},
    **{"no-binary": ":all:", "no-deps": "0", "require-hashes": "0"},
}


def test_no_variable_changes_what_pip_installs_or_where(ready_clone: Clone) -> None:
    also = {"PIP_EDITABLE": "x", "PIP_PLATFORM": "x", "PIP_PYTHON_VERSION": "3.9", "PIP_ABI": "x", "PIP_GROUP": "x"}
    python = {"PYTHONPATH": "x", "PYTHONHOME": "x", "PYTHONUSERBASE": "x", "PYTHONSAFEPATH": "1", "PYTHONOPTIMIZE": "2"}
    variables = {"PIP_" + name.upper().replace("-", "_"): value for name, value in UNWANTED.items()}
    before = set(ready_clone.folder.iterdir())
    (ready_clone.folder / ".venv/made-from").unlink()
    ended = ready_clone.environment("run", **variables, **also, **python, PYTHONWARNINGS="error")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (ready_clone.installed(), set(ready_clone.folder.iterdir())) == ({"tiny_run.py"}, before)


@pytest.mark.parametrize("section", ["global", "install"])
def test_pip_conf_changes_the_links_but_not_what_pip_installs(ready_clone: Clone, section: str) -> None:
    config = ready_clone.folder / "pip.conf"
    lines = [f"{name} = {value}" for name, value in UNWANTED.items()]
    config.write_text("\n".join([f"[{section}]", *lines, "[global]" * (section == "install")]))
    with config.open("a") as file:
        file.write(f"\nno-index = true\nfind-links = {ready_clone.wheels}\n")
    before = set(ready_clone.folder.iterdir())
    ended = ready_clone.environment("dev", PIP_CONFIG_FILE=str(config), PIP_NO_INDEX="", PIP_FIND_LINKS="")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (ready_clone.installed(), set(ready_clone.folder.iterdir())) == ({"tiny_run.py", "tiny_dev.py"}, before)
