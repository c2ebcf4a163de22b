"""Training pairs with fresh blur every epoch, made while training: mixtures, and any kind of blur."""

from collections.abc import Iterator
from functools import cached_property

import cv2
import numpy as np
import torch

from facedeblur_utils.blur import operators
from facedeblur_utils.blur.camera import photograph
from facedeblur_utils.blur.kernels import draw_motion, generator_for, linear_motion_kernel
from facedeblur_utils.blur.kinds import BLURS
from facedeblur_utils.blur.mixture import KINDS, camera_picture
from facedeblur_utils.data import face_pairs
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.models import published
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.physics.examples import nearly_solved
from facedeblur_utils.profiles import Profile
from facedeblur_utils.training.batches import Batch, Batches, to_network
from facedeblur_utils.training.experiments import (
    CAMERA,
    KIND_PARTS,
    LEARNT,
    MIX,
    SOLVED,
    TRANSFER,
    blurrer_run,
    is_kind,
    kinds_in,
)
from facedeblur_utils.training.trained import load_network

SOLVED_DRAWS = 5  # of each face


class MixedPairs:
    """The sharp training faces and their masks, seen as a dataset whose blur is drawn anew each epoch.

    Has what the training engine asks of `face_pairs.FacePairs`: `name`, `split`, `image_ids`, `size`, `len`.
    """

    name, split = MIX, "train"

    def __init__(self, paths: RunPaths, profile: Profile):
        self._faces = {
            row.mask: face_pairs.open_pairs(paths, row.name, "train") for row in DATASETS.values() if row.mask
        }
        self._profile = profile
        self.image_ids, self.size = self._faces["head"].image_ids, self._faces["head"].size

    def __len__(self) -> int:
        return len(self.image_ids)

    def draw(self, indices, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, sharp), uint8 (B, H, W, 3); each drawn from (seed, epoch, id) alone."""
        sharp = self._faces["head"].batch(indices)[1]
        masks = {kind: pairs.mask_batch(kind, indices) for kind, pairs in self._faces.items()}
        blurred = sharp.copy()
        for row, index in enumerate(indices):
            key = f"{epoch}/{self.image_ids[index]}"
            kind = generator_for(seed, "mixed kind", key).choice(list(KINDS), p=list(KINDS.values()))
            if kind == "sharp":
                continue
            length, angle = draw_motion(seed, 0, key, self.size, self._profile.blur_length)
            kernel = linear_motion_kernel(length, angle)
            mask = np.ones((self.size, self.size), bool) if kind == "whole" else masks[kind][row]
            blurred[row] = operators.composite(sharp[row], kernel, mask, self._profile.composite)
        return blurred, sharp


class CameraPairs(MixedPairs):
    """As `MixedPairs`, blurred as cameras do: curved paths, light, noise and JPEG too (run NCAM)."""

    name = CAMERA

    def draw(self, indices, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, sharp), uint8 (B, H, W, 3); each drawn from (seed, epoch, id) alone."""
        sharp = self._faces["head"].batch(indices)[1]
        masks = {kind: pairs.mask_batch(kind, indices) for kind, pairs in self._faces.items()}
        blurred = np.empty_like(sharp)
        for row, index in enumerate(indices):
            random = generator_for(seed, "camera", f"{epoch}/{self.image_ids[index]}")
            here = {kind: mask[row] for kind, mask in masks.items()}
            blurred[row], _ = camera_picture(random, sharp[row], here, self._profile.composite)
        return blurred, sharp


