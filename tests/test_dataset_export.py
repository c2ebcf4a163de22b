"""PNG export: read back the way BasicSR and DeblurGANv2 look for their files."""

from glob import glob
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from test_datasets import built, folder, masks  # noqa: F401 - fixtures

from facedeblur_utils.data import face_pairs
from facedeblur_utils.errors import UsageError
from facedeblur_utils.tools import dataset_export


def pixels(path):
    return np.asarray(Image.open(path))


@pytest.fixture
def exported(folder, tmp_path):  # noqa: F811
    paths = built(folder, tmp_path)
    return paths, dataset_export.export_png(paths, "SB2SM", tmp_path / "png")


def test_basicsr_pairs_by_equal_names(exported):
    paths, target = exported
    options = yaml.safe_load((target / "basicsr.yml").read_text())["datasets"]
    for split in ("train", "val", "test"):
        data = face_pairs.open_pairs(paths, "SB2SM", split)
        gt, lq = Path(options[split]["dataroot_gt"]), Path(options[split]["dataroot_lq"])
        names = sorted(p.name for p in gt.iterdir())
        assert names == sorted(p.name for p in lq.iterdir()) == [f"{i}.png" for i in data.image_ids]
        np.testing.assert_array_equal(pixels(gt / names[0]), data.sharp[0])
        np.testing.assert_array_equal(pixels(lq / names[0]), data.blurred[0])


def test_deblurganv2_pairs_by_sorted_globs_and_gets_the_blurred_side_as_a(exported):
    paths, target = exported
    config = yaml.safe_load((target / "deblurganv2.yaml").read_text())
    data = face_pairs.open_pairs(paths, "SB2SM", "train")
    files_a, files_b = (sorted(glob(config["train"][side])) for side in ("files_a", "files_b"))
    assert [Path(p).name for p in files_a] == [Path(p).name for p in files_b]
    assert len(files_a) == len(data) and config["train"]["bounds"] == [0, 1]
    np.testing.assert_array_equal(pixels(files_a[2]), data.blurred[2])
    np.testing.assert_array_equal(pixels(files_b[2]), data.sharp[2])


def test_nothing_is_written_over_and_the_command_says_so(exported, capsys):
    paths, target = exported
    with pytest.raises(UsageError, match="exists"):
        dataset_export.export_png(paths, "SB2SM", target.parent)
    base = str(paths.base)
    arguments = [str(target.parent), "--profile", "smoke", "--output", base, "--dataset"]
    assert dataset_export.main([*arguments, "SB2SM"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert dataset_export.main([*arguments, "SFB1"]) == 0
    assert not list(target.parent.glob("*.partial"))
