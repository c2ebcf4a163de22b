"""Physics in the study: the reference that knows the kernel, harder sets, kept pictures, tables, figure."""

from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from fake_pairs import BlurredPairs
from print_checks import assert_ready
from test_evaluation import COUNT, Darken

from facedeblur_utils.blur import operators
from facedeblur_utils.blur.frames import reduced_from_finer
from facedeblur_utils.blur.kernels import linear_motion_kernel
from facedeblur_utils.data import face_pairs
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.evaluation import blind_pictures, harder_sets, physics_scores, scores
from facedeblur_utils.evaluation.harder_sets import HARDER, first_faces, harder_set
from facedeblur_utils.evaluation.scores import SharpPairs, score_images
from facedeblur_utils.paths import run_paths
from facedeblur_utils.physics import reference
from facedeblur_utils.physics.blind import Explanation
from facedeblur_utils.physics.method import Deblurring
from facedeblur_utils.physics.motion import Motion
from facedeblur_utils.physics.reference import known_kernel, solve_known
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.reporting import physics_results

SIZE = 48
ALL = np.arange(COUNT)
MOTIONS = {f"{n + 1:06d}": (4.0 + n, 25.0 * n) for n in range(COUNT)}


class Patches(BlurredPairs):
    """Patches of colour with motion blur, everywhere or in the middle; they have edges, as pictures do."""

    def __init__(self, name):
        coarse = np.random.default_rng(1).integers(20, 230, (COUNT, 4, 4, 3))
        sharp = coarse.repeat(12, axis=1).repeat(12, axis=2).astype(np.uint8)
        super().__init__(name, sharp, MOTIONS, slice(12, 37), slice(10, 35))


def gain(output, pairs, blurred=None):
    before = score_images(pairs.blurred if blurred is None else blurred, pairs.sharp, {"": None})["", "psnr"]
    return score_images(output, pairs.sharp, {"": None})["", "psnr"] - before


# -------------------------------------------------------------------------------------- the true kernel


@pytest.mark.parametrize("name", ["SFB1", "SB1SD"])
def test_true_kernel_and_region_give_back_most_of_what_was_lost(name):
    pairs = Patches(name)
    output = known_kernel()(pairs, ALL)
    assert gain(output, pairs).min() > 6  # at the border and at the mask's seam as well
    np.testing.assert_array_equal(output[~pairs.blur_masks], pairs.blurred[~pairs.blur_masks])


def test_true_kernel_is_solved_in_the_domain_that_was_blurred():
    pairs = Patches("SFB1")
    kernels = [pairs.kernel(index) for index in ALL]
    cases = zip(pairs.sharp, kernels, strict=True)
    blurred = np.stack([operators.convolve(image, kernel, 2.2) for image, kernel in cases])
    right, wrong = (solve_known(blurred, kernels, pairs.blur_masks, gamma) for gamma in (2.2, 1.0))
    assert (gain(right, pairs, blurred) > gain(wrong, pairs, blurred) + 1)[2:].all()  # the longer blurs


def test_true_kernel_knows_how_a_moving_part_was_laid_over():
    pairs, kernel = Patches("SB1SD"), linear_motion_kernel(6, 30)
    cases = zip(pairs.sharp, pairs.blur_masks, strict=True)
    blurred = np.stack([operators.composite(image, kernel, mask, "matte") for image, mask in cases])
    how = (blurred, [kernel] * COUNT, pairs.blur_masks, 1.0)
    matte, paste = solve_known(*how, "matte"), solve_known(*how, "paste")
    assert (gain(matte, pairs, blurred) > gain(paste, pairs, blurred) + 0.5).all()
    assert gain(matte, pairs, blurred).mean() > gain(paste, pairs, blurred).mean() + 2


def test_what_did_not_move_stays_as_it_was_with_its_noise():
    pairs = Patches("SB1SD")
    noise = operators.noise_field(pairs.blurred.shape, 0.02, np.random.default_rng(1))
    noisy = operators.add_noise(pairs.blurred, noise)
    output = solve_known(noisy, [pairs.kernel(index) for index in ALL], pairs.blur_masks)
    np.testing.assert_array_equal(output[~pairs.blur_masks], noisy[~pairs.blur_masks])


def test_noise_makes_the_prior_stronger(monkeypatch):
    noisy = harder_set("noise", first_faces(Patches("SFB1"), COUNT), MOTIONS, 1)
    found = gain(known_kernel()(noisy, ALL), noisy)
    monkeypatch.setattr(reference, "strength_for", lambda error: 5e-5)  # that of pictures without noise
    assert (found > gain(known_kernel()(noisy, ALL), noisy) + 3).all() and found.min() > 3


