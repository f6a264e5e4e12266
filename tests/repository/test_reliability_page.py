"""The page about reliability: made from the results, which have each attack once, and none that broke a promise."""

import ast

from reliability import results
from reliability.results import HELD, NOT_RUN
from support.project import ROOT

FILES = sorted((ROOT / "tests/reliability").glob("test_*.py"))
RESULTS = results.read()


def attacks() -> dict[str, bool]:
    """Return the names of the tests with the decorator `attack`, and whether the part of an hour makes the attack."""
    return {
        f"{path.name}::{test.name}": "hour" in parts
        for path in FILES
        for test in ast.parse(path.read_text()).body
        if isinstance(test, ast.FunctionDef)
        for parts in map(_parts, test.decorator_list)
        if parts
    }


def _parts(decorator: ast.expr) -> set[str | None]:
    """Return the parts that an `attack` decorator names; empty for any other decorator."""
    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "attack":
        return {keyword.arg for keyword in decorator.keywords}
    return set()


def test_the_page_is_made_from_the_results() -> None:
    assert results.PAGE.read_text() == results.page(RESULTS)


def test_each_attack_has_a_result() -> None:
    assert len(attacks()) > 10
    found = {attack["attack"].partition("[")[0] for attack in RESULTS["attacks"]}
    assert found <= attacks().keys()
    assert {name for name, in_an_hour in attacks().items() if in_an_hour} <= found


def test_no_attack_that_was_run_broke_its_promise() -> None:
    assert {attack["outcome"] for attack in RESULTS["attacks"]} <= {HELD, NOT_RUN}
    assert sum(attack["lost"] for attack in RESULTS["attacks"]) == 0
    assert all(attack["times"] for attack in RESULTS["attacks"] if attack["outcome"] == HELD)
    assert all(attack["reason"] for attack in RESULTS["attacks"] if attack["outcome"] == NOT_RUN)


def test_each_result_names_a_run_of_the_page() -> None:
    assert {attack["run"] for attack in RESULTS["attacks"]} == RESULTS["runs"].keys()
