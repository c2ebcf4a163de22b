"""Which images stay and where they go: copies, twins, persons, small sources, the recorded split."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from facedeblur_utils import downloads
from facedeblur_utils.data import division, faces
from facedeblur_utils.errors import StudyError
from facedeblur_utils.profiles import load_profile

PROFILE = load_profile("study")
NO_FACE = ("000120", "000199", "000224", "000293", "000417", "000983")  # of the sample, in the study


def table(thumbnails: dict[str, np.ndarray], reasons: dict[str, str] | None = None) -> pd.DataFrame:
    rows = [
        (name, (reasons or {}).get(name, ""), f"{name} bytes", values.astype(np.uint8).tobytes().hex())
        for name, values in thumbnails.items()
    ]
    return pd.DataFrame(rows, columns=["image_id", "reason", "source_sha256", "thumbnail"])


def different(names):
    generator = np.random.default_rng(1)
    return {name: generator.integers(0, 256, 256) for name in names}


def test_the_study_keeps_its_recorded_split():
    """Those without a face were train images, so leaving them out first moves no other image."""
    ids = [f"{n:06d}" for n in range(1, 1000)]
    divided = division.divide(table(different(ids), dict.fromkeys(NO_FACE, "no face")), PROFILE, None, "")
    assert divided.used["split"].value_counts().to_dict() == {"train": 893, "val": 50, "test": 50}
    before = faces.split_faces(ids, PROFILE.split, PROFILE.seed)
    pd.testing.assert_frame_equal(divided.images[["image_id", "split"]], before)
    assert not divided.twins


def test_small_sources_get_all_parts_after_what_is_left_out():
    ids = [f"{n:03d}" for n in range(240)]
    for start in range(0, 228, 12):
        good = set(ids[start : start + 12])
        reasons = {name: "no face found" for name in ids if name not in good}
        used = division.divide(table(different(ids), reasons), PROFILE, None, "").used
        assert used["split"].value_counts().to_dict() == {"train": 10, "val": 1, "test": 1}


def test_the_same_picture_in_other_formats_or_mirrored_stays_in_one_part():
    files = sorted(downloads.fetch("sample_faces").glob("*.jpg"))[:12]
    thumbnails = {}
    for number, file in enumerate(files):
        image = Image.open(file)
        small = image.resize((120, 147))
        for kind, picture, options in (
            ("PNG", image, {}),
            ("JPEG", image, {"quality": 40}),
            ("WEBP", small, {"quality": 60}),
            ("BMP", ImageOps.mirror(image), {}),
        ):
            data = io.BytesIO()
            picture.save(data, kind, **options)
            name = f"{kind} {number:02d}"
            thumbnails[name] = faces.thumbnail(faces.decode(data.getvalue()))
    for seed in range(8):
        profile = load_profile("study", {"seed": seed, "split": [0.6, 0.2, 0.2]})
        divided = division.divide(table(thumbnails), profile, None, "")
        parts = divided.used.groupby(divided.used["image_id"].str[-2:])["split"].nunique()
        assert len(divided.twins) == 36 and parts.max() == 1 and len(parts) == 12


def test_twins_pull_persons_together_and_few_groups_stop():
    pictures = different("abcdefgh")
    pictures["h"] = pictures["a"] + 0
    people = {"a": "Ann", "b": "Ann", "g": "Guy", "h": "Guy"}
    used = division.divide(table(pictures), PROFILE, people, "").used.set_index("image_id")["split"]
    assert used[["a", "b", "g", "h"]].nunique() == 1
    with pytest.raises(StudyError, match="s: after leaving out 0 of 4 .* 3 of them nearly the same"):
        division.divide(table(dict.fromkeys("abcd", np.arange(256))), PROFILE, None, "s")
