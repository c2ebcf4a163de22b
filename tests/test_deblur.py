"""`deblur` on photos as people have them: several faces, none, turned, grey, large, transparent, broken."""

import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import skimage
import torch
from torch import nn

import facedeblur_utils
from facedeblur_utils import downloads
from facedeblur_utils.blur import operators
from facedeblur_utils.blur.kernels import linear_motion_kernel
from facedeblur_utils.data import alignment, segmentation
from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.photo import deblur
from facedeblur_utils.photo.changes import Changes, Patch


class Brighter(nn.Module):
    """Stands in for a trained network: what it changes is known exactly."""

    def __init__(self, step=20):
        super().__init__()
        self.step = nn.Parameter(torch.tensor(step / 255))

    def forward(self, images):
        return images + self.step


@pytest.fixture(scope="module")
def faces():
    files = sorted(downloads.fetch("sample_faces").glob("*.jpg"))[:6]
    return [cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB) for file in files]


@pytest.fixture(scope="module")
def landmarker():
    with segmentation.open_landmarker() as opened:
        yield opened


def scene(height, width, *placed):
    """A grey photo with `placed`: (face, top, left, height in pixels)."""
    photo = np.full((height, width, 3), 110, np.uint8)
    for face, top, left, tall in placed:
        size = (round(tall * face.shape[1] / face.shape[0]), tall)
        photo[top : top + tall, left : left + size[0]] = cv2.resize(face, size, interpolation=cv2.INTER_CUBIC)
    return photo


def run(photo, landmarker, **options):
    return deblur.deblur_photo(photo, Brighter(), size=64, landmarker=landmarker, **options)


def test_identity_network_changes_nothing(faces, landmarker):
    photo = scene(400, 500, (faces[0], 60, 120, 300))
    done = deblur.deblur_photo(photo, nn.Sequential(Brighter(0)), size=64, landmarker=landmarker)
    assert np.array_equal(done.image, photo) and done.changed == 0 and not done.faces
    assert done.text.startswith("nothing to restore: ") and "restored" not in done.text


