"""Pairs of sharp and blurred files: the layouts of GoPro, HIDE and RealBlur, what is refused, the scores."""

from contextlib import contextmanager

import cv2
import numpy as np
import pandas as pd
import pytest
from fake_pairs import use_fakes, use_small_vgg
from PIL import Image
from skimage import metrics

from facedeblur_utils import downloads
from facedeblur_utils.blur.kernels import linear_motion_kernel
from facedeblur_utils.data import alignment, segmentation
from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.evaluation import paired_methods, paired_scores
from facedeblur_utils.evaluation.paired_folders import Pair, find_pairs
from facedeblur_utils.evaluation.paired_scores import means, score_pairs
from facedeblur_utils.evaluation.scores import COLUMNS
from facedeblur_utils.paths import run_paths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.tools import score_pairs as command
from facedeblur_utils.training import loops
from facedeblur_utils.training.experiments import training_runs

GOPRO = "test/GOPR0384_11_00/{}/000001.png"
REAL = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene001/{0}/{0}_1.png"


def picture(seed=0, height=24, width=32):
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return coarse.repeat(4, axis=0).repeat(4, axis=1)


def blurred(image):
    return cv2.blur(image, (5, 1))


def save(folder, *names, image=None):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture() if image is None else image).save(folder / name)


def found(folder, **options):
    """Name -> paths inside `folder` of the sharp and the blurred file."""
    return {
        pair.name: tuple(file.relative_to(folder.resolve()).as_posix() for file in (pair.sharp, pair.blurred))
        for pair in find_pairs(folder, **options)
    }


@pytest.mark.parametrize(
    ("sharp", "other"),
    [("sharp", "blurred"), ("Sharp", "Blur"), ("GT", "input"), ("target", "INPUT"), ("gt", "blurry")],
)
def test_plain_folders_pair_by_name_whatever_the_suffix_and_case(tmp_path, sharp, other):
    save(tmp_path, f"{sharp}/a.png", f"{sharp}/b.c.jpg", f"{other}/b.c.png", f"{other}/a.png")
    assert found(tmp_path) == {
        "a": (f"{sharp}/a.png", f"{other}/a.png"),
        "b.c": (f"{sharp}/b.c.jpg", f"{other}/b.c.png"),
    }
    assert {pair.dataset for pair in find_pairs(tmp_path)} == {tmp_path.name}


def test_gopro_pairs_within_a_sequence_and_leaves_the_other_blur_alone(tmp_path, capsys):
    save(tmp_path, *(GOPRO.format(side) for side in ("sharp", "blur", "blur_gamma")))
    save(tmp_path, "train/GOPR0372_07_00/sharp/000001.png", "train/GOPR0372_07_00/blur/000001.png")
    name = "test/GOPR0384_11_00/000001"
    assert found(tmp_path)[name] == (GOPRO.format("sharp"), GOPRO.format("blur"))
    datasets = [pair.dataset.removeprefix(tmp_path.name) for pair in find_pairs(tmp_path)]
    assert datasets == ["/test", "/train"]
    assert capsys.readouterr().out == ""
    assert found(tmp_path, gamma=True) == {name: (GOPRO.format("sharp"), GOPRO.format("blur_gamma"))}
    assert "1 without a partner, left out: train/GOPR0372_07_00/sharp/000001.png" in capsys.readouterr().out


def test_hide_has_one_folder_of_sharp_pictures_for_all_parts(tmp_path):
    blurs = {
        "1fromA": "test/test-close-ups/1fromA.png",
        "2fromB": "test/test-long-shot/2fromB.png",
        "3fromC": "train/3fromC.png",
    }
    save(tmp_path, *blurs.values(), *(f"GT/{name}.png" for name in blurs))
    expected = {file.removesuffix(".png"): (f"GT/{name}.png", file) for name, file in blurs.items()}
    assert found(tmp_path) == expected
    datasets = [pair.dataset.removeprefix(tmp_path.name) for pair in find_pairs(tmp_path)]
    assert datasets == ["/test", "/test", "/train"]


def test_realblur_names_differ_by_a_prefix(tmp_path):
    save(tmp_path, *(REAL.format(side) for side in ("gt", "blur")), REAL.format("blur").replace("_1", "_2"))
    assert list(found(tmp_path).values()) == [(REAL.format("gt"), REAL.format("blur"))]