# ------------------------------------------------------------------------------------------ harder sets


@pytest.mark.parametrize("name", HARDER)
def test_harder_sets_hang_on_seed_and_id_and_not_on_order(name):
    pairs = first_faces(Patches("SFB1"), COUNT)
    whole, again = harder_set(name, pairs, MOTIONS, 1), harder_set(name, pairs, MOTIONS, 1)
    np.testing.assert_array_equal(whole.blurred, again.blurred)
    few = first_faces(Patches("SFB1"), COUNT)
    backwards = harder_sets.HeldPairs(
        few.name, few.image_ids[::-1], few.blurred[::-1], few.sharp[::-1], few.face_masks, few.head_masks,
        few.blur_masks,
    )  # fmt: skip
    np.testing.assert_array_equal(harder_set(name, backwards, MOTIONS, 1).blurred[::-1], whole.blurred)
    if HARDER[name].noise:
        assert (harder_set(name, pairs, MOTIONS, 2).blurred != whole.blurred).mean() > 0.3
    assert whole.blur_masks.all() and whole.batch([1])[0].shape == (1, SIZE, SIZE, 3)


def test_each_set_and_face_has_draws_of_its_own(monkeypatch):
    drawn = []
    known = harder_sets.generator_for
    monkeypatch.setattr(harder_sets, "generator_for", lambda *key: drawn.append(key) or known(*key))
    for name in HARDER:
        harder_set(name, first_faces(Patches("SFB1"), COUNT), MOTIONS, 1)
    assert len(set(drawn)) == len(HARDER) * COUNT


def test_harder_sets_are_what_they_say():
    pairs = first_faces(Patches("SFB1"), COUNT)
    made = {name: harder_set(name, pairs, MOTIONS, 1) for name in HARDER}
    cases = zip(pairs.sharp, MOTIONS.values(), strict=True)
    plain = [operators.convolve(image, linear_motion_kernel(*motion)) for image, motion in cases]
    noise = made["noise"].blurred.astype(float) - np.stack(plain)
    assert noise.std() / 255 == pytest.approx(0.01, rel=0.05)
    turned = [np.abs(k - k[::-1, ::-1]).sum() for k in made["curved"].kernels]
    assert min(turned) > 0.05  # a line's kernel is the same turned by 180 degrees, an arc's isn't
    for name in ("frames", "frames_light", "frames_light_noise"):
        np.testing.assert_array_equal(made[name].sharp[2], reduced_from_finer(pairs.sharp[2]))
    light, stored = made["frames_light"].blurred.mean(), made["frames"].blurred.mean()
    assert light > stored + 2  # a mean of light is brighter than one of stored values
    assert [each.gamma for each in made.values()] == [1, 1, 1, 1, 2.2, 2.2]


@pytest.mark.parametrize("name", ["curved", "frames", "frames_light"])
def test_true_kernel_of_harder_sets_fits_what_blurred_them(name):
    pairs = harder_set(name, first_faces(Patches("SFB1"), COUNT), MOTIONS, 1)
    right = gain(known_kernel()(pairs, ALL), pairs)
    assert right.min() > 4
    turned = [kernel[:, ::-1] for kernel in pairs.kernels]
    wrong = gain(solve_known(pairs.blurred, turned, pairs.blur_masks, pairs.gamma), pairs)
    far = np.isin([angle for _, angle in MOTIONS.values()], (25, 50, 125))  # from their own mirror images
    assert (right > wrong + 4)[far].all()


def test_first_faces_are_those_of_lowest_id():
    pairs = Patches("SFB1")
    pairs.image_ids = pairs.image_ids[::-1]
    held = first_faces(pairs, 2)
    assert held.image_ids == ["000001", "000002"]
    np.testing.assert_array_equal(held.blurred, pairs.blurred[[5, 4]])
    np.testing.assert_array_equal(held.kernel(0), pairs.kernel(5))
    assert first_faces(SharpPairs(pairs), 9).kernels == []


# ---------------------------------------------------------------------------------------- kept pictures