def test_faces_of_one_size_are_found_in_photos_of_any_size(faces, landmarker):
    """The size of the face decides, not its share of the photo; nor does the photo's shape."""
    for height, width in ((400, 620), (900, 1300), (330, 5000), (3000, 300)):
        along = [(10, x) for x in range(20, width - 140, max(140, width // 5))]
        down = [(y, 20) for y in range(20, height - 240, max(240, height // 5))]
        places = (along if width > height else down)[:4]
        # Not the third face, of which the detector's looks differ wherever it lies.
        kinds = (faces[0], faces[1], faces[3], faces[4])
        photo = scene(height, width, *((kinds[n], *place, 190) for n, place in enumerate(places)))
        found = alignment.find_faces(photo, landmarker)
        assert len(found) == len(places) >= 3, (height, width)


def test_faces_of_26_pixels_are_found_in_a_large_photo(faces, landmarker):
    rng = np.random.default_rng(0)
    photo = cv2.resize(rng.integers(80, 140, (60, 80, 3), dtype=np.uint8), (1600, 1200))
    tall = round(26 / 104 * 218)
    small = [
        cv2.resize(face, (round(tall * 178 / 218), tall), interpolation=cv2.INTER_AREA) for face in faces
    ]
    for number, face in enumerate(small):
        top, left = 100 + 500 * (number // 3), 150 + 500 * (number % 3)
        photo[top : top + face.shape[0], left : left + face.shape[1]] = face
    assert len(alignment.find_faces(photo, landmarker)) >= 5


def test_a_long_narrow_picture_ends_nothing(landmarker):
    """MediaPipe ends the process where a side has 32 767 pixels after enlarging."""
    for shape in ((3000, 20), (20, 3000), (1, 5000), (40000, 24)):
        grey = np.full((*shape, 3), 127, np.uint8)
        assert alignment.find_faces(grey, landmarker) == []
        assert landmarker.faces(grey) == []


class Restoring(nn.Module):
    """Knows the sharp photo's crops by place: returns the sharp crop that is nearest to what it is given."""

    def __init__(self, sharp):
        super().__init__()
        self.sharp = nn.Parameter(torch.from_numpy(np.stack(sharp)).permute(0, 3, 1, 2).float() / 255)

    def forward(self, images):
        distance = ((images[:, None] - self.sharp[None]) ** 2).mean(dim=(2, 3, 4))
        return self.sharp[distance.argmin(dim=1)]


def psnr(one, other):
    return 10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2))


def test_overlapping_crops_share_their_pixels(faces, landmarker):
    """Two faces side by side: a sum of both changes would count twice where the crops overlap."""
    narrow = [face[:, 40:138] for face in faces[:2]]
    sharp = np.full((300, 360, 3), 110, np.uint8)
    for number, face in enumerate(narrow):
        sharp[40:258, 80 + 98 * number : 178 + 98 * number] = face
    kernel = np.zeros((15, 15), np.float32)
    kernel[7] = 1 / 15
    blurred = cv2.filter2D(sharp, -1, kernel)
    found = alignment.find_faces(blurred, landmarker)
    assert len(found) == 2
    crops, covered = [], np.zeros(sharp.shape[:2], int)
    for face in found:
        to_crop = face.to_crop * 128
        to_crop[:, 2] -= 0.5
        crops.append(alignment.cut(sharp, deblur._to_pixels(face, 160, 1.25), 160))  # with room around it
        back = cv2.invertAffineTransform(to_crop)
        covered += cv2.warpAffine(np.ones((128, 128), np.uint8), back, sharp.shape[1::-1])
    done = deblur.deblur_photo(blurred, Restoring(crops), size=128, landmarker=landmarker)
    both = covered == 2
    assert both.mean() > 0.05 and len(done.faces) == 2
    seen = alignment.search(blurred, landmarker)
    changes, _ = deblur._in_faces(
        blurred, seen, deblur.Steps(Restoring(crops), "restorer", 0.0, 128), landmarker
    )
    summed = blurred.astype(np.float32)
    for patch in changes.patches:
        for rows, columns, change in Changes([patch]).parts(*blurred.shape[:2]):
            summed[rows, columns] += change
    shared, doubled = psnr(done.image[both], sharp[both]), psnr(np.clip(summed, 0, 255)[both], sharp[both])
    print(f"overlap: blurred {psnr(blurred[both], sharp[both]):.1f}, sum {doubled:.1f}, mean {shared:.1f} dB")
    assert shared > psnr(blurred[both], sharp[both]) + 3 and shared > doubled + 0.5


def test_weights_add_up_to_at_most_one():
    square = np.array([[0.5, 0, -20.0], [0, 0.5, -10.0]])
    one = Patch(np.full((64, 64, 3), 30, np.float32), deblur._soft_square(64), square)
    other = Patch(np.full((64, 64, 3), 30, np.float32), deblur._soft_square(64), square - [0, 0, 8])
    picture = np.zeros((200, 3000), np.float32)
    for rows, columns, change in Changes([one, other]).parts(*picture.shape):
        picture[rows, columns] += change[..., 0]
    assert 29 < picture.max() <= 30.5
    (alone,) = Changes([one]).parts(200, 300)
    assert alone[2].max() == pytest.approx(30, abs=0.3)


def test_what_is_no_face_is_left_and_said(faces, landmarker, monkeypatch):
    """A part of a face, and a place that a second look doesn't confirm, are not restored."""
    photo = scene(400, 700, (faces[0], 40, 60, 320))
    (true,) = landmarker.faces(photo)
    ear = (true - true.mean(axis=0)) * 0.3 + true.mean(axis=0)
    chest = (true - true.mean(axis=0)) * 0.6 + [520, 200]
    monkeypatch.setattr(alignment, "_candidates", lambda image, landmarker: [true, ear, chest])
    done = run(photo, landmarker)
    assert len(done.faces) == 1 and "1 face restored" in done.text
    assert [why for _, why in done.left] == ["not a face at a second look", "a part of another face"]
    assert "not a face at a second look" in done.text
    assert not (done.image.astype(int) - photo)[:, 400:].any()


def test_things_that_the_detector_takes_for_faces_are_left(landmarker):
    """Pictures of scikit-image in which MediaPipe sees faces: pebbles, a clock, a cat, a colour wheel."""
    taken = 0
    for name, scale in (("gravel", 2), ("clock", 2), ("cat", 1), ("colorwheel", 2), ("coffee", 2)):
        image = getattr(skimage.data, name)()
        image = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., :3]
        image = cv2.resize(image, None, fx=scale, fy=scale)
        seen = alignment.search(image, landmarker)
        assert seen.faces == [], name
        taken += len(seen.left)
    assert taken >= 4  # so that there was something to be left


@pytest.mark.parametrize("length", [0.0, 0.03])
def test_a_slight_blur_is_not_made_worse(landmarker, length):
    gains = []
    for file in sorted(downloads.fetch("sample_faces").glob("*.jpg"))[7:700:60]:
        sharp = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
        kernel = linear_motion_kernel(max(1.0, length * 178), float(int(file.stem) % 180))
        blurred = operators.convolve(sharp, kernel) if length else sharp
        done = deblur.deblur_photo(blurred, landmarker=landmarker)
        same = np.array_equal(done.image, blurred)
        gains.append(0.0 if same else psnr(done.image, sharp) - psnr(blurred, sharp) if length else -1.0)
    assert min(gains) >= -0.1 and np.mean(gains) >= 0


def test_face_changes_and_the_rest_stays_bit_identical(faces, landmarker):
    photo = scene(500, 700, (faces[0] // 2, 100, 300, 300))  # dim enough for a brighter result
    before = photo.copy()
    done = run(photo, landmarker)
    change = done.image.astype(int) - photo
    mask = segmentation.face_mask(photo, landmarker)
    assert np.array_equal(photo, before), "the photo given must not be written into"
    assert abs(np.median(change[mask]) - 20) <= 1  # the network's own change, at full strength
    assert not change[:, :200].any() and not change[430:].any()
    assert done.image.shape == photo.shape and done.image.dtype == np.uint8
    assert "1 face restored" in done.text and "the rest is unchanged" in done.text
    assert done.changed == (change != 0).any(axis=2).sum() > 0
    # A soft edge: neighbouring pixels never differ by more than a small part of the step.
    assert np.abs(np.diff(change[..., 0][:, 200:600], axis=1))[150:350].max() <= 4


def test_several_faces_large_and_small(faces, landmarker):
    photo = scene(900, 1400, (faces[0], 60, 40, 800), (faces[1], 300, 750, 230), (faces[4], 500, 1100, 160))
    done = run(photo, landmarker)
    assert len(done.faces) == 3 and "3 faces restored" in done.text
    sides = [face.side for face in done.faces]
    assert sides == sorted(sides, reverse=True)
    centres = [face.centre for face in done.faces]
    for (x, y), wanted in zip(centres, [(366, 460), (844, 415), (1165, 580)], strict=True):
        assert abs(x - wanted[0]) < 45 and abs(y - wanted[1]) < 45


def test_alignment_puts_the_eyes_where_celeba_has_them(faces, landmarker):
    photo = scene(600, 600, (faces[0], 100, 150, 327))
    turn = cv2.getRotationMatrix2D((300, 300), 25, 1.0)
    turned = cv2.warpAffine(photo, turn, (600, 600), borderValue=(110, 110, 110))
    for image in (photo, turned):
        (face,) = alignment.find_faces(image, landmarker)
        eyes = face.to_crop @ np.vstack([face.landmarks[[468, 473]].T, [1, 1]])
        assert np.abs(eyes.T * 178 - [[69.5, 91.5], [109.5, 91.5]]).max() < 6
        assert face.side == pytest.approx(178 * 327 / 218, rel=0.12)


def test_without_a_face_the_whole_picture_is_restored_and_the_text_says_so(landmarker):
    photo = np.random.default_rng(0).integers(0, 230, (90, 120, 3), dtype=np.uint8)
    done, asked = run(photo, landmarker), run(photo, landmarker, everywhere=True)
    assert done.text == "no face found; the whole picture was restored (100 % of its pixels changed)"
    assert asked.text == "the whole picture was restored (100 % of its pixels changed)"
    for one in (done, asked):
        assert np.abs(one.image.astype(int) - (photo.astype(int) + 20)).max() <= 1 and not one.faces


def test_a_sharp_picture_without_a_face_stays_as_it_is(landmarker):
    photo = np.ascontiguousarray(skimage.data.coffee()[100:300, 100:400])
    done = deblur.deblur_photo(photo, landmarker=landmarker)
    assert np.array_equal(done.image, photo) and done.changed == 0
    why = "no face found, and the picture is sharp enough for the network"
    assert done.text == f"nothing to restore: {why}"


class Scale(nn.Module):
    """Changes pictures of one size by more than others; keeps the sizes that it was given."""

    def __init__(self, best):
        super().__init__()
        self.best, self.seen, self.one = best, [], nn.Parameter(torch.ones(1))

    def forward(self, images):
        self.seen.append(max(images.shape[2:]))
        return images + self.one * (0.1 if self.seen[-1] == self.best else 0.02)


@pytest.mark.parametrize("best", [128, 362])
def test_a_whole_picture_is_restored_at_the_size_that_changes_most(landmarker, best):
    network, photo = Scale(best), np.full((300, 400, 3), 100, np.uint8)
    done = deblur.deblur_photo(photo, network, landmarker=landmarker, everywhere=True)
    assert network.seen == [128, 181, 256, 362, 400]
    assert np.abs(done.image.astype(int) - photo - 25.5).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (40, 2000)])
def test_tiny_and_narrow_pictures_are_restored_as_a_whole(size, landmarker):
    for everywhere in (False, True):
        done = run(np.zeros((*size, 3), np.uint8), landmarker, everywhere=everywhere)
        assert done.image.shape == (*size, 3) and (done.image == 20).all()
        assert done.text.startswith("no face found; ") != everywhere


def test_wrong_arrays_and_too_large(landmarker):
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), None):
        with pytest.raises(UsageError, match="uint8 RGB"):
            deblur.deblur_photo(wrong, Brighter(), size=64, landmarker=landmarker)
    for wrong in (np.zeros((0, 0, 3), np.uint8), np.zeros((0, 9, 3), np.uint8)):
        with pytest.raises(UsageError, match="uint8 RGB"):
            facedeblur_utils.deblur(wrong, Brighter())
    for size in (-5, 0, 15, 2000, 64.0, True):
        with pytest.raises(UsageError, match="size must be a whole number of 16 to 1024"):
            deblur.deblur_photo(np.zeros((9, 9, 3), np.uint8), Brighter(), size=size)
    huge = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (15000, 15000, 3))
    with pytest.raises(StudyError, match="more than 210 million"):
        run(huge, landmarker)


def test_photo_of_4000_pixels(faces, landmarker):
    photo = scene(3000, 4000, (faces[0], 900, 1200, 1300), (faces[1], 1500, 3000, 500))
    start = time.monotonic()
    done = run(photo, landmarker)
    assert len(done.faces) == 2 and time.monotonic() - start < 30
    assert np.array_equal(done.image[:700], photo[:700])


def test_wrong_weights_are_one_line(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(StudyError, match="does not hold weights of the restorer") as error:
        deblur.deblur(np.zeros((8, 8, 3), np.uint8), tmp_path / "weights.safetensors")
    assert "\n" not in str(error.value)


def test_package_is_light_and_offers_deblur(faces, monkeypatch):
    monkeypatch.setattr(deblur.published, "facts", lambda: {"image_size": 64})
    assert facedeblur_utils.deblur(faces[0], Brighter()).shape == faces[0].shape
    code = "import sys, facedeblur_utils; print('torch' in sys.modules, callable(facedeblur_utils.deblur))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"], done.stderr
