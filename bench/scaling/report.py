"""The tables and the plot of bench/growth.py, as bench/README.md shows them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from scaling.evaluation import BATCHES, EFFICIENCY, LINKS, TARGET, WORKERS, Point, misses
from scaling.model import GATHER, HELD_OUT_LATENCY_MS, HELD_OUT_WORKERS, RING

MODEL = "model, not measured beyond 4 workers on one machine"
NETWORK = ("one-way latency", "bandwidth")


def tables(content: dict[str, Any]) -> str:
    """Return all tables as text."""
    result = content["model"]
    held_out = [point for point in result["exchanges"] if point["held_out"]]
    fitted = [point for point in result["exchanges"] if not point["held_out"]]
    parts = [
        content["measured"]["machine"],
        f"exchange: {result['exchange']}",
        f"computation: {result['computation']}",
        f"memory: {result['memory']}",
        error_table({"fitted": fitted, "held out": held_out, "training step alone": result["alone"]}),
        f"held-out points outside {TARGET[0]} to {TARGET[1]}:",
        exchange_table(misses(held_out)),
        "whole training steps of two workers:",
        whole_table(result),
        f"growth ({MODEL}):",
        growth_table(result),
        "a ring against a gather:",
        ways_table(result),
    ]
    return "\n\n".join(parts)


def error_table(groups: dict[str, Sequence[Point]]) -> str:
    """Return how well the model predicts each group of points, and the held-out ones by workers and latency."""
    split = {
        "held out, most workers": [p for p in groups["held out"] if p["workers"] >= HELD_OUT_WORKERS],
        "held out, highest latency": [p for p in groups["held out"] if p["latency_ms"] >= HELD_OUT_LATENCY_MS],
    }
    rows = []
    for name, points in {**groups, **split}.items():
        ratios = sorted(point["ratio"] for point in points)
        inside = len(points) - len(misses(points))
        rows.append((name, f"{inside} of {len(points)}", *(f"{ratios[at]:.3f}" for at in (0, len(ratios) // 2, -1))))
    return markdown(("points", f"predicted / measured in {TARGET[0]} to {TARGET[1]}", "least", "median", "most"), rows)


def exchange_table(points: Sequence[Point]) -> str:
    header = ("way", "workers", "kB", *NETWORK, "measured", "predicted", "predicted / measured")
    rows = ((p["way"], p["workers"], round(p["bytes"] / 1000), *link_of(p), *compared(p)) for p in points)
    return markdown(header, rows)


def whole_table(result: dict[str, Any]) -> str:
    header = ("images per worker", *NETWORK, "measured", "predicted", "predicted / measured")
    return markdown(header, ((point["batch"], *link_of(point), *compared(point)) for point in result["whole"]))


def growth_table(result: dict[str, Any]) -> str:
    header = (
        *NETWORK,
        "workers",
        "exchange",
        *(f"efficiency at {batch} images" for batch in BATCHES),
        "images for 0.9",
        "global batch",
    )
    rows = (
        (
            *link_of(p),
            p["workers"],
            ms(p["exchange_ms"]),
            *(f"{p[f'efficiency_{b}']:.2f}" for b in BATCHES),
            f"{p['batch']:,}",
            f"{p['batch'] * p['workers']:,}",
        )
        for p in result["growth"]
    )
    return markdown(header, rows)


def ways_table(result: dict[str, Any]) -> str:
    """Return the time of a ring over that of a gather, by workers."""
    rows = []
    for link in LINKS:
        points = points_on(result, link)
        rows.append((*link_of(points[0]), *(f"{p[f'{RING}_ms'] / p[f'{GATHER}_ms']:.2f}" for p in points)))
    return markdown((*NETWORK, *(f"{workers} workers" for workers in WORKERS)), rows)


def points_on(result: dict[str, Any], link: tuple[float, int]) -> list[Point]:
    return [point for point in result["growth"] if (point["latency_ms"], point["megabits"]) == link]


def compared(point: Point) -> tuple[str, str, str]:
    return ms(point["milliseconds"]), ms(point["predicted"]), f"{point['ratio']:.3f}"


def link_of(point: Point) -> tuple[str, str]:
    rate = point["megabits"]
    bandwidth = "unlimited" if rate is None else f"{rate:g} Mbit/s" if rate < 1000 else f"{rate / 1000:g} Gbit/s"
    return f"{point['latency_ms']:g} ms", bandwidth


def ms(milliseconds: float) -> str:
    return f"{milliseconds:,.1f} ms"


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plot(result: dict[str, Any], file: Path) -> None:
    """Draw efficiency over workers: a colour for each link, a line style for each batch, circles for measured ones."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 4.5))
    alone = {point["batch"]: point["milliseconds"] for point in result["alone"]}
    for link, colour in zip(LINKS, ("tab:green", "tab:orange", "tab:blue"), strict=True):
        points = points_on(result, link)
        for batch, style, fill in zip(BATCHES, ("--", "-"), ("white", colour), strict=True):
            label = ", ".join((*link_of(points[0]), f"{batch} images"))
            axes.plot(WORKERS, [p[f"efficiency_{batch}"] for p in points], style, color=colour, label=label)
            for point in result["whole"]:
                if (point["latency_ms"], point["megabits"], point["batch"]) == (*link, batch):
                    measured = alone[batch] / point["milliseconds"]
                    axes.plot(2, measured, "o", color=colour, markerfacecolor=fill, zorder=3)
    for batch, fill in zip(BATCHES, ("white", "grey"), strict=True):
        label = f"measured, 2 workers, {batch} images"
        axes.plot([], [], "o", color="grey", markerfacecolor=fill, label=label)
    axes.axhline(EFFICIENCY, color="grey", linewidth=0.8, linestyle=":")
    axes.set_xscale("log", base=2)
    axes.set_xticks(WORKERS, [str(workers) for workers in WORKERS])
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("workers")
    axes.set_ylabel("efficiency: a worker's speed in the group / alone")
    axes.set_title(f"How training grows ({MODEL})", fontsize=10)
    title = "one-way latency, bandwidth,\nimages per worker"
    axes.legend(title=title, fontsize=8, title_fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.tight_layout()
    figure.savefig(file, dpi=100)
    pyplot.close(figure)