def test_realblur_lists_win_and_say_which_pictures_are_of_the_test(tmp_path, capsys):
    save(tmp_path, *(REAL.format(side) for side in ("gt", "blur")))
    save(tmp_path, "gt/other.png", "blur/other.png")
    line = f"{REAL.format('gt')} {REAL.format('blur')}"
    (tmp_path / "RealBlur_J_test_list.txt").write_text(f"{line}\n\n{line.replace('_1', '_7')} \n")
    (tmp_path / "RealBlur_J_train_list.txt").write_text("gt/other.png blur/other.png\n")
    (pair,) = find_pairs(tmp_path)
    assert (pair.sharp, pair.blurred) == (tmp_path / REAL.format("gt"), tmp_path / REAL.format("blur"))
    assert pair.dataset == "RealBlur_J_test_list"
    assert "2 listed but not there" in capsys.readouterr().out
    (pair,) = find_pairs(tmp_path / "RealBlur_J_train_list.txt")
    assert pair.sharp == tmp_path / "gt/other.png"


def test_a_list_with_the_blurred_path_first_is_understood(tmp_path):
    save(tmp_path, "gt/a.png", "blur/a.png")
    (tmp_path / "my_list.txt").write_text("blur/a.png gt/a.png\n")
    (pair,) = find_pairs(tmp_path)
    assert pair.sharp.parent.name == "gt"


def test_files_without_a_partner_are_named_and_the_others_paired(tmp_path, capsys):
    save(tmp_path, "sharp/a.png", "sharp/only.png", "blurred/a.png", "blurred/lone.png")
    assert list(found(tmp_path)) == ["a"]
    told = "2 without a partner, left out: blurred/lone.png, sharp/only.png\n"
    assert capsys.readouterr().out == told


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "no pictures in"),
        (("a.png",), "0 sharp and 0 blurred pictures among 1"),
        (("sharp/a.png", "blurred/b.png"), "share no name, such as sharp/a.png and blurred/b.png"),
        (("sharp/a.png", "sharp/a.jpg", "blurred/a.png"), "claim the same place"),
        (("sharp/a.png", "blur/a.png", "input/a.png"), "claim the same place"),
        ((GOPRO.format("sharp"), GOPRO.format("blur_gamma")), "--blur-gamma"),
    ],
)
def test_folders_without_usable_pairs_are_refused_in_one_line(tmp_path, names, message):
    save(tmp_path, *names)
    with pytest.raises(UsageError, match=message) as caught:
        find_pairs(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"gt/a.png\n", "line 1: a sharp and a blurred path expected, got 'gt/a.png'"),
        (b"gt/gone.png blur/gone.png\n", "gt/gone.png is not there; put the list beside"),
        (b"", "no pair of my_list.txt"),
        (b"\xff\xd8\xff", "not a list of paths"),
    ],
)
def test_lists_that_say_nothing_usable_are_refused(tmp_path, content, message):
    (tmp_path / "my_list.txt").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        find_pairs(tmp_path)
    with pytest.raises(UsageError, match="no folder"):
        find_pairs(tmp_path / "gone")


def broken(folder, kind):
    """A good pair and, after it in the order of names, one that can't be used."""
    save(folder, "sharp/a.png", "blurred/a.png", "sharp/b.png", "blurred/b.png")
    file = folder / "blurred/b.png"
    if kind == "size":
        save(folder, "blurred/b.png", image=picture(height=24, width=24))
    elif kind == "small":
        save(folder, "sharp/b.png", "blurred/b.png", image=picture(height=8))
    elif kind == "cut":
        file.write_bytes(file.read_bytes()[:-40])
    elif kind == "text":
        file.write_text("no picture")
    elif kind == "gone":
        return [*find_pairs(folder), Pair("c", file, folder / "gone.png")]
    return find_pairs(folder)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("size", r"sharp/b.png and .*blurred/b.png differ in size \(32×24 and 24×24\)"),
        ("small", "sharp/b.png is too small: SSIM needs 11"),
        ("cut", "blurred/b.png: damaged"),
        ("text", "blurred/b.png: not an image"),
        ("gone", "cannot read .*gone.png: No such file"),
    ],
)
def test_files_that_cannot_be_used_are_told_before_anything_is_scored(tmp_path, kind, message):
    calls = []
    with pytest.raises(UsageError, match=message):
        score_pairs(broken(tmp_path, kind), {"m": lambda image: calls.append(1) or image})
    assert not calls


def pair_of(folder, sharp, other):
    save(folder, "sharp/a.png", image=sharp)
    save(folder, "blurred/a.png", image=other)
    return find_pairs(folder)


