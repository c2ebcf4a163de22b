"""The restorer that the package carries, used by `deblur`; `publish_restorer` makes it."""

import json
from functools import lru_cache
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from facedeblur_utils import paths
from facedeblur_utils.errors import StudyError
from facedeblur_utils.models.nafnet import Restorer

WEIGHTS = paths.WEIGHTS / "restorer.safetensors"
CARD = paths.WEIGHTS / "README.md"


def load(file: Path = WEIGHTS) -> nn.Module:
    """The restorer with the weights in `file`, fp32, in eval mode, on the CPU.

    Raises StudyError, in one line, where the file is missing or holds another network.
    """
    try:
        state = {name: value.float() for name, value in load_file(file).items()}
        network = Restorer(len(state["first.bias"]))
        network.load_state_dict(state)
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:100]
        raise StudyError(f"{file} does not hold weights of the restorer ({reason})") from None
    return network.eval()


@lru_cache(maxsize=1)
def facts() -> dict:
    """What is known about the published weights: training, scores, image size."""
    return json.loads(WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))