@pytest.fixture
def blind(monkeypatch, tmp_path):
    """(profile, paths, calls): the blind method replaced by one that notes the pictures it is shown."""
    calls = []

    def deblur(blurred, restorer, landmarker, refiner):
        if len(calls) == blind_limit["calls"]:
            raise KeyboardInterrupt
        calls.append(blurred)
        how = Explanation(Motion(5.0, 30.0), 2.2, "face", None, 1e-4, 0.1)
        return Deblurring(
            np.uint8(blurred * 0.9), blurred.copy(), np.uint8(blurred * 0.8), how, confidence["is"]
        )

    def tasks(landmarker):
        def score(output, sharp, ids):
            return {"face_found": np.ones(len(ids)), "landmark_error": output[:, 0, 0, 0]}

        return score

    blind_limit, confidence = {"calls": 10**6}, {"is": 0.9}
    monkeypatch.setattr(face_pairs, "open_pairs", lambda paths, name, split: Patches(name))
    table = pd.DataFrame.from_dict(MOTIONS, orient="index", columns=["length_1", "angle_1"])
    table = table.rename_axis("image_id").reset_index()
    monkeypatch.setattr(face_pairs, "image_table", lambda paths: table)
    monkeypatch.setattr(blind_pictures, "deblur_by_physics", deblur)
    monkeypatch.setattr(physics_scores, "TaskScores", tasks)
    monkeypatch.setattr(blind_pictures.published, "load", lambda: Darken(1.0))
    monkeypatch.setattr(blind_pictures, "load_refiner", lambda: Darken(1.0))
    monkeypatch.setattr(blind_pictures.segmentation, "open_landmarker", lambda: nullcontext(None))
    monkeypatch.setattr(blind_pictures.segmentation, "head_segmenter_name", lambda: "none")
    monkeypatch.setattr(physics_scores, "FACES", {"sample": 2})
    return load_profile("sample"), run_paths("sample", tmp_path), calls, blind_limit


def test_a_second_run_deblurs_nothing_and_says_the_same(blind):
    profile, paths, calls, _ = blind
    first = physics_scores.score_physics(profile, paths)
    assert len(calls) == 2 * (len(DATASETS) + 1 + len(HARDER))
    content = paths.physics_scores.read_bytes()
    second = physics_scores.score_physics(profile, paths)
    assert len(calls) == 2 * (len(DATASETS) + 1 + len(HARDER))
    assert paths.physics_scores.read_bytes() == content
    for name, found in first.found.items():
        np.testing.assert_array_equal(found.solved, second.found[name].solved)
        np.testing.assert_array_equal(found.motions, second.found[name].motions)
        np.testing.assert_array_equal(found.kernel(0), linear_motion_kernel(5.0, 30.0))


def test_an_interrupted_run_goes_on_at_its_set(blind):
    profile, paths, calls, limit = blind
    limit["calls"] = 5  # in the third set
    with pytest.raises(KeyboardInterrupt):
        physics_scores.score_physics(profile, paths)
    assert sorted(path.stem for path in paths.physics_pictures("x").parent.iterdir()) == ["SB1SD", "SFB1"]
    limit["calls"] = 10**6
    done = len(calls)
    physics_scores.score_physics(profile, paths)
    assert len(calls) - done == 2 * (len(DATASETS) + 1 + len(HARDER) - 2)


def test_other_pictures_weights_code_or_a_damaged_file_are_deblurred_again(blind, monkeypatch):
    _, paths, calls, _ = blind
    pairs = first_faces(Patches("SFB1"), 2)

    def again(pairs=pairs, restorer=1.0, refiner=1.0):
        before = len(calls)
        networks = blind_pictures.Networks(Darken(restorer), Darken(refiner))
        blind_pictures.kept_or_found(pairs, networks, None, paths)
        return len(calls) - before

    assert (again(), again()) == (2, 0)
    assert (again(first_faces(Patches("SB1SD"), 2)), again()) == (2, 0)  # another set, another file
    pairs.blurred[0, 0, 0, 0] ^= 1
    assert again() == 2
    assert (again(restorer=0.5), again(restorer=0.5), again(refiner=0.5), again(refiner=0.5)) == (2, 0, 2, 0)
    assert (again(), again()) == (2, 0)
    monkeypatch.setattr(blind_pictures.fingerprints, "definitions", lambda roots, without: {"undo": "other"})
    assert (again(), again()) == (2, 0)
    file = paths.physics_pictures("SFB1")
    file.write_bytes(file.read_bytes()[:300])
    assert again() == 2


