"""The four datasets: pairs, masks, kernels, exactness, interruption, what is left out."""

import errno
import hashlib
import itertools
import json
import multiprocessing
import random
import shutil
import signal
from pathlib import Path

import cv2
import fake_masks
import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from facedeblur_utils.blur import operators
from facedeblur_utils.data import chunks, face_pairs
from facedeblur_utils.data.array_file import ArrayFile
from facedeblur_utils.data.build import build
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.evaluation.scores import score_input
from facedeblur_utils.files import disk_error
from facedeblur_utils.paths import run_paths
from facedeblur_utils.profiles import load_profile

FACES = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Smooth random pictures that stand for faces, one of them too dark to show one."""
    path = tmp_path_factory.mktemp("faces")
    generator = np.random.default_rng(3)
    for number in range(1, FACES + 1):
        small = generator.integers(40, 256, (9, 9, 3), dtype=np.uint8)
        pixels = cv2.resize(small, (64, 64), interpolation=cv2.INTER_CUBIC)
        if number == 7:
            pixels //= 32
        Image.fromarray(pixels).save(path / f"{number:06d}.png")
    return path


@pytest.fixture(autouse=True)
def masks(monkeypatch, tmp_path):
    fake_masks.install(monkeypatch.setattr)
    monkeypatch.setattr(chunks, "CHUNK", 4)
    monkeypatch.setattr(chunks, "cache_folder", lambda: tmp_path / "cache")


def built(folder, base, workers=2, **overrides):
    profile = load_profile("smoke", {"source": str(folder), "limit": 0, **overrides})
    paths = run_paths("smoke", base)
    build(profile, paths, workers=workers)
    return paths


def contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_pairs_share_kernels_and_keep_to_their_masks(folder, tmp_path):
    paths = built(folder, tmp_path)
    open_pairs = {name: face_pairs.open_pairs(paths, name) for name in face_pairs.DATASETS}
    for whole, part in (("SFB1", "SB1SD"), ("SFB2", "SB2SM")):
        full, local = open_pairs[whole], open_pairs[part]
        np.testing.assert_array_equal(full.lengths, local.lengths)
        np.testing.assert_array_equal(full.angles, local.angles)
        mask = local.blur_masks
        assert 0 < mask.mean() < 1 and full.blur_masks.all()
        np.testing.assert_array_equal(local.blurred[mask], full.blurred[mask])
        np.testing.assert_array_equal(local.blurred[~mask], local.sharp[~mask])
        for index in (0, 5):
            expected = operators.convolve(full.sharp[index], full.kernel(index))
            np.testing.assert_array_equal(full.blurred[index], expected)
    assert not np.array_equal(open_pairs["SFB1"].lengths, open_pairs["SFB2"].lengths)
    assert len({data.fingerprint for data in open_pairs.values()}) == 4


def test_kernels_are_stored_as_an_array_too(folder, tmp_path):
    paths = built(folder, tmp_path)
    stored = np.load(paths.data / "kernels_2.npy")
    images = face_pairs.image_table(paths)
    data = face_pairs.open_pairs(paths, "SFB2")
    for index in (0, 11):
        kernel, row = data.kernel(index), images["row"][index]
        border = (stored.shape[1] - len(kernel)) // 2
        np.testing.assert_array_equal(stored[row], np.pad(kernel, border))


def test_parts_are_disjoint_and_complete(folder, tmp_path):
    paths = built(folder, tmp_path)
    parts = [face_pairs.open_pairs(paths, "SFB1", split) for split in ("train", "val", "test")]
    together = [image_id for part in parts for image_id in part.image_ids]
    assert together == face_pairs.open_pairs(paths, "SFB1").image_ids and len(set(together)) == FACES - 1
    sharp = np.concatenate([part.sharp for part in parts])
    np.testing.assert_array_equal(sharp, face_pairs.open_pairs(paths, "SFB1").sharp)
    blurred, same = parts[0].batch([3, 1])
    np.testing.assert_array_equal(blurred, parts[0].blurred[[3, 1]])
    np.testing.assert_array_equal(same, parts[0].sharp[[3, 1]])


def test_drawn_lengths_follow_the_width(folder, tmp_path):
    small = face_pairs.open_pairs(built(folder, tmp_path / "32"), "SFB1")
    large = face_pairs.open_pairs(built(folder, tmp_path / "64", image_size=64), "SFB1")
    assert small.lengths.min() >= 0.05 * 32 and small.lengths.max() <= 0.15 * 32
    np.testing.assert_allclose(large.lengths, 2 * small.lengths, atol=1e-3)
    np.testing.assert_array_equal(large.angles, small.angles)


def test_image_without_face_leaves_all_four_and_is_listed(folder, tmp_path):
    paths = built(folder, tmp_path)
    assert face_pairs.facts(paths)["excluded"] == [{"image_id": "000007", "reason": "no face found"}]
    assert all("000007" not in face_pairs.open_pairs(paths, name).image_ids for name in face_pairs.DATASETS)
    quality = face_pairs.quality_table(paths).set_index("image_id")
    assert quality.loc["000007", "status"] == "left out" and quality.loc["000001", "reason"] == ""


def test_same_bytes_with_any_number_of_workers_and_size_of_chunks(folder, tmp_path, monkeypatch):
    one, four = (built(folder, tmp_path / str(n), workers=n) for n in (1, 4))
    monkeypatch.setattr(chunks, "CHUNK", 7)
    other = built(folder, tmp_path / "chunks", workers=2)
    assert contents(one.data) == contents(four.data) == contents(other.data)
    assert contents(one.data) != contents(built(folder, tmp_path / "seed", seed=5).data)


def test_second_build_does_nothing_and_a_changed_setting_builds_again(folder, tmp_path, monkeypatch):
    paths = built(folder, tmp_path)
    before = (paths.data / "faces.npy").stat().st_mtime_ns
    monkeypatch.setattr(chunks, "fill", None)
    built(folder, tmp_path)
    assert (paths.data / "faces.npy").stat().st_mtime_ns == before
    with pytest.raises(TypeError):
        built(folder, tmp_path, seed=5)


@pytest.mark.parametrize("composite", ["paste", "matte"])
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_stored_and_composed_parts(folder, tmp_path, composite, noise):
    paths = built(folder, tmp_path, composite=composite, noise=noise)
    data = face_pairs.open_pairs(paths, "SB2SM")
    stored = (paths.data / "SB2SM.npy").exists()
    assert stored == (composite == "matte" or noise > 0)
    expected = operators.composite(data.sharp[2], data.kernel(2), data.blur_masks[2], composite)
    difference = data.blurred[2].astype(float) - expected
    assert difference.std() == pytest.approx(255 * noise, rel=0.1, abs=1e-9)


def test_input_scores_agree_with_scikit_image(folder, tmp_path):
    paths = built(folder, tmp_path)
    scores = score_input(paths).set_index(["dataset", "region", "metric", "image_id"])["value"]
    for name in DATASETS:
        data = face_pairs.open_pairs(paths, name, "test")
        outside = ~(data.head_masks if name in ("SFB1", "SB1SD") else data.face_masks)
        for i, image_id in enumerate(data.image_ids):
            pair = data.sharp[i], data.blurred[i]
            assert scores[name, "whole", "psnr", image_id] == pytest.approx(peak_signal_noise_ratio(*pair))
            error = (pair[0] / 255.0 - pair[1] / 255.0)[outside[i]]
            with np.errstate(divide="ignore"):
                expected = -10 * np.log10((error**2).mean())
            assert scores[name, "background", "psnr", image_id] == pytest.approx(expected)


def test_killed_ten_times_and_still_the_same_bytes(folder, tmp_path):
    expected = contents(built(folder, tmp_path / "whole").data)
    run = tmp_path / "killed/runs/smoke"
    context = multiprocessing.get_context("forkserver")  # the imports are paid once
    context.set_forkserver_preload(["facedeblur_utils.data.build"])
    dice = random.Random(0)
    seen = set()
    for killed_at in [*(dice.randint(1, 16) for _ in range(10)), 0]:
        arguments = (str(folder), str(tmp_path / "killed"), str(tmp_path / "cache"), killed_at)
        process = context.Process(target=fake_masks.build_in_a_process, args=arguments)
        process.start()
        process.join()
        assert process.exitcode == (-signal.SIGKILL if killed_at else 0)
        seen.add(len(list(run.glob("data.building/chunks/*.json"))))
        assert killed_at == 0 or not (run / "data").exists() or contents(run / "data") == expected
    assert len(seen) > 3  # it was killed at different stages
    assert contents(run / "data") == expected
    assert not (run / "data.building").exists()


def test_identities_keep_persons_together_and_are_reported(folder, tmp_path):
    file = tmp_path / "identity.txt"
    file.write_text("\n".join(f"{n:06d}.jpg {n // 3}" for n in range(1, FACES + 1)))
    paths = built(folder, tmp_path, identity_file=str(file))
    people = face_pairs.image_table(paths)["image_id"].astype(int) // 3
    assert face_pairs.image_table(paths)["split"].groupby(people).nunique().max() == 1
    assert [row["also in train"] for row in face_pairs.facts(paths)["leakage"]] == [0, 0, 0]
    assert face_pairs.facts(built(folder, tmp_path / "unknown"))["leakage"] is None


def test_copies_of_one_picture_stay_out(folder, tmp_path):
    twice = tmp_path / "twice"
    twice.mkdir()
    for path in folder.iterdir():
        (twice / path.name).write_bytes(path.read_bytes())
    (twice / "000099.png").write_bytes((folder / "000004.png").read_bytes())
    excluded = face_pairs.facts(built(twice, tmp_path))["excluded"]
    assert {"image_id": "000099", "reason": "same file as 000004"} in excluded


def test_the_same_picture_as_jpeg_stays_in_its_part_and_is_reported(folder, tmp_path):
    twice = tmp_path / "twice"
    shutil.copytree(folder, twice)
    for path in folder.iterdir():
        Image.open(path).save(twice / f"{path.stem}b.jpg", quality=90)
    paths = built(twice, tmp_path)
    images = face_pairs.image_table(paths)
    assert images["split"].groupby(images["image_id"].str[:6]).nunique().max() == 1
    assert len(images) == 2 * (FACES - 1) == 2 * face_pairs.facts(paths)["nearly_same"]
    assert "29 images are nearly the same as another" in face_pairs.facts(paths)["notes"][0]
    quality = face_pairs.quality_table(paths).set_index("image_id")
    assert quality.loc["000004b", "remark"] == "nearly the same as 000004"
    for part in ("train", "val", "test"):  # rows of a part needn't follow each other on disk
        pairs = face_pairs.open_pairs(paths, "SFB1", part)
        assert pairs.image_ids == sorted(pairs.image_ids)
        np.testing.assert_array_equal(pairs.sharp, pairs.batch(range(len(pairs)))[1])


def test_parts_are_shared_out_after_what_is_left_out(folder, tmp_path):
    mostly_dark = tmp_path / "dark"
    shutil.copytree(folder, mostly_dark)
    for number in range(200):
        Image.new("RGB", (40, 40), (number % 16, number // 16, 0)).save(mostly_dark / f"x{number}.png")
    counts = face_pairs.facts(built(mostly_dark, tmp_path))["counts"]
    assert counts == {"train": 27, "val": 1, "test": 1}


def bad_files(folder: Path) -> dict[str, str]:
    """Put one file of each kind of trouble into `folder`; returns what must be said of each, if anything."""
    good = Image.open(folder / "000004.png")
    noise = Image.fromarray(np.random.default_rng(1).integers(60, 250, (64, 64, 3), dtype=np.uint8))
    good.convert("L").save(folder / "grey.png")
    good.convert("RGBA").rotate(90).save(folder / "alpha.png")
    Image.fromarray(np.asarray(good.convert("L")).astype(np.uint16) * 257).save(folder / "deep.png")
    good.rotate(180).convert("CMYK").save(folder / "print.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    noise.save(folder / "turned.jpg", exif=exif)
    noise.save(folder / "moving.gif", save_all=True, append_images=[good])
    noise.save(folder / "cut.jpg")
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:-700])
    Image.new("RGB", (1, 1), "white").save(folder / "dot.png")
    Image.new("L", (30000, 3000), 200).save(folder / "panorama.png")
    Image.new("1", (20000, 20000), 1).save(folder / "bomb.png")
    (folder / "words.jpg").write_text("only words")
    (folder / "empty.jpg").touch()
    (folder / "twin.png").write_bytes((folder / "000004.png").read_bytes())
    light = np.asarray(good.convert("L")).astype(np.float32) / 255
    Image.fromarray(light).save(folder / "light.tif")
    used = dict.fromkeys(["grey", "alpha", "deep", "print", "turned", "moving", "light"], "")
    return used | {
        "cut": "damaged image file",
        "dot": "1 pixels wide is too small for faces of 32 pixels",
        "panorama": "30000×3000 pixels is more than 64 million",
        "bomb": "more than 64 million pixels",
        "words": "not an image",
        "empty": "not an image",
        "twin": "same file as 000004",
        "000007": "no face found",
    }


def test_every_bad_image_is_mended_or_listed(folder, tmp_path):
    mixed = tmp_path / "mixed"
    shutil.copytree(folder, mixed)
    expected = bad_files(mixed)
    quality = face_pairs.quality_table(built(mixed, tmp_path)).set_index("image_id")["reason"]
    for image_id, said in expected.items():
        assert quality[image_id].startswith(said) and bool(quality[image_id]) == bool(said)
    assert (quality != "").sum() == sum(map(bool, expected.values()))
    remarks = face_pairs.quality_table(run_paths("smoke", tmp_path)).set_index("image_id")["remark"]
    assert "the first of 2 pictures" in remarks["moving"]


def test_a_source_without_faces_stops(folder, tmp_path):
    dark = tmp_path / "dark"
    dark.mkdir()
    for number in range(5):
        Image.new("RGB", (40, 40), (number, 0, 0)).save(dark / f"{number}.png")
    with pytest.raises(StudyError, match="leaving out 5 of 5 images .* most frequent reason: no face found"):
        built(dark, tmp_path)


def test_disk_that_fills_while_writing(folder, tmp_path, monkeypatch):
    writes = itertools.count()

    def full(self, row, values):
        if next(writes) == 20:
            raise disk_error(OSError(errno.ENOSPC, "No space left on device"), self.path)
        return write(self, row, values)

    write = ArrayFile.write
    monkeypatch.setattr(ArrayFile, "write", full)
    with pytest.raises(StudyError, match="the disk is full: .* run again, it goes on"):
        built(folder, tmp_path / "full")
    assert not (tmp_path / "full/runs/smoke/data").exists()
    monkeypatch.setattr(ArrayFile, "write", write)
    expected = contents(built(folder, tmp_path / "whole").data)
    assert contents(built(folder, tmp_path / "full").data) == expected


def test_full_disk_is_one_line(folder, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(chunks.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StudyError, match="only .* MB are free"):
        built(folder, tmp_path)


def test_opening_what_is_not_there(folder, tmp_path):
    paths = run_paths("smoke", tmp_path)
    with pytest.raises(StudyError, match="run notebook 02"):
        face_pairs.open_pairs(paths, "SFB1")
    with pytest.raises(UsageError, match="unknown dataset 'SFB3'"):
        face_pairs.open_pairs(paths, "SFB3")
    with pytest.raises(UsageError, match="unknown part 'dev'"):
        face_pairs.open_pairs(built(folder, tmp_path), "SFB1", "dev")


def test_facts_say_what_made_the_data(folder, tmp_path):
    paths = built(folder, tmp_path)
    facts = face_pairs.facts(paths)
    assert sum(facts["counts"].values()) == FACES - 1 == facts["found"] - 1
    assert facts["recipe"]["profile"]["image_size"] == 32 and facts["head_segmenter"] == "fake masks"
    assert str(folder.parent) not in json.dumps(facts)
