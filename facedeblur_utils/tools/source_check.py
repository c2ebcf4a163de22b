"""Looks at a source of faces without building anything: `python -m …tools.source_check SOURCE`."""

import argparse
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pandas as pd

from facedeblur_utils.data import chunks, division, faces, sources
from facedeblur_utils.data.source_files import Source
from facedeblur_utils.errors import StudyError
from facedeblur_utils.machine import available_cpus
from facedeblur_utils.profiles import Profile, load_profile, parse_overrides
from facedeblur_utils.progress import track

MOST_LISTED = 10
COLUMNS = ["image_id", "file", "reason", "source_sha256", "thumbnail", "width", "height"]


def check_source(profile: Profile) -> tuple[list[str], bool]:
    """Lines that describe the profile's source, and whether it can be built from.

    Every image is decoded (not segmented): counts, sizes, what can't be used and why, copies, notes about
    numbering, the split it would give, identities shared between parts, and the space a build needs.
    """
    source = sources.open_source(profile)
    lines = [f"source: {source.description}", f"images: {len(source.items)}"]
    lines += [f"note: {note}" for note in source.notes]
    looked = _look(source, profile)
    good = looked[looked["reason"] == ""]
    if len(good):
        sizes = Counter(zip(good["width"], good["height"], strict=True)).most_common(3)
        lines.append("sizes: " + ", ".join(f"{w:.0f}×{h:.0f} ({count})" for (w, h), count in sizes))
        smallest = good[["width", "height"]].min(axis=1).min()
        lines.append(f"shortest side: {smallest:.0f} px, used at {profile.image_size} px")
    bad = looked[looked["reason"] != ""]
    lines.append(f"can't be used: {len(bad)}")
    lines += [f"  {row.file}: {row.reason}" for row in bad.head(MOST_LISTED).itertuples(index=False)]
    if len(bad) > MOST_LISTED:
        lines.append(f"  … and {len(bad) - MOST_LISTED} more")
    people = sources.identities(profile, source)
    lines.append(f"copies of another file: {int(good.duplicated('source_sha256').sum())}")
    try:
        divided = division.divide(looked, profile, people, source.description)
    except StudyError as error:
        return [*lines, f"problem: {error}"], False
    lines.append(f"nearly the same as another, kept in one part: {len(divided.twins)}")
    counts = divided.used["split"].value_counts()
    parts = ", ".join(f"{name} {counts[name]}" for name in faces.SPLITS)
    lines.append(f"split: {parts} (if a face is found in each)")
    lines.append(_leakage_line(divided.used, people))
    needed = chunks.bytes_needed(profile, len(source.items))
    lines.append(f"space for the datasets: {needed / 1e9:.2f} GB")
    return lines, True


def _look(source: Source, profile: Profile) -> pd.DataFrame:
    """The facts of each image as the build finds them, without looking for faces."""

    def look(item):
        return chunks.load(source, item, profile.image_size)[1]

    with ThreadPoolExecutor(available_cpus()) as pool:
        rows = track(pool.map(look, source.items), "Looking", total=len(source.items))
        return pd.DataFrame(list(rows)).reindex(columns=COLUMNS)


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
