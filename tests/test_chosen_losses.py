"""Losses put together by name: each term by itself, in training, in a profile, and in a run's identity."""

import dataclasses

import numpy as np
import pytest
import torch
from fake_pairs import FakePairs, use_fakes, use_small_vgg
from torch import nn

from facedeblur_utils import downloads
from facedeblur_utils.blur.kernels import linear_motion_kernel
from facedeblur_utils.data import face_pairs
from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.metrics import further_losses
from facedeblur_utils.metrics.recognition import face_squares
from facedeblur_utils.models.landmark_heatmaps import PARTS, POINTS, load_heatmaps
from facedeblur_utils.models.thesis import Discriminator
from facedeblur_utils.paths import run_paths
from facedeblur_utils.profiles import LOSS_TERMS, load_profile
from facedeblur_utils.training import checkpoints, experiments, identity, loops, losses

SMALL = {"autoencoder_width": 4, "gan_width": 4, "restorer_width": 4, "precision": "fp32"}


def faces(count: int = 2, size: int = 64) -> torch.Tensor:
    """Sample faces (B, 3, size, size) in [0, 1]; skips where they can't be had."""
    import cv2

    try:
        files = sorted(downloads.fetch("sample_faces").glob("*.jpg"))[:count]
        downloads.fetch("face_embedding")
    except StudyError as reason:
        pytest.skip(str(reason))
    images = [cv2.resize(cv2.imread(str(file))[20:198, :, ::-1], (size, size)) for file in files]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255


def look(sharp: torch.Tensor, output: torch.Tensor, kernel: np.ndarray) -> losses.Look:
    """A step on `sharp` faces that `kernel` blurred, with what any term may ask for."""
    torch.manual_seed(0)
    kernels = torch.from_numpy(np.stack([kernel] * len(sharp)))
    blurred = further_losses.blur_with_kernels(sharp, kernels)
    features = nn.Conv2d(3, 4, 5)
    return losses.Look(
        output,
        sharp,
        blurred,
        vgg=features,
        judge=Discriminator(4),
        net=nn.Conv2d(3, 3, 1),
        kernels=lambda: kernels,
        random=np.random.default_rng(3),
    )


def test_the_profile_knows_the_terms_that_there_are():
    assert set(LOSS_TERMS) == set(losses.TERMS)
    assert all(term.__name__ == f"{name}_term" for name, term in losses.TERMS.items())


@pytest.mark.parametrize("name", LOSS_TERMS)
def test_each_term_has_a_gradient_and_one_value(name):
    sharp, kernel = faces(), linear_motion_kernel(9, 0)
    output = (0.9 * sharp + 0.02).requires_grad_(True)
    step = look(sharp, output, kernel)
    if name == "optical_flow":  # asks the network for the next frame
        step.net = lambda x: x * 0.8
    value = losses.TERMS[name](step)
    assert value.shape == () and value.dtype == torch.float32 and value > 0
    value.backward()
    assert output.grad.isfinite().all() and output.grad.abs().sum() > 0


# What compares the output with the sharp face; the others judge it by something else.
COMPARES = [
    name for name in LOSS_TERMS if name not in ("adversarial", "relativistic", "optical_flow", "unsupervised")
]


@pytest.mark.parametrize("name", COMPARES)
def test_a_more_blurred_face_scores_worse_and_the_sharp_one_nothing(name):
    sharp = faces()
    values = []
    for length in (1, 5, 17):
        kernel = linear_motion_kernel(length, 20)
        step = look(sharp, sharp, kernel)
        step.output = step.blurred
        values.append(losses.TERMS[name](step).item())
    assert values[0] == pytest.approx(0, abs=1e-4) and values[0] < values[1] < values[2]


def test_the_unsupervised_term_prefers_the_sharp_face_to_the_blurred_one():
    sharp, kernel = faces(), linear_motion_kernel(9, 0)
    step = look(sharp, sharp, kernel)
    right = losses.unsupervised_term(step)
    step.output = step.blurred
    assert right < losses.unsupervised_term(step)


