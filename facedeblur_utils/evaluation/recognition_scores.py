"""Are blurred and restored test faces recognised among all sharp faces of the study?"""

from dataclasses import asdict

import numpy as np
import pandas as pd

from facedeblur_utils.data import face_pairs, segmentation
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.errors import StudyError
from facedeblur_utils.evaluation.scores import BATCH, Restorer, write_scores
from facedeblur_utils.metrics.recognition import Recognition, embeddings, face_square, recognition
from facedeblur_utils.models.face_embedding import FaceEmbedding, load_embedding
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.progress import track

MIRRORED = "mirrored"  # the row of the sharp faces mirrored: what the embedding itself can tell
SPLITS = ("test", "val", "train")


class Gallery:
    """All sharp faces of the study with their embeddings; the test faces come first.

    Faces in which MediaPipe finds no landmarks at this size are left out, of the probes too.
    """

    def __init__(self, paths: RunPaths, network: FaceEmbedding):
        self.network = network
        pairs = [face_pairs.open_pairs(paths, "SFB1", split) for split in SPLITS]
        sharp = np.concatenate([part.batch(np.arange(len(part)))[1] for part in pairs])
        with segmentation.open_landmarker() as landmarker:
            found = [segmentation.face_landmarks(image, landmarker) for image in track(sharp, "Landmarks")]
        usable = [row for row, landmarks in enumerate(found) if landmarks is not None]
        self.squares = np.array([face_square(found[row]) for row in usable], np.float32).reshape(-1, 4)
        self.tested = np.array([row for row in usable if row < len(pairs[0])], int)  # rows of the test set
        self.sharp = sharp[usable]
        self.vectors = embeddings(network, self.sharp, self.squares)

    def recognised(self, images: np.ndarray) -> Recognition:
        """Of uint8 (N, H, W, 3): one picture of each of the test faces `tested`, in their order."""
        squares = self.squares[: len(self.tested)]
        probes = embeddings(self.network, images, squares)
        return recognition(probes, self.vectors, range(len(self.tested)))

    def mirrored(self) -> Recognition:
        """Of the sharp test faces mirrored: other pictures of the same persons, without any blur."""
        count, width = len(self.tested), self.sharp.shape[2]
        squares = self.squares[:count].copy()
        squares[:, [0, 2]] = width - squares[:, [2, 0]]
        probes = embeddings(self.network, self.sharp[:count, :, ::-1].copy(), squares)
        return recognition(probes, self.vectors, range(count))


def recognise(restorers: dict[str, Restorer], paths: RunPaths) -> pd.DataFrame:
    """How well the outputs of `restorers` are recognised; writes `results/recognition_scores.csv`.

    One row for each model, test set and score of `metrics.recognition.Recognition`: model, dataset, metric,
    value. Empty where the embedding can't be had or fewer than two faces have landmarks, which is said.
    """
    columns = ["model", "dataset", "metric", "value"]
    try:
        gallery = Gallery(paths, load_embedding())
    except StudyError as reason:
        print(f"Recognition is left out: {reason}")
        return write_scores(pd.DataFrame(columns=columns), paths.recognition_scores)
    if len(gallery.vectors) < 2 or not len(gallery.tested):
        print("Recognition is left out: hardly a face has landmarks at this size")
        return write_scores(pd.DataFrame(columns=columns), paths.recognition_scores)
    print(f"{len(gallery.tested)} test faces among {len(gallery.vectors)}")
    rows = []
    for name, restorer in track(list(restorers.items()), "Recognising", unit="models"):
        for dataset in DATASETS:
            pairs = face_pairs.open_pairs(paths, dataset, "test")
            parts = np.split(gallery.tested, range(BATCH, len(gallery.tested), BATCH))
            outputs = np.concatenate([restorer(pairs, part) for part in parts])
            rows.append((name, dataset, gallery.recognised(outputs)))
    rows += [(MIRRORED, dataset, gallery.mirrored()) for dataset in DATASETS]
    scores = [
        (name, dataset, metric, value)
        for name, dataset, found in rows
        for metric, value in asdict(found).items()
    ]
    return write_scores(pd.DataFrame(scores, columns=columns), paths.recognition_scores)
