"""Looks at a source of faces without building anything: `python -m …tools.source_check SOURCE`."""

import argparse
import hashlib
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pandas as pd

from facedeblur_utils.data import chunks, faces, sources
from facedeblur_utils.data.source_files import Source
from facedeblur_utils.errors import StudyError
from facedeblur_utils.machine import available_cpus
from facedeblur_utils.profiles import Profile, load_profile, parse_overrides
from facedeblur_utils.progress import track

MOST_LISTED = 10


def check_source(profile: Profile) -> tuple[list[str], bool]:
    """Lines that describe the profile's source, and whether it can be built from.

    Every image is decoded (not segmented): counts, sizes, what can't be used and why, copies, notes about
    numbering, the split it would give, identities shared between parts, and the space a build needs.
    """
    source = sources.open_source(profile)
    lines = [f"source: {source.description}", f"images: {len(source.items)}"]
    lines += [f"note: {note}" for note in source.notes]
    looked = _look(source, profile)
    good = looked[looked["problem"] == ""]
    if len(good):
        sizes = Counter(zip(good["width"], good["height"], strict=True)).most_common(3)
        lines.append("sizes: " + ", ".join(f"{w:.0f}×{h:.0f} ({count})" for (w, h), count in sizes))
        smallest = good[["width", "height"]].min(axis=1).min()
        lines.append(f"shortest side: {smallest:.0f} px, used at {profile.image_size} px")
    bad = looked[looked["problem"] != ""]
    lines.append(f"can't be used: {len(bad)}")
    lines += [f"  {row.name}: {row.problem}" for row in bad.head(MOST_LISTED).itertuples(index=False)]
    if len(bad) > MOST_LISTED:
        lines.append(f"  … and {len(bad) - MOST_LISTED} more")
    lines.append(f"copies of another file: {int(good.duplicated('sha256').sum())}")
    people = sources.identities(profile, source)
    try:
        ids = [item.image_id for item in source.items]
        split = faces.split_faces(ids, profile.split, profile.seed, people)
    except StudyError as error:
        return [*lines, f"problem: {error}"], False
    counts = split["split"].value_counts()
    lines.append("split: " + ", ".join(f"{name} {counts[name]}" for name in faces.SPLITS))
    lines.append(_leakage_line(split, people))
    needed = chunks.bytes_needed(profile, len(source.items))
    lines.append(f"space for the datasets: {needed / 1e9:.2f} GB")
    usable = len(good) >= len(faces.SPLITS)
    if not usable:
        lines.append("problem: fewer than three images can be used")
    return lines, usable


def _look(source: Source, profile: Profile) -> pd.DataFrame:
    def look(item):
        row = {"name": item.name, "width": None, "height": None, "sha256": "", "problem": ""}
        try:
            data = source.read(item)
            row["sha256"] = hashlib.sha256(data).hexdigest()
            height, width = faces.decode(data).shape[:2]
            row |= {"width": width, "height": height}
            faces.check_side(min(height, width), profile.image_size)
        except faces.ImageProblem as problem:
            row["problem"] = str(problem)
        except OSError as error:
            row["problem"] = f"could not be read ({error.strerror or error})"
        return row

    with ThreadPoolExecutor(available_cpus()) as pool:
        rows = track(pool.map(look, source.items), "Looking", total=len(source.items))
        return pd.DataFrame(list(rows))


def _leakage_line(split: pd.DataFrame, people: dict[str, str] | None) -> str:
    if people is None:
        return "identities: unknown (no identity_file), so one person may be in several parts"
    report = faces.leakage(split, people).set_index("split")
    shared = {name: int(report.loc[name, "also in train"]) for name in ("val", "test")}
    known = int(report["identity known"].sum())
    return (
        f"identities: known for {known} of {len(split)} images; images of people who are also in train: "
        f"val {shared['val']}, test {shared['test']}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Print what `check_source` finds; 0 where a build can start, else the error's exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m facedeblur_utils.tools.source_check", description=__doc__
    )
    parser.add_argument("source", help=f"{sources.FORMS}")
    parser.add_argument("--profile", default="sample", help="profile whose size, split and seed are used")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="pairs")
    options = parser.parse_args(arguments)
    try:
        overrides = {**parse_overrides(options.pairs), "source": options.source}
        lines, usable = check_source(load_profile(options.profile, overrides))
    except StudyError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print("\n".join(lines))
    return 0 if usable else 1


if __name__ == "__main__":
    sys.exit(main())
