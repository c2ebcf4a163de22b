"""Masks: geometry against plain drawings, real faces, small and odd images, and the published weights."""

import json

import cv2
import numpy as np
import pytest
import torch

from facedeblur_utils import downloads, paths
from facedeblur_utils.data import head_segmenter, segmentation
from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.tools import train_head_segmenter


@pytest.fixture(autouse=True)
def own_head_segmenter(monkeypatch):
    monkeypatch.setenv("FACEDEBLUR_HEAD_SEGMENTER", "own")


@pytest.fixture(scope="module")
def faces():
    """The first sample faces, cropped to their central squares."""
    files = sorted(downloads.fetch("sample_faces").glob("*.jpg"))[:6]
    return [cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)[20:198] for file in files]


@pytest.fixture(scope="module")
def landmarker():
    with segmentation.open_landmarker() as opened:
        yield opened


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_oval_mask_of_a_circle_has_its_area_and_centre():
    turns = np.linspace(0, 2 * np.pi, len(segmentation.FACE_OVAL), endpoint=False)
    landmarks = np.zeros((478, 2), np.float32)
    circle = np.stack([30.3 + 12 * np.cos(turns), 25 + 12 * np.sin(turns)], axis=1)
    landmarks[list(segmentation.FACE_OVAL)] = circle
    mask = segmentation.oval_mask(landmarks, (50, 64))
    assert mask.shape == (50, 64) and mask.dtype == bool
    # fillPoly also fills the pixels that the outline crosses: half a pixel more all around.
    assert np.pi * 12**2 * 0.97 < mask.sum() < np.pi * 12.8**2
    rows, columns = np.nonzero(mask)
    assert abs(columns.mean() - 30.3) < 0.3 and abs(rows.mean() - 25) < 0.3
    assert segmentation.oval_area(landmarks) == pytest.approx(np.pi * 12**2, rel=0.02)


def test_oval_that_folds_over_itself_is_filled():
    """Seen from the side, the far half of the outline lies on top of the near one."""
    turns = np.linspace(0, 2 * np.pi, len(segmentation.FACE_OVAL), endpoint=False)
    across = np.where(np.cos(turns) > 0, -0.6 * np.cos(turns), np.cos(turns))  # right half folded to the left
    landmarks = np.zeros((478, 2), np.float32)
    landmarks[list(segmentation.FACE_OVAL)] = np.stack([30 + 12 * across, 25 + 12 * np.sin(turns)], axis=1)
    mask = segmentation.oval_mask(landmarks, (50, 64))
    assert mask.sum() > 0.48 * np.pi * 12**2  # the near half, filled
    assert mask[25, 20:30].all() and not mask[25, 34:].any()


def test_oval_is_mediapipes_own():
    from mediapipe.tasks.python.vision import FaceLandmarksConnections

    edges = {(edge.start, edge.end) for edge in FaceLandmarksConnections.FACE_LANDMARKS_FACE_OVAL}
    oval = segmentation.FACE_OVAL
    assert set(zip(oval, oval[1:] + oval[:1], strict=True)) == edges


def test_landmarks_lie_on_the_aligned_eyes(faces, landmarker):
    # CelebA is aligned: the eyes are near (69, 111) and (109, 111) of 178 x 218, 20 rows less in our crop.
    for face in faces[:2]:  # the third looks sideways
        landmarks = segmentation.face_landmarks(face, landmarker)
        assert landmarks.shape == (478, 2) and landmarks.dtype == np.float32
        irises = landmarks[[468, 473]]
        assert np.abs(irises - [[69, 91], [109, 91]]).max() < 8


def test_face_mask_moves_with_the_image(faces, landmarker):
    mask = segmentation.face_mask(faces[0], landmarker)
    assert 0.1 < mask.mean() < 0.6
    mirrored = segmentation.face_mask(np.ascontiguousarray(faces[0][:, ::-1]), landmarker)
    assert iou(mask, mirrored[:, ::-1]) > 0.88


@pytest.mark.parametrize("size", [32, 64, 500])
def test_face_mask_at_other_sizes_agrees(faces, landmarker, size):
    mask = segmentation.face_mask(faces[0], landmarker)
    resized = cv2.resize(faces[0], (size, size), interpolation=cv2.INTER_AREA)
    other = segmentation.face_mask(resized, landmarker)
    assert other.shape == (size, size)
    back = cv2.resize(other.astype(np.uint8), mask.shape[::-1], interpolation=cv2.INTER_NEAREST)
    assert iou(mask, back.astype(bool)) > 0.85


