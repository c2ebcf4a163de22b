"""What finished training runs left: networks, facts, histories."""

import pandas as pd
import torch
from torch import nn

from facedeblur_utils.errors import StudyError
from facedeblur_utils.models import networks
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.training import checkpoints


def load_network(paths: RunPaths, run_name: str, epoch: int | str = "last", seed: int = 1) -> nn.Module:
    """The trained network of `run_name`, in eval mode, fp32, on the CPU.

    `epoch` is a milestone's number, "last", or "best" (by validation PSNR). Raises StudyError where it has
    not been trained.
    """
    folder = paths.training(run_name, seed)
    config = checkpoints.read_config(folder)
    net = next(iter(networks.build(config["network"], config["width"], norm=config["norm"]).values()))
    checkpoints.load_weights(folder.weights(epoch), net)
    return net.to(memory_format=torch.channels_last).eval()


def run_facts(paths: RunPaths, run_name: str, seed: int = 1) -> dict:
    """Configuration and facts of a run as it really trained (its config.json)."""
    return checkpoints.read_config(paths.training(run_name, seed))


def read_history(paths: RunPaths, run_name: str, seed: int = 1) -> pd.DataFrame:
    """History of a run, one row per epoch; raises StudyError where it has not been trained."""
    path = paths.training(run_name, seed).history
    if not path.exists():
        raise StudyError(f"run {run_name} has no history at {path}; train it first (notebooks 03 and 04)")
    return pd.read_csv(path)
