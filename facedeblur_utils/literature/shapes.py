"""The twelve literature tables in the shape in which the thesis prints them: one row per printed row.

Cells are text. A source is written `[@key]`, which `export` turns into [30] or a LaTeX citation.
"""

from itertools import zip_longest

import pandas as pd

from facedeblur_utils.literature.bibliography import references
from facedeblur_utils.literature.loader import load
from facedeblur_utils.literature.schema import TABLES, TOPICS

TOPIC_NAMES = (
    "Problem in detail",
    "Models",
    "Pros and cons of models",
    "Comparison of results",
    "Datasets",
    "Losses",
    "Metrics",
)
TARGETS = {"faces": "Faces only", "general": "Images in general, applied to faces"}


def printed(name: str) -> pd.DataFrame:
    """Table `name` ("1.1" … "2.10") as the thesis prints it, all cells text, [n] as `[@key]`."""
    frame = SHAPES[name](load(name))
    if frame.shape != TABLES[name].printed:
        raise AssertionError(f"Table {name} came out as {frame.shape}, printed is {TABLES[name].printed}")
    return frame


def names(frame: pd.DataFrame) -> pd.Series:
    """Who wrote each row of a table of papers, with the number that tells one Wang et al. from another."""
    numbers = references().set_index("key")["number"]
    return frame["reference"] + " [" + frame["key"].map(numbers).astype(str) + "]"


def _cite(row) -> str:
    return f"{row.reference} [@{row.key}]"


def _frame(rows: list, *columns: str) -> pd.DataFrame:
    return pd.DataFrame([[str(cell) for cell in row] for row in rows], columns=columns)


def _tasks(frame):
    causes = frame.groupby("task", sort=False)["cause"].agg(list)
    lines = zip_longest(*causes, fillvalue="")
    rows = [("Causes of degradation" if i == 0 else "", *line) for i, line in enumerate(lines)]
    return _frame(rows, "Task", *causes.index)


def _questions(frame):
    rows = [(f"{row.code}: {row.question}", _list(row.objectives), row.goal) for row in frame.itertuples()]
    return _frame(rows, "Research question", "Objectives", "Goal")


def _surveys(frame):
    rows = [(row.number, _cite(row), row.year, row.title, row.content) for row in frame.itertuples()]
    return _frame(rows, "No.", "Reference", "Year", "Title", "Content")


def _topics(frame):
    rows = [(_cite(row), *("✓" if getattr(row, t) else "✗" for t in TOPICS)) for row in frame.itertuples()]
    return _frame(rows, "Survey", *TOPIC_NAMES)


def _criteria(frame):
    text = frame["printed_code"] + " " + frame["criterion"]
    sides = [text[frame["kind"] == kind] for kind in ("exclusion", "inclusion")]
    return _frame(list(zip_longest(*sides, fillvalue="/")), "Exclusion", "Inclusion")


def _items(frame):
    rows = [(row.number, ", ".join(row.questions), row.item) for row in frame.itertuples()]
    return _frame(rows, "No.", "Research question", "Data item")


def _articles(frame):
    rows = [
        (row.number, _cite(row), row.year, row.title, row.goal, TARGETS[row.target])
        for row in frame.itertuples()
    ]
    return _frame(rows, "No.", "Reference", "Year", "Title", "Goal", "Target images")


def _models(frame):
    rows = []
    for row in frame.to_dict("records"):
        datasets = ", ".join(row["datasets"]) + (f" ({row['roles']})" if row["roles"] else "")
        measures = f"{row['heading']} {_list(row['printed_measures'])}".strip()
        reference = f"{row['reference']} [@{row['key']}]"
        named = datasets or "No datasets mentioned"
        rows.append((reference, named, row["model"], row["improvement"], measures))
    return _frame(rows, "Reference", "Datasets", "Model", "Improvements", "Reported measures")


def _training(frame):
    rows = [
        (_cite(row), row.creation, _list(row.losses), row.training, row.environment or "No information")
        for row in frame.itertuples()
    ]
    return _frame(rows, "Reference", "Making of the data", "Losses", "Training", "Environment")


def _losses(frame):
    rows = [
        (
            row.loss + (f" [@{row.key}]" if row.key else ""),
            row.description,
            row.strengths,
            row.weaknesses,
            row.cost + (f" ({row.cost_note})" if row.cost_note else ""),
            row.detail + (f" ({row.detail_note})" if row.detail_note else ""),
        )
        for row in frame.itertuples()
    ]
    return _frame(rows, "Loss", "Description", "Strengths", "Weaknesses", "Cost", "Facial detail")


def _metrics(frame):
    rows = []
    for _, group in frame.groupby("number", sort=False):
        row = group.iloc[0]
        names = [m + (f" [@{k}]" if k else "") for m, k in zip(group["metric"], group["key"], strict=True)]
        ranges = dict.fromkeys(_range(*r) for r in group[["range_low", "range_high", "unit"]].to_numpy())
        rows.append(
            (" / ".join(names), " / ".join(ranges), row["higher_means"], row["strengths"], row["weaknesses"])
            + (row["best_for"], row["noise_sensitivity"], "Yes" if row["pretrained"] else "No")
        )
    return _frame(
        rows,
        *("Metric", "Range", "Higher means", "Strengths", "Weaknesses"),
        *("Best for", "Sensitivity to noise", "Pre-trained network"),
    )


def _range(low: float, high: float, unit: str) -> str:
    end = "∞)" if high == float("inf") else f"{high:g}]"
    return f"[{low:g}, {end} {unit}".strip()


def _list(values: list) -> str:
    return "; ".join(values)


SHAPES = {
    "1.1": _tasks,
    "1.2": _questions,
    "2.1": lambda frame: _frame(frame.to_numpy().tolist(), "No.", "Data item"),
    "2.2": _surveys,
    "2.3": _topics,
    "2.4": _criteria,
    "2.5": _items,
    "2.6": _articles,
    "2.7": _models,
    "2.8": _training,
    "2.9": _losses,
    "2.10": _metrics,
}
