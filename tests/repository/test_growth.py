"""The model of bench/growth.py: its fits, its held-out points, and the recorded results."""

import json
import sys
from typing import Any

import pytest

from support.project import ROOT, run_without_programs

sys.path.append(str(ROOT / "bench"))

import growth
from scaling import evaluation, model, report
from scaling.model import GATHER, RING, Computation, Exchange

SIZE = 246_060
CORES = 2
TRUE = Exchange(alpha=0.5, beta=2e-6, omega=0.2)


def points_of(exchange: Exchange, way: str) -> list[dict[str, Any]]:
    """Return points as bench/growth.py measures them, with the times that `exchange` predicts."""
    points = [
        {
            **{"way": way, "workers": workers, "bytes": SIZE // divisor},
            **{"latency_ms": latency, "delay_ms": 1.1 * latency, "bytes_per_ms": rate and 125 * rate},
        }
        for workers in growth.WORKERS
        for latency in growth.LATENCIES
        for rate in growth.RATES
        for divisor in growth.DIVISORS
    ]
    return [{**point, "milliseconds": exchange.milliseconds(point, CORES)} for point in points]


@pytest.mark.parametrize("way", [RING, GATHER])
def test_a_fit_recovers_the_parameters_of_exact_points(way: str) -> None:
    fit = Exchange.fit(points_of(TRUE, way), CORES)
    assert (fit.alpha, fit.beta, fit.omega) == pytest.approx((0.5, 2e-6, 0.2))


def test_a_fit_recovers_the_parameters_of_exact_training_steps() -> None:
    points = [{"batch": batch, "milliseconds": 2 + 0.1 * batch} for batch in growth.BATCHES]
    fit = Computation.fit(points)
    assert (fit.fixed, fit.per_image) == pytest.approx((2, 0.1))


def test_held_out_points_do_not_change_the_fit() -> None:
    points = points_of(TRUE, RING) + points_of(TRUE, GATHER)
    spoiled = [
        {**point, "milliseconds": 9 * point["milliseconds"]} if model.is_held_out(point) else point for point in points
    ]
    alone = [{"batch": batch, "milliseconds": batch} for batch in growth.BATCHES]
    measured, changed = ({"exchanges": exchanges, "alone": alone, "cores": CORES} for exchanges in (points, spoiled))
    assert points != spoiled
    assert model.fits(measured) == model.fits(changed)


def test_the_highest_latency_and_the_most_workers_are_held_out() -> None:
    held_out = {(p["workers"], p["latency_ms"]) for p in points_of(TRUE, RING) if model.is_held_out(p)}
    assert held_out == {(2, 5), (3, 5), (4, 0), (4, 1), (4, 2), (4, 5)}


def test_messages_and_volume_are_those_of_a_ring_and_a_gather() -> None:
    assert [model.messages(RING, workers) for workers in (2, 3, 4)] == [3, 5, 7]
    assert [model.messages(GATHER, workers) for workers in (2, 3, 4)] == [2, 3, 4]
    assert [model.volume(RING, workers) for workers in (2, 4)] == [1, 1.5]
    assert [model.volume(GATHER, workers) for workers in (2, 4)] == [1, 3]


@pytest.mark.parametrize("exchange", [1.5, 20, 300])
def test_the_batch_for_an_efficiency_has_that_efficiency(exchange: float) -> None:
    computation = Computation(fixed=2, per_image=0.1)
    batch = computation.batch_for(0.9, exchange)
    assert computation.efficiency(batch, exchange) == pytest.approx(0.9)


def test_the_models_choice_of_a_way_is_the_projects() -> None:
    chosen = (ROOT / "src/distml/training/group/mean.py").read_text()
    largest = max(workers for workers in growth.WORKERS if model.way_of(workers) == GATHER)
    assert f"GATHER_UP_TO = {largest}\n" in chosen


def test_the_recorded_model_follows_from_the_recorded_points() -> None:
    recorded = json.loads((growth.RESULTS / "growth.json").read_text())
    assert recorded["model"] == evaluation.evaluate(recorded["measured"])


def test_the_page_contains_the_recorded_tables() -> None:
    recorded = json.loads((growth.RESULTS / "growth.json").read_text())
    rows = [line for line in report.tables(recorded).splitlines() if line.startswith("|")]
    page = (ROOT / "bench/README.md").read_text().splitlines()
    assert len(rows) > len(evaluation.LINKS) * len(evaluation.WORKERS)
    missing = [row for row in rows if row not in page]
    assert missing == [], "copy the tables that bench/growth.py --from-results prints to bench/README.md"


def test_a_faster_network_has_a_table_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    growth.main(growth.parse_args(["--link", "0.2", "25000"]))
    rows = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| 0.2 ms"] * len(evaluation.WORKERS)
    assert all("| 25 Gbit/s |" in row for row in rows[2:])


def test_a_fixed_part_too_little_to_be_seen_is_none() -> None:
    points = [{"batch": batch, "milliseconds": 0.1 * batch - 0.5} for batch in (32, 64, 512)]
    fitted = Computation.fit(points)
    assert fitted.fixed == 0
    assert 0.08 < fitted.per_image < 0.1


def test_the_memory_limit_of_the_model_is_that_of_the_workers() -> None:
    for name in ("multi-worker-tfjob.yaml", "workflow.yaml"):
        assert f"memory: {evaluation.WORKER_LIMIT}Mi\n" in (ROOT / name).read_text()


def test_measuring_without_toxiproxy_ends_with_one_line() -> None:
    status, (line,) = run_without_programs("bench/growth.py")
    assert status == 1
    assert "toxiproxy-server is not on the PATH; install Toxiproxy: `brew install toxiproxy`" in line
