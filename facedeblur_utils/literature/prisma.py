"""The counts of the two literature searches, added up and checked."""

from dataclasses import dataclass

import pandas as pd

from facedeblur_utils.errors import StudyError
from facedeblur_utils.literature.loader import load

INCLUDED = {"articles": "2.6", "surveys": "2.2"}  # the table that lists what each review ended with
SILENT = "not reported"
MAIN, OUT, OTHER = "databases", "left out", "other sources"  # the columns of a PRISMA flow


@dataclass(frozen=True)
class Flow:
    """One review: `databases` were searched, `others` came from elsewhere; all the rest is counts."""

    databases: pd.DataFrame
    others: int
    found: int
    excluded: int
    read: int
    included: int

    @property
    def unexplained(self) -> int:
        """How many were read and left out without a reported reason."""
        return self.read + self.others - self.included


def flow(review: str) -> Flow:
    """The counts of the review of "articles" or of "surveys".

    Raises StudyError where a database's counts don't add up (found - excluded = read), or where more is
    included than was read.
    """
    rows = load("prisma").query("review == @review")
    databases = rows[rows["found"].notna()]
    wrong = databases[databases["found"] - databases["excluded"] != databases["read"]]
    if len(wrong):
        raise StudyError(f"prisma.csv: found - excluded is not read for {review}, {wrong.iloc[0]['source']}")
    totals = {name: int(databases[name].sum()) for name in ("found", "excluded", "read")}
    others = int(rows["read"].sum()) - totals["read"]
    result = Flow(databases, others, **totals, included=len(load(INCLUDED[review])))
    if result.unexplained < 0:
        raise StudyError(f"prisma.csv: fewer {review} were read than Table {INCLUDED[review]} includes")
    return result


def boxes(review: str) -> pd.DataFrame:
    """The boxes of a review's PRISMA 2020 flow: phase, level, column, box, n and what stands below it.

    `level` counts from the top; boxes of one level stand side by side. `n` is a number as text, or
    "not reported" where the thesis's text gives none and none follows from the others.
    """
    counts = flow(review)
    by_database = [f"{row.source}: {row.found}" for row in counts.databases.itertuples()]
    excluded = [f"{row.source}: {row.excluded}" for row in counts.databases.itertuples()]
    rows = [
        ("Identification", 0, MAIN, "Records identified in databases", counts.found, by_database),
        ("Identification", 0, OUT, "Duplicates removed before screening", SILENT, []),
        ("Screening", 1, MAIN, "Records screened", counts.found, ["by title and abstract"]),
        ("Screening", 1, OUT, "Records excluded", counts.excluded, excluded),
        ("Screening", 2, MAIN, "Reports sought for retrieval", counts.read, []),
    ]
    if counts.unexplained:
        rows += [
            ("Screening", 2, OUT, "Reports not retrieved", SILENT, []),
            ("Screening", 3, MAIN, "Reports assessed for eligibility", SILENT, [f"at most {counts.read}"]),
            ("Screening", 3, OUT, "Reports excluded", SILENT, _left(counts.unexplained)),
        ]
    else:  # as many are included as were sought, so that none can have been lost on the way
        rows += [
            ("Screening", 2, OUT, "Reports not retrieved", SILENT, ["none, since all are included"]),
            ("Screening", 3, MAIN, "Reports assessed for eligibility", counts.read, []),
            ("Screening", 3, OUT, "Reports excluded", 0, []),
        ]
    if counts.others:
        rows += [
            ("Identification", 0, OTHER, "Records from other sources", counts.others, ["sources not named"]),
            ("Screening", 2, OTHER, "Reports sought for retrieval", counts.others, []),
            ("Screening", 3, OTHER, "Reports assessed for eligibility", counts.others, []),
        ]
    else:
        rows += [("Identification", 0, OTHER, "Records from other sources", SILENT, [])]
    rows += [("Included", 4, MAIN, f"{review.capitalize()} included in the review", counts.included, [])]
    frame = pd.DataFrame(rows, columns=["phase", "level", "column", "box", "n", "below"])
    return frame.assign(n=frame["n"].astype(str), below=frame["below"].str.join("; "))


def _left(number: int) -> list[str]:
    return [f"{number} in all, with duplicates and reports not retrieved", "reasons not reported"]


def totals() -> pd.DataFrame:
    """Both reviews as a frame: found, excluded, read, other sources, left out without a reason, included."""
    rows = []
    for review in INCLUDED:
        counts = flow(review)
        rows.append(
            (review, counts.found, counts.excluded, counts.read, counts.others, counts.unexplained)
            + (counts.included,)
        )
    columns = [
        "review",
        "found",
        "excluded",
        "read",
        "other sources",
        "left out, not reported why",
        "included",
    ]
    return pd.DataFrame(rows, columns=columns)