class KindMixedPairs(MixedPairs):
    """As `MixedPairs`, with the profile's kind of blur in place of the line."""

    def draw(self, indices, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, sharp), uint8 (B, H, W, 3); each drawn from (seed, epoch, id) alone."""
        sharp = self._faces["head"].batch(indices)[1]
        masks = {kind: pairs.mask_batch(kind, indices) for kind, pairs in self._faces.items()}
        blurred = sharp.copy()
        for row, index in enumerate(indices):
            random = generator_for(seed, "mixed blur", f"{epoch}/{self.image_ids[index]}")
            moving = random.choice(list(KINDS), p=list(KINDS.values()))
            if moving == "sharp":
                continue
            blur = BLURS[self._profile.blur_kind](random, self.size, self._profile)
            if moving == "whole":
                blurred[row] = blur.apply(sharp[row])
            else:
                blurred[row] = blur.under(sharp[row], masks[moving][row], self._profile.composite)
        return blurred, sharp


class KindPairs:
    """Faces of one part of the split under the blur `name`: one of BLURS, or of KIND_PARTS or KIND_MIXTURES.

    Training draws blur anew each epoch; `batch` has the draw that scores are of. Has what the training engine
    and `evaluation.scores` ask of `face_pairs.FacePairs`.
    """

    def __init__(self, paths: RunPaths, profile: Profile, name: str, split: str):
        self._faces = {
            row.mask: face_pairs.open_pairs(paths, row.name, split) for row in DATASETS.values() if row.mask
        }
        self._profile, self.name, self.split = profile, name, split
        self.image_ids, self.size = self._faces["head"].image_ids, self._faces["head"].size
        self.kinds, self.part = kinds_in(name), KIND_PARTS.get(name, "")

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def face_masks(self) -> np.ndarray:
        """Bool (N, H, W): the face oval found by MediaPipe."""
        return self._faces["face"].face_masks

    @property
    def head_masks(self) -> np.ndarray:
        """Bool (N, H, W): the person."""
        return self._faces["head"].head_masks

    @property
    def blur_masks(self) -> np.ndarray:
        """Bool (N, H, W): where the blur is laid."""
        part = self.part or (len(self.kinds) == 1 and BLURS[self.kinds[0]].part)
        return self._faces[part].blur_masks if part else np.ones_like(self.head_masks)

    def batch(self, indices) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, sharp), uint8 (B, H, W, 3), always the same."""
        return self.draw(indices, self._profile.seed, 0)

    def draw(self, indices, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, sharp), uint8 (B, H, W, 3); each drawn from (seed, epoch, id) alone."""
        sharp = self._faces["head"].batch(indices)[1]
        masks = {part: pairs.mask_batch(part, indices) for part, pairs in self._faces.items()}
        blurred = np.empty_like(sharp)
        for row, index in enumerate(indices):
            random = generator_for(seed, f"kind {self.name}", f"{epoch}/{self.image_ids[index]}")
            here = {part: mask[row] for part, mask in masks.items()}
            blurred[row] = self.taken(random, sharp[row], here)
        return blurred, sharp

    def taken(self, random: np.random.Generator, sharp: np.ndarray, masks: dict) -> np.ndarray:
        """One face `sharp`, uint8 (H, H, 3), under a blur that is drawn from `random`."""
        kind = BLURS[str(random.choice(self.kinds))]
        blur = kind(random, len(sharp), self._profile)
        if self.part:
            return blur.under(sharp, masks[self.part], self._profile.composite)
        # What moves by nature before something still is never pasted.
        return blur.under(sharp, masks[kind.part], "matte") if kind.part else blur.apply(sharp)


class CameraKindPairs(KindPairs):
    """As `KindPairs`, each face taken by a camera (`blur.camera`) that sees light and adds noise and JPEG."""

    def taken(self, random: np.random.Generator, sharp: np.ndarray, masks: dict) -> np.ndarray:
        kind = BLURS[str(random.choice(self.kinds))]
        return photograph(sharp, kind(random, len(sharp), self._profile).linear, random)


class TransferPairs(KindPairs):
    """Pairs for the network that blurs: a sharp face and another, blurred; the first one blurred so."""

    def draw(self, indices, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """((sharp, other face blurred), blurred), uint8 (B, H, W, 6) and (B, H, W, 3)."""
        sharp = self._faces["head"].batch(indices)[1]
        others, blurs = self.others(indices, seed, epoch)
        pairs = zip(others, sharp, blurs, strict=True)
        example, target = zip(*((blur.apply(a), blur.apply(b)) for a, b, blur in pairs), strict=True)
        return np.concatenate([sharp, np.stack(example)], axis=3), np.stack(target)

    def others(self, indices, seed: int, epoch: int) -> tuple[np.ndarray, list]:
        """For each face another one, sharp, and a blur, each drawn from (seed, epoch, id) alone."""
        chosen, blurs = [], []
        for index in indices:
            random = generator_for(seed, f"kind {self.name}", f"{epoch}/{self.image_ids[index]}")
            chosen.append((index + random.integers(1, max(2, len(self)))) % len(self))
            blurs.append(BLURS[str(random.choice(self.kinds))](random, self.size, self._profile))
        return self._faces["head"].batch(np.array(chosen))[1], blurs


class LearntPairs(TransferPairs):
    """Faces that the trained network blurred, each as another face is blurred."""

    @cached_property
    def _network(self) -> torch.nn.Module:
        return load_network(self._paths, blurrer_run(self._profile).name)

    def __init__(self, paths: RunPaths, profile: Profile, name: str, split: str):
        super().__init__(paths, profile, name, split)
        self._paths = paths

    def draw(self, indices, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, sharp), uint8 (B, H, W, 3); each drawn from (seed, epoch, id) alone."""
        both, _ = super().draw(indices, seed, epoch)
        with torch.inference_mode():
            blurred = self._network(to_network(torch.from_numpy(both)))
        blurred = blurred.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1)
        return blurred.contiguous().numpy(), np.ascontiguousarray(both[..., :3])


