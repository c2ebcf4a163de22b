"""What was done to a photo, and in words."""

from dataclasses import dataclass, field

import numpy as np

from facedeblur_utils.data.alignment import PhotoFace
from facedeblur_utils.physics.blind import Explanation
from facedeblur_utils.physics.motion import Motion

MOST_NAMED = 3  # places for each reason


@dataclass
class Deblurred:
    """`image` has the size of the photo; `faces` are those restored in it; `text` says what was done.

    Without `faces` the whole picture was restored, or nothing. `changed` pixels differ from the photo's;
    `left` are places that were looked at and left, with the reason.
    """

    image: np.ndarray
    faces: list[PhotoFace] = field(default_factory=list)
    text: str = ""
    changed: int = 0
    left: list[tuple[PhotoFace, str]] = field(default_factory=list)
    motions: list["Found | None"] = field(default_factory=list)  # one for each face, or for the whole picture


@dataclass(frozen=True)
class Found:
    """How a part of a photo was blurred, and whether that was undone; `motion` as it is in the photo."""

    how: Explanation
    confidence: float
    motion: Motion
    kept: bool

    def __str__(self) -> str:
        motion, where = self.motion, {"whole": "everything"}.get(self.how.region, self.how.region)
        path = f"{motion.length:.1f} px at {motion.angle % 180:.0f}°"
        path += f" turning by {abs(motion.turn):.0f}°" if motion.turn else ""
        path += " along a curve" if motion.knots else ""
        light = "blurred as light" if self.how.gamma != 1 else "blurred as stored values"
        kept = "" if self.kept else ", not undone"
        return f"moved {path} ({where}, {light}, confidence {self.confidence:.2f}{kept})"


def said_of_whole(done: Deblurred, everywhere: bool, shape: tuple[int, int]) -> str:
    """What was done to a picture as a whole, in words that follow from the pixels that changed."""
    left = f" ({_left(done.left)})" if done.left else ""
    if not done.changed:
        why = "" if everywhere else f"no face found{left}, and "
        return f"nothing to restore: {why}the picture is sharp enough for the network"
    share = 100 * done.changed / max(1, shape[0] * shape[1])
    said = f"the whole picture was restored ({share:.0f} % of its pixels changed)"
    said += "".join(f"; it {found}" for found in done.motions if found)
    return said if everywhere else f"no face found{left}; {said}"


def said_of_faces(done: Deblurred) -> str:
    """What was done to the faces, likewise; where no pixel changed, none was restored."""
    left = _left(done.left)
    if not done.changed:
        done.faces = []
        return f"nothing to restore: {left or 'the network changes no pixel'}"
    others = f"; left: {left}" if left else ""
    count = len(done.faces)
    motions = done.motions or [None] * count
    places = ", ".join(
        place(face) + (f", {found}" if found else "") for face, found in zip(done.faces, motions, strict=True)
    )
    return f"{count} face{'s' * (count > 1)} restored ({places}){others}; the rest is unchanged"


def place(face: PhotoFace) -> str:
    """Where a face is, in words."""
    return f"{face.side:.0f} px around ({face.centre[0]:.0f}, {face.centre[1]:.0f})"


def _left(left: list[tuple[PhotoFace, str]]) -> str:
    """Places by the reason for which they were left."""
    said = []
    for reason in dict.fromkeys(why for _, why in left):
        places = [place(face) for face, why in left if why == reason]
        more = f" and {len(places) - MOST_NAMED} more" if len(places) > MOST_NAMED else ""
        said.append(f"{', '.join(places[:MOST_NAMED])}{more}: {reason}")
    return "; ".join(said)