def oracle(output, sharp):
    ssim = metrics.structural_similarity(
        output, sharp, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return metrics.peak_signal_noise_ratio(sharp, output), ssim


def values(scores, model, region="whole"):
    rows = scores[(scores["model"] == model) & (scores["region"] == region)]
    return rows.set_index("metric")["value"][["psnr", "ssim"]].to_list()


def test_scores_are_scikit_images_of_the_input_and_of_each_method(tmp_path):
    sharp = picture()
    scores = score_pairs(pair_of(tmp_path, sharp, blurred(sharp)), {"less": lambda image: image // 2})
    assert list(scores) == COLUMNS and list(scores["model"].unique()) == ["input", "less"]
    assert values(scores, "input") == pytest.approx(oracle(blurred(sharp), sharp), abs=1e-4)
    assert values(scores, "less") == pytest.approx(oracle(blurred(sharp) // 2, sharp), abs=1e-4)


def test_whole_pictures_are_reduced_to_a_longest_side_by_averaging(tmp_path):
    sharp = picture(1, 48, 64)
    scores = score_pairs(pair_of(tmp_path, sharp, blurred(sharp)), {}, size=32)
    halves = [
        np.rint(image.reshape(24, 2, 32, 2, 3).mean(axis=(1, 3))).astype(np.uint8)
        for image in (blurred(sharp), sharp)
    ]
    assert values(scores, "input") == pytest.approx(
        oracle(*halves), abs=0.02
    )  # halves are rounded either way
    with pytest.raises(UsageError, match="size must be 11 pixels or more"):
        score_pairs(find_pairs(tmp_path), {}, size=10)


@pytest.mark.parametrize("output", [None, np.zeros((24, 31, 3), np.uint8), np.zeros((24, 32, 3))])
def test_a_method_that_gives_something_else_is_named(tmp_path, output):
    sharp = picture()
    with pytest.raises(UsageError, match="odd must give uint8"):
        score_pairs(pair_of(tmp_path, sharp, blurred(sharp)), {"odd": lambda image: output})


def test_means_count_the_gain_image_by_image_and_leave_out_what_is_infinite():
    rows = [
        (model, "d", image, "whole", metric, value)
        for metric, table in {
            "psnr": {"input": [20.0, 30.0], "m": [22.0, np.inf]},
            "ssim": {"input": [0.5, 0.9], "m": [0.6, 1.0]},
        }.items()
        for model, numbers in table.items()
        for image, value in zip("ab", numbers, strict=True)
    ]
    table = means(pd.DataFrame(rows, columns=COLUMNS)).set_index("model")
    assert table.loc["m", ["images", "psnr", "psnr_gain"]].tolist() == [2, 22, 2]
    assert table.loc["m", "ssim_gain"] == pytest.approx(0.1)
    assert table.loc["input", ["psnr", "psnr_gain"]].tolist() == [25, 0]


LEFT, TOP, SIDE = 30, 20, 178  # of the face's square; CelebA's alignment then has the eyes at these pixels
EYES = {(33, 133): (LEFT + 69, TOP + 91), (362, 263): (LEFT + 109, TOP + 91)}
OVAL = (LEFT + 89, TOP + 100), (50, 60)  # centre and half axes


def face(shift=0):
    """A face whose crop is the square of SIDE pixels at (LEFT + shift, TOP)."""
    turns = np.linspace(0, 2 * np.pi, len(segmentation.FACE_OVAL), endpoint=False)
    landmarks = np.full((478, 2), OVAL[0], np.float32)
    outline = np.stack([np.cos(turns), np.sin(turns)], axis=1) * OVAL[1] + OVAL[0]
    landmarks[list(segmentation.FACE_OVAL)] = outline
    for corners, place in EYES.items():
        landmarks[list(corners)] = place
    landmarks += np.float32([shift, 0])
    return alignment.PhotoFace(landmarks, alignment.crop_transform(landmarks))


@pytest.fixture
def detector(monkeypatch):
    """Shows `faces` in a picture; a test changes them."""
    faces = [face()]

    @contextmanager
    def opened():
        yield "detector"

    def find(image, landmarker):
        assert landmarker == "detector" and image.std() > 60  # the sharp picture
        return faces

    monkeypatch.setattr(segmentation, "open_landmarker", opened)
    monkeypatch.setattr(alignment, "find_faces", find)
    return faces


def photos(folder):
    sharp = picture(2, 240, 320)
    other = np.clip(sharp // 2 + 60, 0, 255).astype(np.uint8)
    return sharp, other, pair_of(folder, sharp, other)


def test_both_pictures_are_cut_to_the_square_of_a_face_in_the_sharp_one(tmp_path, detector):
    sharp, other, pairs = photos(tmp_path)
    seen = []
    scores = score_pairs(pairs, {"same": lambda image: seen.append(image) or image}, faces=True, size=89)
    part = np.s_[TOP : TOP + SIDE, LEFT : LEFT + SIDE]
    halves = [image[part].reshape(89, 2, 89, 2, 3).mean(axis=(1, 3)) for image in (other, sharp)]
    np.testing.assert_allclose(seen[0], halves[0], atol=0.5)
    expected = oracle(*(np.rint(image).astype(np.uint8) for image in halves))
    assert values(scores, "same") == pytest.approx(expected, abs=0.02)
    assert set(scores["image_id"]) == {"a.face1"} and set(scores["region"]) == {"whole", "face"}


def test_the_region_face_is_the_oval_in_the_square(tmp_path, detector):
    sharp, other, _ = photos(tmp_path)
    y, x = np.mgrid[:240, :320]
    (cx, cy), (across, down) = OVAL

    def apart(scale):
        return ((x - cx) / (scale * across)) ** 2 + ((y - cy) / (scale * down)) ** 2

    for scale, inside in ((1.06, False), (0.94, True)):  # changed outside the oval alone, then inside alone
        changed = (apart(scale) < 1) == inside
        pairs = pair_of(tmp_path, sharp, np.where(changed[..., None], other, sharp))
        scores = score_pairs(pairs, {}, faces=True)
        assert np.isinf(values(scores, "input", "face")[0]) == (not inside)
    part = np.s_[TOP : TOP + SIDE, LEFT : LEFT + SIDE]
    error = (other.astype(float) - sharp)[part] ** 2
    share = (apart(0.94) < 1)[part][..., None]
    expected = 10 * np.log10(255**2 / (error * share).sum() * 3 * np.pi * across * down)
    assert values(scores, "input", "face")[0] == pytest.approx(expected, abs=0.05)


def test_faces_at_the_border_stay_square_and_small_ones_are_left_out(tmp_path, detector):
    *_, pairs = photos(tmp_path)
    detector[:] = [face(shift=200)]
    (case,) = paired_scores.face_cases(pairs[0], "detector", None)
    assert case.sharp.shape == case.blurred.shape == (SIDE, SIDE, 3)
    assert paired_scores.face_cases(pairs[0], "detector", 2 * SIDE + 2) == []
    with pytest.raises(UsageError, match="no face of a usable size in 1 sharp pictures"):
        score_pairs(pairs, {}, faces=True, size=2 * SIDE + 2)


def test_pictures_without_a_face_are_named(tmp_path, detector, capsys, monkeypatch):
    sharp, other, _ = photos(tmp_path)
    save(tmp_path, "sharp/b.png", image=sharp)
    save(tmp_path, "blurred/b.png", image=other)
    shown = iter([[face()], []])
    monkeypatch.setattr(alignment, "find_faces", lambda image, landmarker: next(shown))
    scores = score_pairs(find_pairs(tmp_path), {}, faces=True)
    assert set(scores["image_id"]) == {"a.face1"}
    assert "1 without a face of a usable size, left out: b\n" in capsys.readouterr().out


@pytest.mark.parametrize("view", [192, 64])  # the picture as it is, and reduced by half as much again
def test_the_kernel_that_is_found_is_near_the_true_one(monkeypatch, view):
    length, angle = 9.0, 30.0
    rng = np.random.default_rng(3)
    sharp = cv2.GaussianBlur(rng.integers(0, 256, (96, 96, 3)).astype(np.float32), (0, 0), 2.5)
    sharp = np.clip(127 + 6 * (sharp - sharp.mean()), 0, 255).astype(np.uint8)
    kernel = linear_motion_kernel(length, angle)
    image = cv2.filter2D(sharp, -1, kernel[::-1, ::-1], borderType=cv2.BORDER_REFLECT_101)
    asked = []

    def restored(network, views):
        asked.append(views.shape)
        return cv2.resize(sharp, views.shape[2:0:-1], interpolation=cv2.INTER_AREA)[None]

    monkeypatch.setattr(paired_methods, "restore", restored)
    monkeypatch.setattr(paired_methods, "VIEW", view)
    find = paired_methods.KernelFinder(None)
    got, where = find(image)
    find(image)
    assert asked == [(1, min(view, 96), min(view, 96), 3)]
    assert where.shape == (96, 96) and where.mean() > 0.5
    offsets = [np.stack(np.nonzero(k > k.max() / 10)) - (len(k) - 1) / 2 for k in (got, kernel)]
    slopes = [np.rad2deg(np.arctan2(-y @ x, x @ x)) for y, x in offsets]
    assert slopes[0] == pytest.approx(slopes[1], abs=8)
    assert np.ptp(offsets[0][1]) == pytest.approx(np.ptp(offsets[1][1]), abs=2)


@pytest.fixture
def tiny(tmp_path):
    for index in range(2):
        sharp = picture(index, 32, 32)
        save(tmp_path / "set", f"sharp/{index}.png", image=sharp)
        save(tmp_path / "set", f"blurred/{index}.png", image=blurred(sharp))
    return tmp_path


def test_the_command_scores_all_methods_prints_means_and_writes_the_table(tiny, capsys):
    output = tiny / "new" / "scores.csv"
    assert command.main([str(tiny / "set"), "--output", str(output)]) == 0
    scores = pd.read_csv(output)
    models = ["input", "restorer", "Wiener.blind", "RichardsonLucy.blind"]
    assert list(scores) == COLUMNS and len(scores) == 2 * 4 * 2
    assert list(scores["model"].unique()) == models
    sharp = picture(1, 32, 32)
    psnr = scores[(scores["model"] == "input") & (scores["image_id"] == 1) & (scores["metric"] == "psnr")]
    assert psnr["value"].item() == pytest.approx(oracle(blurred(sharp), sharp)[0], abs=1e-4)
    printed = capsys.readouterr().out
    assert "2 pairs in" in printed and all(f" {model} " in printed for model in models)
    assert not list(output.parent.glob("*.partial"))


def test_the_command_scores_the_trained_networks_of_a_run(tiny, monkeypatch, capsys):
    use_small_vgg(monkeypatch)
    use_fakes(monkeypatch)
    profile = load_profile("smoke", {"autoencoder_width": 4, "precision": "fp32"})
    monkeypatch.setenv("FACEDEBLUR_OUTPUT", str(tiny))
    loops.train(training_runs(profile)["ASFB1"], profile, run_paths("smoke", tiny))
    output = tiny / "scores.csv"
    arguments = [str(tiny / "set"), "--run", "smoke", "--output", str(output), "--models"]
    assert command.main([*arguments, "ASFB1", "restorer"]) == 0
    assert list(pd.read_csv(output)["model"].unique()) == ["input", "ASFB1", "restorer"]
    assert command.main([*arguments, "ASFB2"]) == 1
    assert "run ASFB2 has not been trained" in capsys.readouterr().err
    found = paired_methods.methods([], profile, run_paths("smoke", tiny))
    assert list(found) == ["restorer", "Wiener.blind", "RichardsonLucy.blind", "ASFB1"]
    assert "left out: ASB1SD, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone"], "no folder"),
        (["set", "--models", "best"], "unknown model 'best'; known: restorer, "),
        (["set", "--models", "restorer", "--size", "4"], "size must be 11"),
        (["set", "--run", "none"], "unknown profile 'none'"),
        (["set", "--output", "set"], "is a folder"),
    ],
)
def test_the_command_ends_with_one_line_and_exit_code_2(tiny, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tiny)
    assert command.main(arguments) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_without_the_detectors_weights_one_line_says_what_to_do(tiny, monkeypatch, capsys):
    monkeypatch.setattr(downloads, "_sources", lambda asset: [])
    monkeypatch.setenv("FACEDEBLUR_CACHE", str(tiny / "cache"))
    arguments = [str(tiny / "set"), "--faces", "--models", "restorer", "--output", str(tiny / "scores.csv")]
    assert command.main(arguments) == StudyError.exit_code
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and "face_landmarker" in printed.err and "go online" in printed.err
    assert "Reading" not in printed.out and not (tiny / "scores.csv").exists()


def test_the_command_scores_faces_at_the_size_of_the_published_restorer(tmp_path, detector):
    photos(tmp_path)
    output = tmp_path / "scores.csv"
    arguments = [str(tmp_path), "--faces", "--models", "restorer", "--output", str(output)]
    sizes = []
    real = paired_scores.score_images

    def spied(images, sharp, masks):
        sizes.append(images.shape)
        return real(images, sharp, masks)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paired_scores, "score_images", spied)
        assert command.main(arguments) == 0
    assert set(sizes) == {(1, 128, 128, 3)}
    assert set(pd.read_csv(output)["region"]) == {"whole", "face"}