class SolvedPairs(KindPairs):
    """Faces as a camera takes them, restored, and solved for nearly the right motion (run LSOLVED).

    A face takes a third of a second, so that only SOLVED_DRAWS of each are made, and kept in memory. The last
    of them is of half the size, in a frame of its mirror images.
    """

    def __init__(self, paths: RunPaths, profile: Profile, split: str = "train"):
        super().__init__(paths, profile, SOLVED, split)
        self._restorer, self._kept = published.load(), {}

    def draw(self, indices, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """((blurred, restored, solved), sharp), uint8 (B, H, W, 9) and (B, H, W, 3)."""
        sharp = self._faces["head"].batch(indices)[1].copy()
        masks = {part: pairs.mask_batch(part, indices) for part, pairs in self._faces.items()}
        views = []
        for row, index in enumerate(indices):
            number = int(epoch + index) % SOLVED_DRAWS
            key, here = (seed, number, int(index)), {part: mask[row] for part, mask in masks.items()}
            half = number == SOLVED_DRAWS - 1
            small, small_masks = _halved(sharp[row], here) if half else (sharp[row], here)
            if key not in self._kept:
                random = generator_for(seed, SOLVED, f"{number}/{self.image_ids[index]}")
                self._kept[key] = nearly_solved(
                    random, small, small_masks, self._restorer, self._profile.composite
                )
            views.append(_framed(self._kept[key], self.size))
            sharp[row] = _framed(small, self.size)
        return np.stack(views), sharp


def _halved(image: np.ndarray, masks: dict[str, np.ndarray]) -> tuple[np.ndarray, dict]:
    """Both at half their size."""
    side = len(image) // 2

    def reduced(values: np.ndarray) -> np.ndarray:
        return cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA)

    return reduced(image), {name: reduced(255 * mask.astype(np.uint8)) > 127 for name, mask in masks.items()}


def _framed(image: np.ndarray, size: int) -> np.ndarray:
    """`image` (h, h, C) in a frame of its mirror images, `size` wide."""
    before = (size - len(image)) // 2
    frame = before, size - len(image) - before
    return np.pad(image, (frame, frame, (0, 0)), "symmetric")


class MixedBatches(Batches):
    """`Batches` of `MixedPairs`: the same order and flips, other blur each epoch."""

    def __init__(self, pairs: MixedPairs, batch_size: int, device: torch.device):
        super().__init__(pairs, batch_size, device, resident=False)

    def epoch(self, seed: int, epoch: int, part: int = 0, parts: int = 1) -> Iterator[Batch]:
        self._draw = seed, epoch
        yield from super().epoch(seed, epoch, part, parts)

    def _load(self, row: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(torch.from_numpy(images).to(self.device) for images in self.pairs.draw(row, *self._draw))


MIXTURES = {MIX: MixedPairs, CAMERA: CameraPairs, SOLVED: SolvedPairs}
KIND_PAIRS = {
    "camera": CameraKindPairs,
    TRANSFER: TransferPairs,
    LEARNT: LearntPairs,
}  # those with a class of their own
FRESH = MixedPairs | KindPairs  # drawn anew each epoch


def kind_pairs(paths: RunPaths, profile: Profile, name: str, split: str) -> KindPairs:
    """Faces of one part of the split under what notebook 10 calls `name`."""
    return KIND_PAIRS.get(name, KindPairs)(paths, profile, name, split)


def training_pairs(paths: RunPaths, name: str, profile: Profile):
    """What a run's schedule calls `name`: one of the four datasets, a mixture, or a kind of blur."""
    if is_kind(name):
        return kind_pairs(paths, profile, name, "train")
    if name == MIX and profile.blur_kind != "line":
        return KindMixedPairs(paths, profile)
    if name in MIXTURES:
        return MIXTURES[name](paths, profile)
    return face_pairs.open_pairs(paths, name, "train")


def validation_pairs(paths: RunPaths, names: list[str], profile: Profile) -> list:
    """The validation pairs that go with a schedule's datasets; all four for a mixture."""
    if is_kind(names[0]):
        return [kind_pairs(paths, profile, name, "val") for name in names]
    if names == [SOLVED]:
        return [SolvedPairs(paths, profile, "val")]
    names = [dataset for name in names for dataset in (DATASETS if name in MIXTURES else [name])]
    return [face_pairs.open_pairs(paths, name, "val") for name in names]


def batches_of(pairs, batch_size: int, device: torch.device) -> Batches:
    """Training batches of `pairs`, whichever kind they are."""
    return (MixedBatches if isinstance(pairs, FRESH) else Batches)(pairs, batch_size, device)