def test_no_face_gives_none(landmarker):
    noise = np.random.default_rng(0).integers(0, 256, (96, 80, 3), dtype=np.uint8)
    assert segmentation.face_mask(noise, landmarker) is None
    assert segmentation.face_landmarks(np.zeros((1, 1, 3), np.uint8), landmarker) is None


def test_largest_of_two_faces(faces, landmarker):
    canvas = np.full((260, 420, 3), 128, np.uint8)
    canvas[40:218, 10:188] = faces[0]
    canvas[5:255, 165:415] = cv2.resize(faces[1], (250, 250))
    found = landmarker.faces(canvas)
    assert len(found) == 2
    mask = segmentation.face_mask(canvas, landmarker)
    assert np.nonzero(mask)[1].mean() > 210


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        "face.jpg",
    ],
)
def test_not_an_rgb_image(image, landmarker):
    for mask in (lambda: segmentation.face_mask(image, landmarker), lambda: segmentation.head_mask(image)):
        with pytest.raises(UsageError, match="must be a uint8 RGB array"):
            mask()


def test_head_mask_covers_the_face_and_not_everything(faces, landmarker):
    for face in faces:
        head, oval = segmentation.head_mask(face), segmentation.face_mask(face, landmarker)
        assert head.shape == (178, 178) and head.dtype == bool
        assert (head & oval).sum() > 0.9 * oval.sum()
        assert oval.mean() < head.mean() < 0.95


def test_head_masks_of_a_batch_are_those_of_the_images(faces):
    batch = np.stack([cv2.resize(face, (64, 64), interpolation=cv2.INTER_AREA) for face in faces])
    together = segmentation.head_masks(batch, batch=4)
    alone = np.stack([segmentation.head_mask(image) for image in batch])
    assert together.shape == (6, 64, 64)
    assert (together == alone).mean() > 0.999
    assert segmentation.head_masks(batch[:0]).shape == (0, 64, 64)


def test_head_mask_of_any_shape(faces):
    wide = np.concatenate([faces[0], faces[1]], axis=1)[:, :301]
    assert segmentation.head_mask(wide).shape == (178, 301)
    assert segmentation.head_mask(np.zeros((1, 40, 3), np.uint8)).shape == (1, 40)


def test_published_weights_agree_with_the_teacher_on_held_out_faces():
    file = paths.WEIGHTS / "head_segmenter.safetensors"
    facts = json.loads(file.with_suffix(".json").read_text())
    assert file.stat().st_size < 8e6
    assert segmentation.head_segmenter_name() == segmentation.OWN_NAME
    generator = torch.Generator().manual_seed(facts["seed"])
    held_out, rest = train_head_segmenter.held_out_and_rest(999, 100, generator)
    assert not set(held_out.tolist()) & set(rest.tolist())
    files = sorted(downloads.fetch("sample_faces").glob("*.jpg"))
    images, confidence = train_head_segmenter.teacher_faces([files[i] for i in held_out[:12]])
    teacher, ours = confidence > 127, segmentation.head_masks(images)
    found = np.mean([iou(one, other) for one, other in zip(ours, teacher, strict=True)])
    assert found > 0.9


def test_broken_weights_are_one_line(tmp_path):
    file = tmp_path / "head_segmenter.safetensors"
    file.write_bytes(b"nothing")
    with pytest.raises(StudyError, match="cannot load head segmenter .*python -m") as error:
        head_segmenter.load_network(file)
    assert "\n" not in str(error.value)


def test_weights_survive_saving(tmp_path):
    network = head_segmenter.build_network().eval()
    train_head_segmenter.save(network, {"seed": 1}, tmp_path / "weights.safetensors")
    again = head_segmenter.load_network(tmp_path / "weights.safetensors")
    pixels = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(network(pixels)["out"], again(pixels)["out"], atol=2e-2)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["weights.json", "weights.safetensors"]


def test_augmentation_moves_image_and_mask_together():
    mask = torch.zeros(3, 1, 64, 64)
    mask[:, :, 20:40, 16:44] = 1
    generator = torch.Generator().manual_seed(1)
    pixels, moved = train_head_segmenter.augmented(mask.expand(-1, 3, -1, -1), mask, 64, generator)
    for image, target in zip(pixels, moved, strict=True):
        grey, target = image.mean(0).flatten(), target[0].flatten()
        assert torch.corrcoef(torch.stack([grey, target]))[0, 1] > 0.9
    assert not torch.equal(moved[0], moved[1])
