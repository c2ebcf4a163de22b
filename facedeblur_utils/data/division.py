"""Decides which images of a source stay and where each goes, for the check and for the build."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from facedeblur_utils.data import faces
from facedeblur_utils.errors import StudyError
from facedeblur_utils.profiles import Profile

# Root mean square difference in grey levels of two thumbnails below which pictures count as the same one.
# Another format, quality or size of one picture: up to 1.3; two per cent cut off: 10; two of the 999 sample
# faces: 20 and more, also where one is mirrored.
SAME_PICTURE = 10.0
BLOCK = 2048  # thumbnails compared at once


@dataclass(frozen=True)
class Division:
    """`images` as given with `reason` completed and `split` added, sorted by id; `twins` gives for an image
    that is nearly the same as an earlier one that one's id: both are in one part."""

    images: pd.DataFrame
    twins: dict[str, str]

    @property
    def used(self) -> pd.DataFrame:
        return self.images[self.images["reason"] == ""]


def divide(images: pd.DataFrame, profile: Profile, people: dict[str, str] | None, source: str) -> Division:
    """Divide what can be used of `images`, to which parts are added and reasons for copies.

    Its columns: image_id, reason (empty: usable), source_sha256, thumbnail (hex). Of files with the same
    content the first by id stays. Nearly identical pictures stay in one part of the split, as do those of one
    person by `people` (id -> person). What is left out doesn't count in the shares; its `split` is the part
    that it would have been in. Raises StudyError where fewer than three remain.
    """
    images = images.sort_values("image_id", ignore_index=True)
    # A copy in another part would leak.
    usable = images[images["reason"] == ""]
    first = usable.drop_duplicates("source_sha256").set_index("source_sha256")["image_id"]
    for index, sha in usable[usable.duplicated("source_sha256")]["source_sha256"].items():
        images.loc[index, "reason"] = f"same file as {first[sha]}"
    usable = images[images["reason"] == ""]
    ids = usable["image_id"].tolist()
    twins = nearly_same(ids, [bytes.fromhex(value) for value in usable["thumbnail"]])
    groups = _together(ids, twins, people or {})
    if len(set(groups.values())) < len(faces.SPLITS):
        raise StudyError(_too_few(images, twins, source))
    parts = faces.split_faces(images["image_id"].tolist(), profile.split, profile.seed, people)
    parts = dict(parts.itertuples(index=False)) | dict(
        faces.split_faces(ids, profile.split, profile.seed, groups).itertuples(index=False)
    )
    return Division(images.assign(split=images["image_id"].map(parts)), twins)


def nearly_same(ids: list[str], thumbnails: list[bytes]) -> dict[str, str]:
    """id -> earlier id, for each image whose thumbnail (256 bytes) is nearly that of an earlier one or of its
    mirror image."""
    if not ids:
        return {}
    values = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(len(ids), -1).astype(np.float32) - 128
    side = round(values.shape[1] ** 0.5)
    mirrored = values.reshape(-1, side, side)[..., ::-1].reshape(values.shape)
    squares = (values**2).sum(axis=1)
    limit = SAME_PICTURE**2 * values.shape[1]
    found = {}
    for start in range(0, len(ids), BLOCK):
        here = slice(start, start + BLOCK)
        before = values[: start + BLOCK].T
        alike = np.maximum(values[here] @ before, mirrored[here] @ before)
        distance = squares[here, None] + squares[None, : start + BLOCK] - 2 * alike
        for row, other in zip(*np.nonzero(distance < limit), strict=True):
            if other < start + row:
                found.setdefault(ids[start + row], ids[other])
    return found


def _together(ids: list[str], twins: dict[str, str], people: dict[str, str]) -> dict[str, str]:
    """id -> name of the group that must not be divided, for those that are in one."""
    leader = {name: people.get(name, f"image {name}") for name in ids}
    above = {}

    def top(group: str) -> str:
        while group in above:
            group = above[group]
        return group

    for name, other in twins.items():
        one, two = sorted((top(leader[name]), top(leader[other])))
        if one != two:
            above[two] = one
    return {name: top(leader[name]) for name in ids}


def _too_few(images: pd.DataFrame, twins: dict[str, str], source: str) -> str:
    left_out = images[images["reason"] != ""]
    remain = len(images) - len(left_out)
    most = f"; most frequent reason: {left_out['reason'].mode().iloc[0]}" if len(left_out) else ""
    nearly = f", {len(twins)} of them nearly the same as another," if twins else ""
    return (
        f"{source}: after leaving out {len(left_out)} of {len(images)} images {remain} remain{nearly} and a "
        f"split needs at least three different faces{most}"
    )
