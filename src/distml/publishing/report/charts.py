"""The charts of the report, each an SVG in a data URI, which keeps the page self-contained."""

import base64
import io
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from distml.publishing.report.calibration import Bin
from distml.publishing.selection import certainty
from distml.publishing.selection.ranking import RankedModel

# Okabe and Ito's colours, which colour-blind readers can tell apart, and markers for prints without colour.
LINES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#56B4E9", "v"), ("#E69F00", "P"))
WINNER, OTHER = LINES[0][0], "#5b6775"

# The accuracy of fewer images has an interval so wide that it says nothing.
FEWEST_IMAGES = 10


def curve(title: str, curves: Mapping[str, Sequence[float]], winner: str) -> str:
    """Return a chart with one line per model over the epochs."""
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.subplots()
    for number, (name, values) in enumerate(curves.items()):
        colour, marker = LINES[number % len(LINES)]
        width, label = (2.4, f"{name} (winner)") if name == winner else (1.4, name)
        axes.plot(range(1, len(values) + 1), values, color=colour, marker=marker, lw=width, ms=5, label=label)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(frameon=False)
    return _finished(figure, axes, title)


def intervals(title: str, ranking: Sequence[RankedModel]) -> str:
    """Return a chart of the models, winner on top: the best candidate's accuracy and interval, and the other seeds."""
    figure = Figure(figsize=(5.2, 1.1 + 0.5 * len(ranking)), layout="constrained")
    axes = figure.subplots()
    for row, model in enumerate(ranking):
        low, high = model.best.interval
        others = [one.accuracy for one in model.candidates if one is not model.best]
        colour = OTHER if row else WINNER
        axes.plot([low, high], [row, row], color=colour, marker="|", ms=9, lw=1.8)
        axes.plot(model.best.accuracy, row, color=colour, marker="o", ms=7)
        axes.plot(others, [row] * len(others), color=colour, marker="o", mfc="white", ms=5, ls="none")
    axes.set_yticks(range(len(ranking)), [model.name for model in ranking])
    axes.set_ylim(len(ranking) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    return _finished(figure, axes, title)


def reliability(title: str, bins: Sequence[Bin]) -> str:
    """Return a chart of the accuracy over the confidence of the bins, with intervals, above the numbers of images.

    A bin with fewer than `FEWEST_IMAGES` has no accuracy in the chart.
    """
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    axes, counts = figure.subplots(2, sharex=True, height_ratios=(5, 2))
    axes.plot([0, 1], [0, 1], color=OTHER, ls="--", lw=1, label="calibrated")
    shown = [one for one in bins if one.images >= FEWEST_IMAGES]
    ends = [certainty.interval(one.right, one.images) for one in shown]
    below = [one.accuracy - low for one, (low, _) in zip(shown, ends, strict=True)]
    above = [high - one.accuracy for one, (_, high) in zip(shown, ends, strict=True)]
    confidences, accuracies = [one.confidence for one in shown], [one.accuracy for one in shown]
    axes.errorbar(confidences, accuracies, [below, above], color=WINNER, marker="o", ms=5, lw=1.6, label="this model")
    axes.set(ylabel="accuracy", ylim=(-0.02, 1.02))
    # Beside the title: inside the axes, the legend would hide the points of some models.
    narrow = {"fontsize": 9, "handlelength": 1.5, "columnspacing": 1.2}
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, ncols=2, **narrow)
    width = bins[0].high - bins[0].low
    counts.bar([one.low for one in bins], [one.images for one in bins], width, align="edge", color=WINNER, ec="white")
    counts.set(xlabel="confidence", ylabel="images", xlim=(0, 1), yscale="log", ylim=(0.5, None))
    counts.yaxis.set_major_locator(LogLocator(numticks=10))
    counts.yaxis.set_major_formatter("{x:,.0f}")
    _grid(counts)
    return _finished(figure, axes, title)


def data_uri(content: bytes, media_type: str) -> str:
    """Return `content` as a data URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _grid(axes: Axes) -> None:
    axes.grid(color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _finished(figure: Figure, axes: Axes, title: str) -> str:
    """Return the figure as a data URI, with a title and a grid."""
    axes.set_title(title, loc="left", fontsize=12)
    _grid(axes)
    svg = io.BytesIO()
    figure.savefig(svg, format="svg")
    return data_uri(svg.getvalue(), "image/svg+xml")
