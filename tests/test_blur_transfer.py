"""The network that blurs: its code and kernels, its pairs, and restorers trained on what it makes."""

import numpy as np
import pytest
import torch
from test_blur_comparison import MaskedPairs

from facedeblur_utils.blur.kernels import generator_for
from facedeblur_utils.blur.kinds import BLURS
from facedeblur_utils.data import face_pairs
from facedeblur_utils.errors import StudyError
from facedeblur_utils.models.blur_transfer import CODE, SIDE, BlurTransfer
from facedeblur_utils.paths import run_paths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.training import experiments, identity, loops, mixed, trained

TINY = {"precision": "fp32", "restorer_width": 4, "kind_runs": ["line", "learnt"], "kind_epochs": 2}


@pytest.fixture
def study(monkeypatch, tmp_path):
    monkeypatch.setattr(face_pairs, "open_pairs", lambda paths, name, split: MaskedPairs(name, split))
    return load_profile("smoke", TINY), run_paths("smoke", tmp_path)


def network():
    torch.manual_seed(0)
    return BlurTransfer(4).eval()


def test_a_code_stands_for_a_kernel_whatever_the_sharp_face():
    net = network()
    sharp, blurred = torch.rand(2, 2, 3, 32, 40)
    code = net.code(blurred)
    kernels = net.kernels(code)
    assert code.shape == (2, CODE) and kernels.shape == (2, SIDE, SIDE)
    assert (kernels >= 0).all()
    torch.testing.assert_close(kernels.sum(dim=(1, 2)), torch.ones(2))
    out = net(torch.cat([sharp, blurred], dim=1))
    torch.testing.assert_close(out, net.blur(sharp, code))
    assert out.shape == sharp.shape and not torch.allclose(net.code(sharp), code)


def test_it_convolves_each_face_with_its_own_kernel():
    """Against a sum over shifted pictures; the correction is off in an untrained network."""
    net = network()
    sharp, code = torch.rand(2, 3, 40, 40), torch.randn(2, CODE)
    kernels, reach = net.kernels(code), SIDE // 2
    wide = torch.nn.functional.pad(sharp, 4 * (reach,), mode="reflect")
    expected = torch.zeros_like(sharp)
    for row in range(SIDE):
        for column in range(SIDE):
            weight = kernels[:, row, column].view(-1, 1, 1, 1)
            expected += weight * wide[..., row : row + 40, column : column + 40]
    torch.testing.assert_close(net.blur(sharp, code), expected, atol=1e-5, rtol=1e-4)


def test_both_faces_of_a_pair_have_one_blur(study):
    profile, paths = study
    pairs = mixed.TransferPairs(paths, profile, experiments.TRANSFER, "train")
    both, target = pairs.draw(range(12), seed=1, epoch=1)
    again, _ = pairs.draw(range(11, -1, -1), seed=1, epoch=1)
    assert both.shape == (12, 32, 32, 6) and np.array_equal(both, again[::-1])
    faces = pairs._faces["head"].sharp
    np.testing.assert_array_equal(both[..., :3], faces)
    random = generator_for(1, "kind transfer", f"1/{pairs.image_ids[3]}")
    other = (3 + random.integers(1, 12)) % 12
    blur = BLURS[str(random.choice(experiments.LEARNT_FROM))](random, 32, profile)
    assert other != 3
    np.testing.assert_array_equal(both[3, ..., 3:], blur.apply(faces[other]))
    np.testing.assert_array_equal(target[3], blur.apply(faces[3]))


def test_a_restorer_learns_from_its_pictures(study):
    profile, paths = study
    run = experiments.named_run(profile, "Nlearnt")
    with pytest.raises(StudyError, match="network that blurs"):
        loops.train(run, profile, paths)
    blurrer = experiments.named_run(profile, "Btransfer")
    history = loops.train(blurrer, profile, paths)
    assert (
        history["epoch"].tolist() == [1, 2, 3, 4, 5, 6] and history["loss"].iloc[-1] < history["loss"].iloc[0]
    )
    assert isinstance(trained.load_network(paths, "Btransfer"), BlurTransfer)
    facts = trained.run_facts(paths, "Btransfer")
    pairs = mixed.TransferPairs(paths, profile, experiments.TRANSFER, "val")
    both, target = pairs.batch(range(4))
    error = ((both[..., :3].astype(float) - target) ** 2).mean(axis=(1, 2, 3))
    before = (10 * np.log10(255**2 / error)).mean()  # the sharp face, which it has to beat
    assert facts["validation_input"]["psnr"] == pytest.approx(before, abs=1e-3)

    learnt = mixed.training_pairs(paths, "learnt", profile)
    blurred, sharp = learnt.draw(range(12), 1, 1)
    again, _ = learnt.draw(range(11, -1, -1), 1, 1)
    assert blurred.dtype == np.uint8 and (blurred != sharp).any()
    assert np.abs(blurred.astype(int) - again[::-1]).max() <= 1  # sums of another order
    loops.train(run, profile, paths)
    known = identity.datasets_of(run, paths)["learnt"]
    weights = paths.training("Btransfer").weights("last")
    weights.write_bytes(weights.read_bytes() + b" ")
    assert identity.datasets_of(run, paths)["learnt"] != known
