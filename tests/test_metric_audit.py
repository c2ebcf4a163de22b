"""The audit's conventions: closed forms where there are any, and BasicSR-like 3-D SSIM on its limits."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.evaluation import metric_audit
from facedeblur_utils.reporting import thesis_results


def scene(seed=0, noise=0.05):
    rng = np.random.default_rng(seed)
    coarse = rng.random((3, 5, 5, 3)).repeat(8, axis=1).repeat(8, axis=2)
    target = np.uint8(255 * coarse)
    return np.clip(target / 255 + noise * rng.standard_normal(target.shape), 0, 1), target


@pytest.fixture(scope="module")
def table():
    output, target = scene()
    worse, _ = scene(noise=0.1)
    outputs = {f"A{d}": output for d in DATASETS} | {f"G{d}": worse for d in DATASETS}
    return metric_audit.audit(outputs, {d: target for d in DATASETS})


def test_shifts_with_a_closed_form(table):
    shift = table["shift of autoencoders"]
    assert shift["PSNR, data in [-1, 1] with peak 1"] == pytest.approx(-20 * np.log10(2), abs=1e-3)
    values = table["autoencoders"]
    limited = values["PSNR, luma in limited range"] - values["PSNR, luma only"]
    assert limited == pytest.approx(20 * np.log10(255 / 219), abs=1e-6)
    assert abs(shift["PSNR, output not rounded to 8 bits"]) < 0.02
    assert shift[f"SSIM, {metric_audit.STUDY}"] == 0


def test_every_convention_scores_less_noise_better(table):
    assert (table["autoencoders - GANs"] > 0).all()
    assert len(table) == len(metric_audit.CONVENTIONS)
    assert table["autoencoders"].round(3).nunique() > 8  # conventions do differ


def test_3d_ssim():
    output, target = scene()
    assert metric_audit.ssim_3d(target[0] / 255, target[0] / 255) == pytest.approx(1)
    assert 0 < metric_audit.ssim_3d(output[0], target[0] / 255) < 1
    # the same in all colours: the window over them changes nothing, so it is SSIM of one channel
    grey_x, grey_y = (np.repeat(a[0][..., :1], 3, axis=2) for a in (output, target / 255))
    options = {"gaussian_weights": True, "use_sample_covariance": False, "data_range": 1.0, "full": True}
    windows = structural_similarity(grey_x[..., 0], grey_y[..., 0], **options)[1]
    assert metric_audit.ssim_3d(grey_x, grey_y) == pytest.approx(windows.mean(), abs=0.005)


def test_thesis_numbers_repeat_where_its_tables_repeat_them():
    for name, pair in (("TABLE_5_1", ("SFB1", "SB1SD")), ("TABLE_5_2", ("SFB2", "SB2SM"))):
        for network, letter in (("Autoencoder", "A"), ("GAN", "G")):
            for side, dataset in enumerate(pair):
                printed = getattr(thesis_results, name)[network][2 * side : 2 * side + 2]
                column = 2 * list(DATASETS).index(dataset)
                again = thesis_results.TABLE_5_4[letter + dataset][column : column + 2]
                assert printed == pytest.approx(again, abs=2e-3), (name, network, dataset)
    assert thesis_results.TABLE_5_5["GSFB2_50"] == thesis_results.TABLE_5_4["GSFB2"]
