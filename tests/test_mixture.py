"""Blur as cameras make it: the shares of what is drawn, and that the picture is what `Taken` says."""

from collections import Counter

import numpy as np
import pytest
from scipy import ndimage

from facedeblur_utils.blur import mixture
from facedeblur_utils.blur.kernels import arc_motion_kernel, generator_for, linear_motion_kernel
from facedeblur_utils.blur.mixture import KINDS, camera_picture
from facedeblur_utils.blur.operators import LIGHT

SIZE = 40


@pytest.fixture(scope="module")
def sharp():
    wide = ndimage.gaussian_filter(np.random.default_rng(2).standard_normal((SIZE, SIZE, 3)), (1, 1, 0))
    return np.rint(255 * (0.5 + 0.4 * wide / np.abs(wide).max())).astype(np.uint8)


@pytest.fixture(scope="module")
def masks():
    """A head, and a face in it."""
    head, face = np.zeros((2, SIZE, SIZE), bool)
    head[8:30, 10:28], face[14:26, 14:24] = True, True
    return {"head": head, "face": face}


def draws(sharp, masks, count, composite="paste"):
    for number in range(count):
        yield camera_picture(generator_for(1, "camera", str(number)), sharp, masks, composite)


@pytest.fixture
def clean(monkeypatch):
    """Neither noise nor JPEG; how often each would have been, in a Counter."""
    calls = Counter()

    def left_out(name):
        def same(picture, *_):
            calls[name] += 1
            return picture

        return same

    monkeypatch.setattr(mixture.operators, "add_noise", left_out("noise"))
    monkeypatch.setattr(mixture.operators, "jpeg", left_out("jpeg"))
    return calls


def test_a_picture_depends_on_its_generator_alone(sharp, masks):
    forth = [picture for picture, _ in draws(sharp, masks, 12)]
    back = [
        camera_picture(generator_for(1, "camera", str(number)), sharp, masks, "paste")[0]
        for number in range(11, -1, -1)
    ]
    assert all(np.array_equal(one, other) for one, other in zip(forth, back[::-1], strict=True))
    assert not any(np.array_equal(one, other) for one, other in zip(forth[1:], forth, strict=False))


def test_kinds_come_as_often_as_they_should(sharp, masks, clean):
    taken = [how for _, how in draws(sharp, masks, 900)]
    moved = [how for how in taken if how]
    found = Counter(how.moving if how else "sharp" for how in taken)
    for kind, share in KINDS.items():
        assert found[kind] / len(taken) == pytest.approx(share, abs=0.05), kind
    assert sum(KINDS.values()) == pytest.approx(1)

    def share_of(wanted):
        return np.mean([wanted(how) for how in moved])

    assert share_of(lambda how: how.turn == 0) == pytest.approx(0.6, abs=0.05)
    assert share_of(lambda how: how.turn is None) == pytest.approx(0.2, abs=0.05)
    assert share_of(lambda how: how.gamma == LIGHT) == pytest.approx(0.5, abs=0.05)
    assert {how.gamma for how in moved} == {1.0, LIGHT}
    assert clean["noise"] / len(moved) == pytest.approx(0.6, abs=0.05)
    assert clean["jpeg"] / len(moved) == pytest.approx(0.4, abs=0.05)
    lengths, angles = [how.length / SIZE for how in moved], [how.angle for how in moved]
    assert 0.02 <= min(lengths) < 0.025 and 0.175 < max(lengths) <= 0.18
    assert 0 <= min(angles) < 3 and 177 < max(angles) < 180
    turns = [how.turn for how in moved if how.turn]
    assert -90 <= min(turns) < -75 and 75 < max(turns) <= 90


def test_what_stays_sharp_is_a_copy(sharp, masks):
    still = [picture for picture, how in draws(sharp, masks, 40) if how is None]
    assert still and all(np.array_equal(picture, sharp) for picture in still)
    assert not any(np.shares_memory(picture, sharp) for picture in still)


def test_the_whole_picture_is_blurred_as_said(sharp, masks, clean):
    seen = Counter()
    for picture, how in draws(sharp, masks, 100):
        if how is None or how.moving != "whole" or how.turn is None:
            continue
        arc = arc_motion_kernel(how.length, how.angle, how.turn)
        kernel = arc if how.turn else linear_motion_kernel(how.length, how.angle)
        light = (sharp / 255.0) ** how.gamma
        blurred = ndimage.convolve(light, kernel[..., None].astype(float), mode="reflect")
        assert np.abs(picture - 255 * blurred ** (1 / how.gamma)).max() <= 0.51, how
        seen[bool(how.turn), how.gamma] += 1
    assert len(seen) == 4  # lines and arcs, in light and in stored values


@pytest.mark.parametrize("composite", ["paste", "matte"])
def test_nothing_changes_outside_of_what_moves(composite, sharp, masks, clean):
    seen = Counter()
    for picture, how in draws(sharp, masks, 60, composite):
        if how is None or how.moving == "whole":
            continue
        mask = masks[how.moving]
        if composite == "matte":
            # No point of a path lies further from its middle than the path is long; a pixel more shares it.
            reach = how.length + 1
            mask = ndimage.distance_transform_edt(~mask) <= reach * np.sqrt(2)
        np.testing.assert_array_equal(picture[~mask], sharp[~mask])
        assert (picture[masks[how.moving]] != sharp[masks[how.moving]]).mean() > 0.05
        seen[how.moving] += 1
    assert min(seen["head"], seen["face"]) > 5


def test_noise_and_jpeg_change_the_whole_picture(sharp, masks):
    outside = ~masks["head"]
    changed = [
        (picture[outside] != sharp[outside]).any()
        for picture, how in draws(sharp, masks, 150)
        if how and how.moving in masks
    ]
    # 1 - 0.4 * 0.6 of them get noise, JPEG, or both.
    assert np.mean(changed) == pytest.approx(0.76, abs=0.12)