def test_frames_that_move_along_cost_less_than_frames_that_stay():
    sharp = faces()
    step = look(sharp, sharp, linear_motion_kernel(3, 0))
    step.blurred, step.net = sharp, lambda x: x
    along = losses.optical_flow_term(step)
    step.random = np.random.default_rng(3)
    step.net = lambda x: sharp
    assert along < losses.optical_flow_term(step)


@pytest.mark.parametrize("shift", [(0, 0), (2, -1), (-3, 2)])
def test_a_frame_is_moved_by_whole_pixels(shift):
    image = torch.rand(1, 3, 12, 12)
    moved = losses._moved(image, list(shift))
    down, right = shift
    assert moved.shape == image.shape
    inner = moved[..., 4:8, 4:8]
    assert torch.equal(inner, image[..., 4 - down : 8 - down, 4 - right : 8 - right])


def test_landmarks_are_found_where_mediapipe_finds_them():
    """Held out faces are scored in the weights' JSON; here, that loading and coordinates are right."""
    from facedeblur_utils.data import segmentation

    image = faces(1, 128)
    pixels = image[0].permute(1, 2, 0).mul(255).byte().numpy()
    true = segmentation.face_landmarks(pixels)[list(POINTS.values())]
    found = further_losses.heatmap_positions(load_heatmaps()(image), (128, 128))[0].numpy()
    eyes = np.linalg.norm(
        true[list(POINTS).index("left eye out")] - true[list(POINTS).index("right eye out")]
    )
    assert np.linalg.norm(found - true, axis=1).mean() < 0.06 * eyes
    assert {name for part in PARTS.values() for name in part} < set(POINTS)


def test_squares_of_many_faces_by_hand():
    square = face_squares(*(torch.tensor([place]) for place in ([40.0, 50], [80.0, 50], [60.0, 95])))
    side = np.hypot(20, 45) / 0.45
    assert square[0].tolist() == pytest.approx(
        [60 - side / 2, 65 - 0.43 * side, 60 + side / 2, 65 + 0.57 * side]
    )


# ------------------------------------------------------------------------------------------- training


def trained(tmp_path, run: str, chosen: dict) -> tuple:
    profile = load_profile("smoke", SMALL | chosen)
    paths = run_paths("smoke", tmp_path)
    runs = experiments.training_runs(profile) | experiments.restorer_runs(profile)
    return loops.train(runs[run], profile, paths), paths.training(run)


@pytest.mark.parametrize(("run", "key"), [("ASFB1", "autoencoder"), ("GSFB1", "gan"), ("NSFB1", "restorer")])
def test_every_network_trains_on_a_chosen_loss(run, key, tmp_path, monkeypatch):
    use_fakes(monkeypatch)
    use_small_vgg(monkeypatch)
    weights = {"l1": 1, "relativistic": 0.01, "landmark": 0.1, "perceptual": 0.001}
    history, folder = trained(tmp_path, run, {f"{key}_losses": weights})
    parts = sum(weight * history[name] for name, weight in weights.items())
    assert np.allclose(history["loss"], parts, rtol=1e-5) and history["d_loss"].gt(0).all()
    assert checkpoints.read_config(folder)["loss_weights"] == weights


def test_a_finished_run_is_found_again_and_another_loss_is_another_run(tmp_path, monkeypatch, capsys):
    use_fakes(monkeypatch)
    first, _ = trained(tmp_path, "NSFB1", {"restorer_losses": {"l1": 1, "relativistic": 0.01}})
    again, _ = trained(tmp_path, "NSFB1", {"restorer_losses": {"relativistic": 0.01, "l1": 1}})
    assert "already trained" in capsys.readouterr().out and first.equals(again)
    with pytest.raises(StudyError, match="another configuration: .*relativistic"):
        trained(tmp_path, "NSFB1", {"restorer_losses": {"l1": 1, "relativistic": 0.02}})


