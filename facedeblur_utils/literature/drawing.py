"""Figure 1.1 (structure of the thesis), Figure 2.1 (PRISMA flow) and the matrix of Table 2.3, from data."""

import textwrap

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from facedeblur_utils.literature.loader import load
from facedeblur_utils.literature.prisma import Flow, flow
from facedeblur_utils.literature.schema import TOPICS
from facedeblur_utils.literature.shapes import TOPIC_NAMES, names
from facedeblur_utils.reporting.figures import COLOURS, WIDE

FILL, SIDE_FILL, EDGE = "#e8f0f7", "#f4f4f4", "#44546a"


def structure_figure() -> tuple[Figure, pd.DataFrame]:
    """Figure 1.1: the steps of the thesis from top to bottom, an arrow where one feeds another; its data."""
    steps = load("structure")
    depth = dict.fromkeys(steps["number"], 0)
    for step in steps.itertuples():  # rows stand in an order in which every arrow points down
        for target in step.leads_to:
            depth[target] = max(depth[target], depth[step.number] + 1)
    levels = pd.Series(depth)
    fig, ax = _canvas(WIDE, 0.72 * (levels.max() + 1))
    height, step_y, boxes = 0.66 / (levels.max() + 1), 1 / (levels.max() + 1), {}
    for step in steps.itertuples():
        row = list(levels.index[levels == levels[step.number]])
        x = (row.index(step.number) + 0.5) / len(row)
        y = 1 - (levels[step.number] + 0.5) * step_y
        text = f"{step.chapter}  {step.step}\n" + ", ".join(step.content)
        boxes[step.number] = _box(ax, x, y, 0.46, height, text)
    for step in steps.itertuples():
        for target in step.leads_to:
            _arrow(ax, boxes[step.number], boxes[target])
    data = steps.assign(
        content=steps["content"].str.join("; "), leads_to=[" ".join(map(str, to)) for to in steps["leads_to"]]
    )
    return fig, data


def prisma_figure() -> tuple[Figure, pd.DataFrame]:
    """Figure 2.1: both searches, with 'not reported' where the thesis gives no number; its data."""
    fig, axes = plt.subplots(1, 2, figsize=(WIDE, 3.9))
    for ax, review, letter in zip(axes, ("articles", "surveys"), "ab", strict=True):
        _empty(ax)
        ax.set_title(f"({letter}) Review of {review}")
        _draw_flow(ax, flow(review), review)
    return fig, load("prisma")


def topics_figure() -> tuple[Figure, pd.DataFrame]:
    """The matrix of Table 2.3: a filled square where a survey covers a topic; its data."""
    frame = load("2.3")
    covered = frame[list(TOPICS)].to_numpy()
    labels = names(frame) + ", " + load("2.2")["year"].astype(str)
    fig, ax = plt.subplots(figsize=(WIDE, 3.0))
    for y, row in enumerate(covered):
        for x, yes in enumerate(row):
            ax.scatter(
                x, y, s=70, marker="s", color=COLOURS[0] if yes else "none", edgecolor=EDGE, linewidth=0.6
            )
    ax.set_xticks(
        range(len(TOPICS)),
        [f"{textwrap.fill(t, 12)}\n{n} of 9" for t, n in zip(TOPIC_NAMES, covered.sum(axis=0), strict=True)],
    )
    ax.set_yticks(range(len(frame)), labels)
    ax.set(xlim=(-0.6, len(TOPICS) - 0.4), ylim=(len(frame) - 0.4, -0.6))
    ax.tick_params(length=0)
    ax.xaxis.tick_top()
    for side in ax.spines.values():
        side.set_visible(False)
    return fig, frame


def _draw_flow(ax: Axes, counts: Flow, review: str) -> None:
    main, side, width = 0.27, 0.77, 0.5
    screened = f"Titles and abstracts screened\nn = {counts.found}"
    found = _box(ax, 0.5, 0.7, 0.96, 0.11, screened)
    read = _box(ax, main, 0.42, width, 0.12, f"Read in full\nn = {counts.read + counts.others}")
    name = f"{review.capitalize()} in the review\nn = {counts.included}"
    included = _box(ax, main, 0.1, width, 0.12, name)
    for i, row in enumerate(counts.databases.itertuples()):
        share = 1 / len(counts.databases)
        text = f"{_wrapped(row.source)}\nn = {row.found}"
        _arrow(ax, _box(ax, (i + 0.5) * share, 0.92, 0.9 * share, 0.14, text), found)
    _line(ax, (main, found[1] - found[3] / 2), (main, read[1] + read[3] / 2))
    _arrow(ax, read, included)
    parts = " + ".join(str(n) for n in counts.databases["excluded"])
    text = f"Excluded by title or\nabstract, n = {counts.excluded}\n({parts})"
    _sideways(ax, main, _box(ax, side, 0.56, 0.42, 0.13, text, fill=SIDE_FILL))
    if counts.unexplained:
        why = "duplicates, out of reach,\noff topic: not reported"
        text = f"Left out after reading\nn = {counts.unexplained}\n{why}"
        _sideways(ax, main, _box(ax, side, 0.26, 0.42, 0.19, text, fill=SIDE_FILL))
    if counts.others:
        box = _box(ax, side, 0.42, 0.34, 0.09, f"From other sources\nn = {counts.others}")
        _line(ax, (box[0] - box[2] / 2, box[1]), (read[0] + read[2] / 2, read[1]))


def _wrapped(name: str) -> str:
    head, _, tail = name.rpartition(" ")
    return f"{head}\n{tail}" if head else name


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    fig, ax = plt.subplots(figsize=(width, height))
    _empty(ax)
    return fig, ax


def _empty(ax: Axes) -> None:
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.axis("off")


def _box(ax: Axes, x: float, y: float, width: float, height: float, text: str, fill: str = FILL) -> tuple:
    """A box with centred text; returns (x, y, width, height) for arrows."""
    corner = (x - width / 2, y - height / 2)
    patch = FancyBboxPatch(
        corner,
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.015",
        facecolor=fill,
        edgecolor=EDGE,
        lw=0.7,
    )
    ax.add_patch(patch)
    ax.text(x, y, text, ha="center", va="center", fontsize=6.5, linespacing=1.25)
    return x, y, width, height


def _arrow(ax: Axes, start: tuple, end: tuple) -> None:
    """From the bottom of one box to the top of another."""
    _line(ax, (start[0], start[1] - start[3] / 2), (_nearest(start[0], end), end[1] + end[3] / 2))


def _sideways(ax: Axes, x: float, box: tuple) -> None:
    """From the vertical line at `x` to the left side of a box."""
    _line(ax, (x, box[1]), (box[0] - box[2] / 2, box[1]))


def _line(ax: Axes, tail: tuple, tip: tuple) -> None:
    style = {"arrowstyle": "-|>", "color": EDGE, "lw": 0.8, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", tip, tail, arrowprops=style)


def _nearest(x: float, box: tuple) -> float:
    """The point of the top edge of `box` that is nearest to `x`, clear of its corners."""
    reach = 0.4 * box[2]
    return min(max(x, box[0] - reach), box[0] + reach)
