"""Restorers trained on each kind of blur: their pairs, runs and scores, and what is concluded from them."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from fake_pairs import FakePairs
from print_checks import assert_ready, photographs

from facedeblur_utils.blur.kernels import generator_for
from facedeblur_utils.blur.kinds import BLURS
from facedeblur_utils.data import face_pairs
from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.evaluation import blur_comparison, harder_sets
from facedeblur_utils.evaluation.scores import SHARP
from facedeblur_utils.paths import run_paths
from facedeblur_utils.profiles import BLUR_KINDS, load_profile
from facedeblur_utils.reporting import kind_results
from facedeblur_utils.training import experiments, identity, mixed, trained

COUNTS = {"train": 12, "val": 4, "test": 6}
TINY = {
    "restorer_width": 4,
    "precision": "fp32",
    "kind_runs": ["line", "frames", "line_face"],
    "kind_seeds": 2,
}


class MaskedPairs(FakePairs):
    """Fake pairs whose mask is the left half (head) or the upper half (face)."""

    faces_fingerprint = "faces"

    def __init__(self, name, split):
        super().__init__(name, split, COUNTS[split], 32)
        self.head_masks, self.face_masks = (
            self.mask_batch(part, range(len(self))) for part in ("head", "face")
        )
        self.blur_masks = self.head_masks if name == "SB1SD" else self.face_masks
        self.lengths, self.angles = np.full((2, len(self)), 4.0)

    def mask_batch(self, part, indices):
        masks = np.zeros((len(indices), self.size, self.size), bool)
        half = slice(self.size // 2)
        masks[(slice(None), slice(None), half) if part == "head" else (slice(None), half)] = True
        return masks


@pytest.fixture
def study(monkeypatch, tmp_path):
    """A tiny profile, its paths, and fake data."""
    monkeypatch.setattr(face_pairs, "open_pairs", lambda paths, name, split: MaskedPairs(name, split))
    independent = {name: lambda: MaskedPairs("SFB1", "test") for name in (blur_comparison.INDEPENDENT, SHARP)}
    monkeypatch.setattr(harder_sets, "sets", lambda *how: independent)
    return load_profile("smoke", TINY), run_paths("smoke", tmp_path)


@pytest.mark.parametrize("name", ["shake", "line_head", "frames", "all"])
def test_pairs_of_a_kind_are_drawn_by_seed_epoch_and_image(name, study):
    profile, paths = study
    pairs, rows = mixed.KindPairs(paths, profile, name, "train"), np.arange(12)
    blurred, sharp = pairs.draw(rows, seed=1, epoch=1)
    again, _ = pairs.draw(rows[::-1], seed=1, epoch=1)
    other, same_sharp = pairs.draw(rows, seed=1, epoch=2)
    assert np.array_equal(blurred, again[::-1]) and not np.array_equal(blurred, other)
    assert np.array_equal(sharp, same_sharp) and not np.array_equal(blurred, sharp)
    held = mixed.KindPairs(paths, profile, name, "test")
    assert np.array_equal(held.batch(range(6))[0], held.batch(range(6))[0]) and len(held) == 6


def test_a_pair_has_the_blur_of_its_kind_where_it_belongs(study):
    profile, paths = study
    pairs = {name: mixed.KindPairs(paths, profile, name, "train") for name in ("line", "line_face", "frames")}
    drawn = {name: each.draw(range(12), 5, 2) for name, each in pairs.items()}
    blurred, sharp = drawn["line"]
    random = generator_for(5, "kind line", f"2/{pairs['line'].image_ids[3]}")
    random.choice(["line"])
    np.testing.assert_array_equal(blurred[3], BLURS["line"](random, 32, profile).apply(sharp[3]))
    below = np.abs(drawn["line_face"][0].astype(int) - sharp)[:, 16:]
    assert below.max() == 0 and pairs["line_face"].blur_masks[0, :16].all()
    right = np.abs(drawn["frames"][0].astype(int) - sharp)[:, :, 16:].mean(axis=(0, 1, 3))
    assert right[-1] == 0 < right[0]  # a matte reaches over the edge, not to the border
    assert pairs["line"].blur_masks.all() and not pairs["frames"].blur_masks.all()


def test_a_mixture_of_another_kind_draws_that_kind(study):
    profile, paths = study
    shaken = dataclasses.replace(profile, blur_kind="shake")
    assert type(mixed.training_pairs(paths, "MIX", profile)) is mixed.MixedPairs
    pairs = mixed.training_pairs(paths, "MIX", shaken)
    blurred, sharp = pairs.draw(range(12), 1, 1)
    again, _ = pairs.draw(range(11, -1, -1), 1, 1)
    assert np.array_equal(blurred, again[::-1]) and (blurred != sharp).any()
    run = experiments.named_run(profile, "NMIX")
    assert "blurs" not in identity.identity_of(run, profile, 1, {})
    assert list(identity.identity_of(run, shaken, 1, {})["blurs"])[-1] == "shake"


def test_a_run_depends_on_its_own_kind_alone(study):
    profile, _ = study
    runs = {
        name: experiments.named_run(profile, f"N{name}") for name in ("line", "line_light", "shake", "all")
    }
    code = {name: identity.code_of(run) for name, run in runs.items()}
    assert "shake" in code["shake"] and "shake" in code["all"] and "shake" not in code["line"]
    blurs = {name: identity.identity_of(run, profile, 1, {})["blurs"] for name, run in runs.items()}
    assert blurs["line_light"]["line_light"] == {"scale": 0.837, "gamma": 2.2}
    assert set(BLUR_KINDS) <= set(blurs["all"])
    longer = dataclasses.replace(profile, blur_length=(0.1, 0.2))
    (said,) = identity.changes(
        identity.identity_of(runs["line"], profile, 1, {}), identity.identity_of(runs["line"], longer, 1, {})
    )
    assert "blur_length" in said
    with pytest.raises(UsageError, match="Nwave"):
        experiments.named_run(profile, "Nwave")
    with pytest.raises(UsageError, match="kind_runs.*wave"):
        load_profile("smoke", {"kind_runs": ["wave"]})


def test_comparison_trains_each_seed_and_scores_everyone_on_everything(study):
    profile, paths = study
    with pytest.raises(StudyError, match="Nline"):
        blur_comparison.score_kinds(profile, paths)
    histories = blur_comparison.train_kinds(profile, paths)
    assert {name: sorted(set(each["seed"])) for name, each in histories.items()} == {
        name: [1, 2] for name in ("Nline", "Nframes", "Nline_face")
    }
    assert trained.run_facts(paths, "Nframes", 2)["blurs"]["frames"]["part"] == "head"
    scores = blur_comparison.score_kinds(profile, paths)
    gains = kind_results.seed_gains(scores)
    assert set(gains["test"]) == {"line", "frames", "line_face", blur_comparison.INDEPENDENT, SHARP}
    assert len(gains) == 3 * 2 * 5 and gains["gain"].notna().all()
    pairs = mixed.KindPairs(paths, profile, "frames", "test")
    blurred, sharp = pairs.batch(range(6))
    error = ((blurred.astype(float) - sharp) ** 2).mean(axis=(1, 2, 3))
    stored = scores.query("model == 'input' and dataset == 'frames' and metric == 'psnr'")["value"]
    np.testing.assert_allclose(stored, 10 * np.log10(255**2 / error), atol=1e-3)


def known_gains(tests=("line", "shake", "disc", "line_face", "frames_light_noise", "sharp")):
    """What a restorer gains: two for its own kind, one (shake) or zero else, less 1.5 where segmented."""
    rows = []
    for training in ("line", "shake", "line_face", "all"):
        for test in tests:
            for seed in (1, 2):
                own = 2.0 if test == training else 0.0
                value = own + (training == "shake") - 1.5 * (training == "line_face") + 0.1 * seed
                rows.append((training, test, seed, value))
    return pd.DataFrame(rows, columns=["training", "test", "seed", "gain"])


def test_matrix_has_mean_and_spread_over_seeds():
    gains = known_gains()
    assert kind_results.matrix(gains).at["line", "line"] == pytest.approx(2.15)
    table = kind_results.matrix_table(gains)
    assert table.at["line", "line"] == "+2.15 ± 0.07" and list(table)[0] == "unseen motion"
    assert table.at["line, face alone", "camera shake in 3-D"] == "−1.35 ± 0.07"
    one = kind_results.matrix_table(gains[gains["seed"] == 1])
    assert one.at["line", "line"] == "+2.10"  # no spread from one seed


def test_what_carries_is_measured_on_unseen_motion_alone():
    gains = known_gains()
    gains.loc[gains["test"] == "shake", "gain"] += 3  # an easier test, which the row of shakes leaves out
    far = kind_results.carried(gains).groupby("training")["gain"].mean()
    # Of three tests one is easier by three: 0.15 + 1. Own blur, disc, face alone and sharp don't count.
    assert far["line"] == pytest.approx(1.15) and far["shake"] == pytest.approx(2.15)
    assert far["line_face"] == pytest.approx(-0.35) and far["all"] == pytest.approx(1.15)
    assert list(kind_results.carried(gains)["training"].unique()) == ["line", "shake", "line_face", "all"]
    said = kind_results.sentences(known_gains())
    assert "*camera shake in 3-D*: +1.15 ± 0.07 dB" in said and "2 training seeds" in said
    assert "matters more than the kind" in said and "costs +1.50 ± 0.00 dB" in said
    gains = known_gains()
    gains.loc[gains["training"] == "line_face", "gain"] += 1.4
    assert "matters less than the kind" in kind_results.sentences(gains)


def test_learning_to_blur_is_judged_on_what_neither_saw():
    gains = known_gains(("line", "shake", "frames_light_noise"))
    more = [gains[gains["training"] == "all"].assign(training=name) for name in ("five", "learnt")]
    more[1].loc[more[1]["test"] == "shake", "gain"] += 0.4  # half of what counts; the line doesn't
    more[1].loc[more[1]["test"] == "line", "gain"] += 9
    said = kind_results.sentences(pd.concat([gains, *more]))
    assert "gains 0.20 dB more" in said and "(difference by seed +0.20 ± 0.00 dB)" in said
    assert "camera shake in 3-D, independent set" in said


def test_light_is_compared_where_cameras_are_and_elsewhere():
    gains = known_gains(("shake", "frames_light_noise"))
    light = gains[gains["training"] == "all"].assign(training="line_light")
    light.loc[light["test"] == "frames_light_noise", "gain"] += 1
    said = kind_results.sentences(pd.concat([gains, light]))
    assert "in light gains +1.15 ± 0.07 dB, on lines in stored values +0.15 ± 0.07 dB" in said
    assert "in stored values +0.15 ± 0.07 and +0.15 ± 0.07 dB" in said
    alone = pd.concat([gains, light])  # no other motion is tested on: the look of most profiles
    said = kind_results.sentences(alone[alone["test"] == "frames_light_noise"])
    assert "on lines in stored values +0.15 ± 0.07 dB." in said


def test_heat_map_and_plate_show_each_value_and_kind(tmp_path):
    figure = kind_results.heat_map(known_gains())
    axis = figure.axes[0]
    assert len(axis.texts) == 4 * 5 and "2.2" in {text.get_text() for text in axis.texts}
    assert "sharp" not in [label.get_text() for label in axis.get_xticklabels()]
    face = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    blurs = {name: kind(np.random.default_rng(1), 32) for name, kind in BLURS.items()}
    plate = kind_results.plate(face, blurs, {"head": face[..., 0] > 99})
    titles = [axis.get_title() for axis in plate.axes]
    for drawn in (figure, plate, kind_results.gallery([{"sharp": face, "noise": face}])):
        assert_ready(drawn, tmp_path)
    assert [title for title in titles if title] == ["sharp", *(kind.words for kind in BLURS.values())]


def test_figure_of_the_network_that_blurs(tmp_path):
    class Darken(torch.nn.Module):
        code = staticmethod(lambda blurred: blurred)
        kernels = staticmethod(lambda code: torch.ones(len(code), 5, 5))
        blur = staticmethod(lambda sharp, code: sharp / 2)

    both = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 6), dtype=np.uint8)
    true = (both[..., :3] / 2).round().astype(np.uint8)
    figure = kind_results.learnt_figure(both, true, Darken())
    said = [axis.get_xlabel() for axis in figure.axes if axis.get_xlabel()]
    assert len(said) == 2 and float(said[0].split()[0]) > 45  # what it makes is what is true
    assert len(photographs(assert_ready(figure, tmp_path))) == 2 * 3  # equal ones are stored once


def test_strengths_are_of_the_blurred_faces():
    profile = load_profile("smoke")
    faces = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    each = kind_results.strengths(faces, ["a", "b", "c"], profile)
    blur = BLURS["disc"](generator_for(profile.seed, "strength disc", "b"), 32, profile)
    error = ((blur.apply(faces[1]).astype(float) - faces[1]) ** 2).mean()
    row = each.query("kind == 'disc' and image_id == 'b'").iloc[0]
    assert row["psnr"] == pytest.approx(10 * np.log10(255**2 / error))
    table = kind_results.strength_table(each)
    assert list(table.index) == list(BLURS) and table.at["disc", "length (px)"] == pytest.approx(
        each.query("kind == 'disc'")["length"].mean()
    )
