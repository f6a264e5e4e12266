"""CHANGELOG's tables of renamed paths, as far as they are not released, name what is there and nothing that is gone."""

import re

from support.project import ROOT

CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
UNRELEASED = CHANGELOG.partition("\n## Unreleased\n")[2].partition("\n## ")[0]
ROW = re.compile(r"^\| (`.+) \| (.+) \|$", re.MULTILINE)


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_a_renamed_file_is_no_longer_where_it_was() -> None:
    before = [name.split("=")[-1].lstrip("/") for old, _ in ROW.findall(UNRELEASED) for name in names(old)]
    paths = [name if "." in name else f"src/{name}.py" for name in before]
    assert [path for path in paths if (ROOT / path).exists()] == []


def test_each_module_is_where_the_changelog_says() -> None:
    now = []
    for old, new in ROW.findall(UNRELEASED):
        now += [name for name in names(new) if re.fullmatch(r"[a-z_/]+/[a-z0-9_]+", name)]
        for room in re.findall(r"the same names? in `([\w/]+)/`", new):
            now += [f"{room}/{name}" for name in names(old)]
    assert [name for name in now if not (ROOT / f"src/distml/{name}.py").is_file()] == []


def test_each_file_of_the_requirements_is_where_the_changelog_says() -> None:
    now = {name for _, new in ROW.findall(UNRELEASED) for name in names(new) if name.startswith("requirements/")}
    assert [name for name in now if not (ROOT / name).is_file()] == []


def test_the_tables_are_read() -> None:
    rows = ROW.findall(CHANGELOG)
    assert ("`requirements-gpu.txt`", "`requirements/run-gpu.txt`") in rows
    assert sum(len(names(old)) for old, _ in rows) > 40
