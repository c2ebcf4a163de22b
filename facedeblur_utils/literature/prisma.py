"""The counts of the two literature searches, added up and checked."""

from dataclasses import dataclass

import pandas as pd

from facedeblur_utils.errors import StudyError
from facedeblur_utils.literature.loader import load

INCLUDED = {"articles": "2.6", "surveys": "2.2"}  # the table that lists what each review ended with


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
