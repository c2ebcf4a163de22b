"""Writes a dataset as PNG folders that BasicSR, NAFNet and DeblurGANv2 read.

python -m facedeblur_utils.tools.dataset_export FOLDER --profile sample --dataset SB2SM
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

import pandas as pd
import yaml
from PIL import Image

from facedeblur_utils.data import face_pairs
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.data.faces import SPLITS
from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.files import disk_error, write_text
from facedeblur_utils.paths import RunPaths, run_paths
from facedeblur_utils.progress import track

SHARP, BLURRED = "sharp", "blurred"


def export_png(paths: RunPaths, dataset: str, folder: Path) -> Path:
    """Write all pairs of `dataset` below `folder / dataset` and return that folder.

    `train|val|test / sharp|blurred / <id>.png` hold the pairs under equal names, `motion.csv` each image's
    length and angle. `basicsr.yml` is the `datasets` part of a BasicSR or NAFNet option file,
    `deblurganv2.yaml` the `train` and `val` parts of a DeblurGANv2 configuration. The folder appears when
    it is complete. Raises UsageError where it is there already.
    """
    size = face_pairs.facts(paths)["image_size"]
    target = Path(folder).expanduser().resolve() / dataset
    if target.exists():
        raise UsageError(f"{target} exists; name another folder, or delete it")
    work = target.with_name(f"{dataset}.partial")
    try:
        shutil.rmtree(work, ignore_errors=True)
        for split in SPLITS:
            _write_part(face_pairs.open_pairs(paths, dataset, split), work / split)
        write_text(work / "basicsr.yml", yaml.safe_dump(_basicsr(dataset, target), sort_keys=False))
        write_text(work / "deblurganv2.yaml", yaml.safe_dump(_deblurgan(target, size), sort_keys=False))
        os.replace(work, target)
    except OSError as error:
        raise disk_error(error, target) from None
    return target


def _write_part(pairs: face_pairs.FacePairs, folder: Path) -> None:
    for side in (SHARP, BLURRED):
        (folder / side).mkdir(parents=True)
    names = [f"{image_id.replace('/', '_')}.png" for image_id in pairs.image_ids]
    for index, name in enumerate(track(names, f"{pairs.name} {pairs.split}", unit="pairs")):
        blurred, sharp = pairs.batch([index])
        Image.fromarray(sharp[0]).save(folder / SHARP / name)
        Image.fromarray(blurred[0]).save(folder / BLURRED / name)
    motion = pd.DataFrame({"file": names, "length_px": pairs.lengths, "angle_degrees": pairs.angles})
    write_text(folder / "motion.csv", motion.to_csv(index=False, lineterminator="\n"))


def _basicsr(dataset: str, target: Path) -> dict:
    def part(split: str) -> dict:
        return {
            "name": f"{dataset}_{split}",
            "type": "PairedImageDataset",
            "dataroot_gt": str(target / split / SHARP),
            "dataroot_lq": str(target / split / BLURRED),
            "filename_tmpl": "{}",
            "io_backend": {"type": "disk"},
        }

    # Their training tests on `val`; the test part stays for the end.
    return {"datasets": {"train": part("train"), "val": part("val"), "test": part("test")}}


def _deblurgan(target: Path, size: int) -> dict:
    def part(split: str, crop: str) -> dict:
        return {
            "files_a": str(target / split / BLURRED / "*.png"),  # a is what its network is given
            "files_b": str(target / split / SHARP / "*.png"),
            "size": size,
            "crop": crop,
            "scope": "geometric",
            "preload": False,
            "preload_size": 0,
            "bounds": [0, 1],  # no second split: the parts are separate already
            "corrupt": None,  # and no second degradation
        }

    return {"train": part("train", "random"), "val": part("val", "center")}


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0, or the exit code of a StudyError after its one line."""
    parser = argparse.ArgumentParser(
        prog="python -m facedeblur_utils.tools.dataset_export", description=__doc__
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--profile", default="sample")
    parser.add_argument("--dataset", default="", help=f"one of {', '.join(DATASETS)}; default: all")
    parser.add_argument("--output", default="", help="folder that holds runs/ (default: the checkout)")
    options = parser.parse_args(arguments)
    try:
        paths = run_paths(options.profile, options.output)
        for dataset in [options.dataset] if options.dataset else DATASETS:
            print(export_png(paths, dataset, options.folder))
    except StudyError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
