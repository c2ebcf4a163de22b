"""Figure 1.1 (structure of the thesis), Figure 2.1 (PRISMA flow) and the matrix of Table 2.3, from data."""

import textwrap

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from facedeblur_utils.literature.loader import load
from facedeblur_utils.literature.prisma import MAIN, OTHER, OUT, SILENT, boxes
from facedeblur_utils.literature.schema import TOPICS
from facedeblur_utils.literature.shapes import TOPIC_NAMES, names
from facedeblur_utils.reporting.figures import COLOURS, WIDE, styled

FILL, SIDE_FILL, PHASE_FILL, EDGE = "#e8f0f7", "#f4f4f4", "#cfdcea", "#44546a"
FLOW_COLUMNS = {MAIN: (0.205, 0.29), OUT: (0.545, 0.29), OTHER: (0.865, 0.265)}  # centre and width
FLOW_LETTERS = 34  # in a line of a box
# Centre and height of each level of a flow, as shares of its panel.
FLOW_LEVELS = ((0.8925, 0.205), (0.648, 0.205), (0.4485, 0.115), (0.264, 0.175), (0.072, 0.13))


@styled
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


@styled
def prisma_figure() -> tuple[Figure, pd.DataFrame]:
    """Figure 2.1: both searches as PRISMA 2020 draws them; its data."""
    flows = {review: boxes(review) for review in ("articles", "surveys")}
    fig, axes = plt.subplots(2, 1, figsize=(WIDE, 7.9))
    for ax, (review, flow), letter in zip(axes, flows.items(), "ab", strict=True):
        _empty(ax)
        ax.set_title(f"({letter}) Review of {review}")
        _draw_flow(ax, flow)
    return fig, pd.concat([frame.assign(review=review) for review, frame in flows.items()], ignore_index=True)


@styled
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


def _draw_flow(ax: Axes, flow: pd.DataFrame) -> None:
    """A column for the databases, one for what is left out, one for other sources; phases at the left."""
    drawn = {}
    for row in flow.itertuples():
        lines = [row.box, f"n: {SILENT}" if row.n == SILENT else f"n = {row.n}", *row.below.split("; ")]
        x, width = FLOW_COLUMNS[row.column]
        text = "\n".join(textwrap.fill(line, FLOW_LETTERS) for line in lines).strip()
        y, height = FLOW_LEVELS[row.level]
        fill = SIDE_FILL if row.column == OUT else FILL
        drawn[row.column, row.level] = _box(ax, x, y, width, height, text, fill=fill)
    for (column, level), box in drawn.items():
        if column == OUT:
            source = drawn[MAIN, level]
            _line(ax, (source[0] + source[2] / 2, box[1]), (box[0] - box[2] / 2, box[1]))
            continue
        below = [other for c, other in drawn if c == column and other > level]
        if below:
            _line(ax, (box[0], box[1] - box[3] / 2), (box[0], _top(drawn[column, min(below)])))
        elif column == OTHER and level:  # the last of the other sources joins the included ones
            included = drawn[MAIN, max(flow["level"])]
            ax.plot([box[0]] * 2, [box[1] - box[3] / 2, included[1]], color=EDGE, lw=0.8, linestyle="-")
            _line(ax, (box[0], included[1]), (included[0] + included[2] / 2, included[1]))
    for phase, levels in flow.groupby("phase", sort=False)["level"]:
        top, bottom = FLOW_LEVELS[levels.min()], FLOW_LEVELS[levels.max()]
        low, high = bottom[0] - bottom[1] / 2, top[0] + top[1] / 2
        _box(ax, 0.02, (low + high) / 2, 0.036, high - low, phase, fill=PHASE_FILL, rotation=90)


def _top(box: tuple) -> float:
    return box[1] + box[3] / 2


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    fig, ax = plt.subplots(figsize=(width, height))
    _empty(ax)
    return fig, ax


def _empty(ax: Axes) -> None:
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.axis("off")


def _box(
    ax: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    text: str,
    fill: str = FILL,
    rotation: float = 0,
) -> tuple:
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
    ax.text(x, y, text, ha="center", va="center", fontsize=6.5, linespacing=1.25, rotation=rotation)
    return x, y, width, height


def _arrow(ax: Axes, start: tuple, end: tuple) -> None:
    """From the bottom of one box to the top of another."""
    _line(ax, (start[0], start[1] - start[3] / 2), (_nearest(start[0], end), end[1] + end[3] / 2))


def _line(ax: Axes, tail: tuple, tip: tuple) -> None:
    style = {"arrowstyle": "-|>", "color": EDGE, "lw": 0.8, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", tip, tail, arrowprops=style)


def _nearest(x: float, box: tuple) -> float:
    """The point of the top edge of `box` that is nearest to `x`, clear of its corners."""
    reach = 0.4 * box[2]
    return min(max(x, box[0] - reach), box[0] + reach)