def test_rows_of_whole_test_sets_are_the_pictures_of_notebook_07(blind, monkeypatch):
    _, paths, calls, _ = blind
    pairs = Patches("SFB2")
    rows = blind_pictures.blind_rows(paths)
    np.testing.assert_array_equal(rows["PhysicsBlind"](pairs, ALL[1:3]), pairs.batch(ALL[1:3])[0])
    np.testing.assert_array_equal(
        rows["PhysicsRefined"](pairs, ALL[1:3]), np.uint8(pairs.batch(ALL[1:3])[0] * 0.8)
    )
    assert len(calls) == COUNT
    monkeypatch.setattr(physics_scores, "FACES", {})
    physics_scores.score_physics(load_profile("sample"), paths)
    assert len(calls) == COUNT * (len(DATASETS) + 1 + len(HARDER))


def test_only_full_profiles_with_few_test_faces_score_the_blind_method_in_notebook_05(blind, monkeypatch):
    _, paths, *_ = blind

    def rows(profile):
        return {name for name, _ in scores.scored_models(load_profile(profile), paths)} & set(
            scores.BLIND_ROWS
        )

    assert rows("study") == {"PhysicsBlind", "PhysicsRefined"} and not rows("sample")
    monkeypatch.setattr(scores, "MOST_BLIND", COUNT - 1)
    assert not rows("study")


# --------------------------------------------------------------------------- tables, figure, sentences


def test_tables_have_every_method_on_every_set(blind):
    study = physics_scores.score_physics(*blind[:2])
    table = physics_results.physics_table(study.scores)
    assert list(table.index) == [*DATASETS, *(row.words for row in HARDER.values())]
    heads = ["published restorer", "physics, true kernel", "physics, blind", "with refinement"]
    assert list(table.columns) == [("blurred", "PSNR"), *((h, w) for h in heads for w in ("mean", "worst"))]
    assert not table.isna().any().any()
    assert (table["physics, true kernel", "mean"][list(DATASETS)] > 6).all()
    assert (table["physics, blind"] == 0).all().all()  # the stand-in changes nothing
    pairs, restored = study.pairs["SFB1"], study.found["SFB1"].restored
    by_hand = gain(restored, pairs)
    assert table.loc["SFB1", ("published restorer", "worst")] == pytest.approx(by_hand.min(), abs=1e-4)
    assert table.loc["SFB1", ("published restorer", "mean")] == pytest.approx(by_hand.mean(), abs=1e-4)
    best = physics_results.best_blind(table)
    assert best["physics, blind", "mean"].all() and best.sum().sum() == len(table)
    regions = physics_results.physics_regions(study.scores)
    assert list(regions.index) == ["Blurred input", *heads]
    assert regions["gain"].shape[1] == 4 and regions["harm"].loc["published restorer"].notna().all()
    assert np.isnan(regions.loc["physics, true kernel", ("harm", "sharp face")])  # nothing to know there
    assert physics_results.how_many(study, COUNT) == f"The first 2 of {COUNT} test faces."


def test_figure_shows_three_faces_with_the_path_that_was_found(blind, tmp_path):
    study = physics_scores.score_physics(*blind[:2])
    figure, data = physics_results.physics_figure(study)
    assert figure.get_figwidth() == pytest.approx(6.3, abs=0.05)
    assert_ready(figure, tmp_path)
    assert list(data["dataset"].unique()) == ["SFB1", "SB2SM", "frames_light_noise"]
    assert data["image_id"].nunique() == 2  # another face in the second row
    found = data[data["image"] == "with refinement"]
    assert set(found["length_found"]) == {5.0} and set(found["region"]) == {"face"}
    pairs = study.pairs["SB2SM"]
    expected = score_images(pairs.blurred[1:2], pairs.sharp[1:2], {"": None})["", "psnr"][0]
    row = data[(data["dataset"] == "SB2SM") & (data["image"] == "blurred")].iloc[0]
    assert row["psnr"] == pytest.approx(expected, abs=1e-3)


def test_sentence_follows_the_numbers(blind):
    study = physics_scores.score_physics(*blind[:2])
    text = physics_results.on_physics(study.scores)
    assert "Blind it gains +0.0 to +0.0 dB" in text and "stays behind" not in text
    assert "A network after it adds -" in text  # the stand-in darkens
    scores = study.scores.copy()
    worse = (scores["model"] == "blind") & (scores["dataset"] == "jpeg") & (scores["metric"] == "psnr")
    scores.loc[worse, "value"] -= 30
    text = physics_results.on_physics(scores)
    assert "the least on JPEG 95" in text and "stays behind the restorer on JPEG 95" in text
