"""The restorer that the package carries, used by `deblur`; `publish_restorer` makes it."""

import json
from functools import lru_cache
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from facedeblur_utils import paths
from facedeblur_utils.errors import StudyError
from facedeblur_utils.models.nafnet import Restorer

WEIGHTS = paths.RESTORER
REFINER = paths.WEIGHTS / "refiner.safetensors"
CARD = paths.WEIGHTS / "README.md"


def load(file: Path = WEIGHTS, kind: type[Restorer] = Restorer) -> nn.Module:
    """The network of a `kind` of restorer with the weights in `file`, fp32, in eval mode, on the CPU.

    Raises StudyError, in one line, where the file is missing or holds another network.
    """
    try:
        state = {name: value.float() for name, value in load_file(file).items()}
        network = kind(len(state["first.bias"]))
    except (OSError, KeyError, TypeError, SafetensorError) as error:
        raise _other_network(file, error) from None
    return filled(network, state, file)


def filled(network: nn.Module, state: dict[str, Tensor], file: Path) -> nn.Module:
    """`network` with the weights `state`, which `file` holds, in eval mode; raises StudyError for others."""
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise _other_network(file, error) from None
    return network.eval()


def _other_network(file: Path, error: Exception) -> StudyError:
    reason = " ".join(str(error).split())[:100]
    return StudyError(f"{file} does not hold weights of the restorer ({reason})")


@lru_cache(maxsize=1)
def facts() -> dict:
    """What is known about the published weights: training, scores, image size."""
    return json.loads(WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))