def test_the_networks_own_loss_by_name_has_its_values(tmp_path, monkeypatch):
    """The loop for chosen losses against the autoencoder's own, which it must not differ from."""
    use_fakes(monkeypatch)
    use_small_vgg(monkeypatch)
    own, _ = trained(tmp_path / "own", "ASFB1", {})
    chosen, _ = trained(tmp_path / "chosen", "ASFB1", {"autoencoder_losses": losses.WEIGHTS["autoencoder"]})
    for name in ("loss", "mse", "perceptual", "val_psnr"):
        assert np.allclose(own[name], chosen[name], rtol=1e-4), name


def test_crops_stay_where_no_term_needs_whole_faces(tmp_path, monkeypatch):
    use_fakes(monkeypatch)
    sides = []
    genuine = losses.l1_term
    monkeypatch.setitem(losses.TERMS, "l1", lambda look: sides.append(look.size) or genuine(look))
    crop = {"restorer_crop": 16, "restorer_epochs": 2}
    trained(tmp_path / "a", "NSFB1", crop | {"restorer_losses": {"l1": 1}})
    assert sides[0] == (16, 16) and sides[-1] == (32, 32)
    sides.clear()
    trained(tmp_path / "b", "NSFB1", crop | {"restorer_losses": {"l1": 1, "landmark": 0.1}})
    assert set(sides) == {(32, 32)}


class LinePairs(FakePairs):
    """Fakes that know their kernels, each of another length."""

    region = ""

    def kernel(self, index):
        return linear_motion_kernel(3 + index, 30)


def test_true_kernels_are_mirrored_with_their_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(face_pairs, "open_pairs", lambda paths, name, split: LinePairs(name, split, 6, 32))
    seen = []
    genuine = losses.unsupervised_term

    def watched(look):
        seen.append(look.kernels())
        return genuine(look)

    monkeypatch.setitem(losses.TERMS, "unsupervised", watched)
    trained(
        tmp_path, "NSFB1", {"restorer_losses": {"unsupervised": 1}, "batch_size": 6, "restorer_epochs": 8}
    )
    kernels = torch.cat(seen)
    assert torch.allclose(kernels.sum(dim=(1, 2)), torch.ones(len(kernels)))
    plain = torch.zeros(kernels.shape[1:])
    kernel = torch.from_numpy(linear_motion_kernel(8, 30))
    edge = (len(plain) - len(kernel)) // 2
    plain[edge : edge + len(kernel), edge : edge + len(kernel)] = kernel
    matches = [bool((kernels == k).all(dim=2).all(dim=1).any()) for k in (plain, plain.flip(1))]
    assert matches == [True, True]  # over some epochs once as it is and once mirrored


def test_a_dataset_without_kernels_is_refused_in_one_line(tmp_path, monkeypatch):
    use_fakes(monkeypatch)
    with pytest.raises(StudyError, match="'unsupervised' blurs again by the true kernel, which SFB1"):
        trained(tmp_path, "NSFB1", {"restorer_losses": {"unsupervised": 1}})


# ------------------------------------------------------------------------------------ profile, identity


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"l3": 1}, "knows mse, .*not 'l3'"),
        ({"l1": -1}, "weights of 0 or more"),
        ({"l1": 0}, "one above 0"),
        ({"l1": "much"}, "'restorer_losses: l1' must be of type float"),
        (["l1"], "must be of type mapping"),
    ],
)
def test_impossible_losses_are_refused(value, said):
    with pytest.raises(UsageError, match=said):
        load_profile("smoke", {"restorer_losses": value})


def test_a_runs_identity_has_the_code_of_its_own_terms_alone():
    run = experiments.restorer_runs(load_profile("smoke"))["NSFB1"]
    chosen = dataclasses.replace(run, losses=(("l1", 1.0), ("ssim", 0.1)))
    code = identity.code_of(chosen)
    assert {"named_loss_epoch", "l1_term", "ssim_term", "ssim"} <= set(code)
    assert not {"restorer_epoch", "landmark_term", "TERMS", "add_discriminator"} & set(code)
    assert "add_discriminator" in identity.code_of(dataclasses.replace(run, losses=(("relativistic", 1.0),)))
    assert "named_loss_epoch" not in identity.code_of(run)
