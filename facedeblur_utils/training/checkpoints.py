"""Writes and reads what a training run leaves on disk: resumable states, weights, configuration, history.

Whole files only: whenever the process dies, one whole state and whole weights remain.
"""

import io
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save
from torch import nn

from facedeblur_utils.errors import StudyError
from facedeblur_utils.files import FULL_DISK, write_bytes
from facedeblur_utils.paths import RunFolder

NOT_AVERAGED = "not_averaged"  # weights of the last step, beside those of their running mean


def save_state(folder: RunFolder, state: dict, milestone: bool = False) -> None:
    """Write `state` (tensors and plain values) as the newest one; with `milestone`, keep it for good too.

    Raises StudyError where the disk is full.
    """
    partial = folder.state.with_name(f"{folder.state.name}.partial")
    try:
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        if milestone:
            kept = folder.milestone_state(state["epoch"])
            shutil.copyfile(partial, kept.with_suffix(".partial"))
            os.replace(kept.with_suffix(".partial"), kept)
        if folder.state.exists():
            os.replace(folder.state, folder.previous_state)
        os.replace(partial, folder.state)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise _unwritable(folder, error) from None


def load_state(folder: RunFolder) -> dict | None:
    """The newest whole state in `folder`, or None; a broken file gives way to the one before it."""
    for path in (folder.state, folder.previous_state):
        if path.exists():
            try:
                return read_state(path)
            except StudyError as error:
                print(f"{error}; trying the one before it", flush=True)
    return None


def read_state(path: Path) -> dict:
    """One state file; raises StudyError where it is missing or broken."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise StudyError(f"checkpoint {path} is missing") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError):
        raise StudyError(f"checkpoint {path} is broken") from None


def save_weights(path: Path, net: nn.Module) -> None:
    """Weights as fp32 safetensors, written beside and renamed. Raises StudyError where the disk is full."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    write_bytes(path, save(tensors), durable=True)


def load_weights(path: Path, net: nn.Module) -> nn.Module:
    """Put the weights at `path` into `net`; raises StudyError where they are missing or don't fit."""
    try:
        net.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise StudyError(f"no weights at {path}; train the run first (notebooks 03 and 04)") from None
    except Exception as error:  # safetensors raises its own type, torch RuntimeError
        reason = str(error).splitlines()[0]
        raise StudyError(f"the weights at {path} can't be used ({reason}); delete them and train") from None
    return net


def save_strip(path: Path, image: np.ndarray) -> None:
    """Write a uint8 (H, W, 3) image as PNG."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    write_bytes(path, content.getvalue())


def write_config(folder: RunFolder, config: dict) -> None:
    write_bytes(folder.config, json.dumps(config, indent=1).encode(), durable=True)


def read_config(folder: RunFolder) -> dict:
    """The run's configuration and facts; raises StudyError where the run was never started."""
    try:
        return json.loads(folder.config.read_text(encoding="utf-8"))
    except FileNotFoundError:
        how = "train it first (notebook 03, 04 or 07)"
        raise StudyError(f"run {folder.name} has not been trained: no {folder.config}; {how}") from None
    except ValueError:
        raise StudyError(f"{folder.config} is broken; delete {folder.path} and train again") from None


def disk_needed(
    parameters: int, trained: int, milestones: int, kept_states: int, averaged: bool = False
) -> int:
    """Bytes of a run: `parameters` of the net that is kept as weights, `trained` of all nets.

    A state holds each trained value three times (Adam's two moments), and where the kept net is `averaged`
    its average, in two files and one being written; weights lie there as last, best and at each milestone,
    beside an average also without it.
    """
    state = 3 * trained + averaged * parameters
    return 4 * (state * (3 + kept_states) + parameters * (3 + milestones + averaged))


def refuse_full_disk(folder: RunFolder, needed: int) -> None:
    """Raise StudyError before the run starts where the disk can't hold it."""
    here = sum(file.stat().st_size for file in folder.path.rglob("*"))
    free = shutil.disk_usage(folder.path).free
    if free + here < needed:
        raise StudyError(
            f"the checkpoints of {folder.name} need {needed / 1e6:.0f} MB and {folder.path} has "
            f"{free / 1e6:.0f} MB free; free space or choose another output folder"
        )


def _unwritable(folder: RunFolder, error: Exception) -> StudyError:
    reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
    full = getattr(error, "errno", None) in FULL_DISK
    what = "the disk is full" if full else f"writing failed ({reason})"
    free = shutil.disk_usage(folder.path).free / 1e6
    return StudyError(
        f"cannot save the checkpoint in {folder.path}: {what}, {free:.0f} MB free; the last good one is "
        "kept, start again to go on from it"
    )
