"""The option --part, which chooses the attacks, and the results that a run of them leaves in docs/."""

import platform
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from distml.step import machine
from distml.step.text_table import table
from distml.step.volume import Volume
from reliability import results
from reliability.promises import PARTS, Attack
from support.predictor_process import Predictor, predictor
from support.project import ROOT, run_script

ENTRIES = pytest.StashKey[list[dict]]()
STARTED = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", choices=PARTS, help="which attacks run, and how often: see docs/reliability.md")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ENTRIES] = []
    config.stash[STARTED] = time.time()


def part_of(config: pytest.Config) -> str:
    return config.getoption("part", default="") or ""


def attack_of(item: pytest.Item) -> Attack | None:
    marker = item.get_closest_marker("attack")
    return marker.args[0] if marker else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave only the attacks of the part; without --part, leave them out. An attack limits its own waits."""
    part, kept, left_out = part_of(config), [], []
    for item in items:
        attack = attack_of(item)
        if attack and not (part and attack.times(part)):
            left_out.append(item)
            continue
        kept.append(item)
        if attack:
            item.add_marker(pytest.mark.timeout(0))
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


@pytest.fixture
def times(request: pytest.FixtureRequest) -> int:
    """Return how often the part that runs makes this attack; `promises.ALL` for every place there is."""
    attack = attack_of(request.node)
    assert attack
    return attack.times(part_of(request.config))


def name_of(item: pytest.Item) -> str:
    return item.nodeid.removeprefix("tests/reliability/")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[assignment]
    attack = attack_of(item)
    if attack and (report.when == "call" or report.outcome != "passed"):
        outcome, reason = results.HELD, ""
        if report.skipped:
            outcome, reason = results.NOT_RUN, str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else "")
        elif report.failed:  # an attack whose preparation failed was not made
            outcome, reason = (
                results.NOT_RUN if report.when == "setup" else results.BROKEN,
                f"{call.excinfo.value}".strip().partition("\n")[0] if call.excinfo else "",
            )
        parameters = f": {item.callspec.id}" if hasattr(item, "callspec") else ""
        figures = dict(item.user_properties)
        entry = results.entry(
            name_of(item), attack.promise, attack.how + parameters, outcome, figures, reason.removeprefix("Skipped: ")
        )
        item.config.stash[ENTRIES].append(entry)
    return report  # type: ignore[return-value]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    entries = config.stash[ENTRIES]
    if entries:
        rows = [(one["how"], one["outcome"], one["times"], one["lost"]) for one in entries]
        terminalreporter.write_line(table([("attack", "outcome", "times", "lost"), *rows]))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the results of the longer parts; those of the quick part are only printed."""
    config = session.config
    part, entries, started = part_of(config), config.stash[ENTRIES], config.stash[STARTED]
    if part in ("", "quick") or not entries:
        return
    facts = {
        "commit": commit(),
        "part": part,
        "minutes": round((time.time() - started) / 60),
        "machine": f"{platform.machine()} with {machine.instruction_set()}, {len(machine.cores())} cores",
    }
    results.add(datetime.fromtimestamp(started).strftime("%Y-%m-%d %H:%M"), facts, entries)


def commit() -> str:
    """Return the commit of the clone, and whether its files have changed since."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


@pytest.fixture(scope="session")
def volume_with_data(tmp_path_factory: pytest.TempPathFactory, source_folder: Path) -> Volume:
    """Return a volume with the data set of one ingestion; the other tests share one that three have tried to fill."""
    volume = Volume(tmp_path_factory.mktemp("data"))
    ended = run_script("data_ingestion.py", "--volume", volume, "--source", source_folder)
    assert ended.returncode == 0, ended.stderr
    return volume


@pytest.fixture
def server(served: Volume, tmp_path: Path) -> Iterator[Predictor]:
    with predictor(served, tmp_path / "log") as running:
        yield running
