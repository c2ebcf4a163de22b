"""What a training run leaves on disk: resumable states, weights, configuration, history; all atomic.

`state.pt` is the last epoch's whole state and `state_previous.pt` the one before; `state_0025.pt` is kept
where another run goes on from that epoch. `epoch_0025.safetensors`, `last.safetensors` and
`best.safetensors` are weights alone, in fp32.
"""

import errno
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
from facedeblur_utils.paths import RunPaths

STATE, PREVIOUS, CONFIG, HISTORY = "state.pt", "state_previous.pt", "config.json", "history.csv"
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def folder_of(paths: RunPaths, run_name: str, seed: int = 1) -> Path:
    """Folder of a run's checkpoints; further training seeds (from 2) have folders of their own."""
    return paths.checkpoints / (run_name if seed == 1 else f"{run_name}.seed{seed}")


def weights_file(folder: Path, epoch: int | str) -> Path:
    """File of the weights at `epoch`: a number, "last" or "best"."""
    return folder / (f"epoch_{epoch:04d}.safetensors" if isinstance(epoch, int) else f"{epoch}.safetensors")


def state_file(folder: Path, epoch: int) -> Path:
    """File of the whole state kept at a milestone."""
    return folder / f"state_{epoch:04d}.pt"


def save_state(folder: Path, state: dict, milestone: bool = False) -> None:
    """Write `state` (tensors and plain values) as the newest one; with `milestone`, keep it for good too.

    Whenever the process dies, one whole state remains. Raises StudyError where the disk is full.
    """
    current, previous = folder / STATE, folder / PREVIOUS
    partial = folder / f"{STATE}.partial"
    try:
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        if milestone:
            kept = state_file(folder, state["epoch"])
            shutil.copyfile(partial, kept.with_suffix(".partial"))
            os.replace(kept.with_suffix(".partial"), kept)
        if current.exists():
            os.replace(current, previous)
        os.replace(partial, current)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise _unwritable(folder, error) from None


def load_state(folder: Path) -> dict | None:
    """The newest whole state in `folder`, or None; a broken file gives way to the one before it."""
    for name in (STATE, PREVIOUS):
        path = folder / name
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
    write_bytes(path, save(tensors))


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


def write_bytes(path: Path, content: bytes) -> None:
    """Write beside, flush to the disk, rename. Raises StudyError where the disk is full."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise _unwritable(path.parent, error) from None


def strip_file(folder: Path, name: int | str) -> Path:
    """Picture of the validation faces after an epoch, or "blurred" or "sharp"."""
    return folder / "strips" / (f"epoch_{name:04d}.png" if isinstance(name, int) else f"{name}.png")


def save_strip(path: Path, image: np.ndarray) -> None:
    """Write a uint8 (H, W, 3) image as PNG."""
    path.parent.mkdir(exist_ok=True)
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    write_bytes(path, content.getvalue())


def write_config(folder: Path, config: dict) -> None:
    write_bytes(folder / CONFIG, json.dumps(config, indent=1).encode())


def read_config(folder: Path) -> dict:
    """The run's configuration and facts; raises StudyError where the run was never started."""
    try:
        return json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError:
        how = "train it first (notebook 03, 04 or 07)"
        raise StudyError(f"run {folder.name} has not been trained: no {folder / CONFIG}; {how}") from None
    except ValueError:
        raise StudyError(f"{folder / CONFIG} is broken; delete {folder} and train again") from None


def refuse_other(folder: Path, wanted: dict, found: dict) -> None:
    """Raise StudyError naming the first difference between the identity asked for and the one on disk."""
    # Through JSON, as on disk, so that tuples equal lists.
    wanted, found = _flat(json.loads(json.dumps(wanted))), _flat(found)
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key) != found.get(key):
            raise StudyError(
                f"the checkpoint in {folder} is of another configuration: {key} was {_short(found.get(key))} "
                f"and is now {_short(wanted.get(key))}; delete that folder or choose another output folder"
            )


def disk_needed(parameters: int, trained: int, milestones: int, kept_states: int) -> int:
    """Bytes of a run: `parameters` of the net that is kept as weights, `trained` of all nets.

    A state holds each trained value three times (Adam's two moments), in two files and one being written;
    weights lie there as last, best and at each milestone.
    """
    return 4 * (3 * trained * (3 + kept_states) + parameters * (3 + milestones))


def refuse_full_disk(folder: Path, needed: int) -> None:
    """Raise StudyError before the run starts where the disk can't hold it."""
    here = sum(file.stat().st_size for file in folder.rglob("*"))
    free = shutil.disk_usage(folder).free
    if free + here < needed:
        raise StudyError(
            f"the checkpoints of {folder.name} need {needed / 1e6:.0f} MB and {folder} has "
            f"{free / 1e6:.0f} MB free; free space or choose another output folder"
        )


def _flat(values: dict) -> dict:
    """`{"datasets": {"SFB1": x}}` -> `{"datasets.SFB1": x}`."""
    flat = {}
    for key, value in values.items():
        nested = value.items() if isinstance(value, dict) else [("", value)]
        flat |= {f"{key}.{inner}".rstrip("."): item for inner, item in nested}
    return flat


def _short(value) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:12] + "…"


def _unwritable(folder: Path, error: Exception) -> StudyError:
    reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
    full = getattr(error, "errno", None) in FULL_DISK
    what = "the disk is full" if full else f"writing failed ({reason})"
    free = shutil.disk_usage(folder).free / 1e6
    return StudyError(
        f"cannot save the checkpoint in {folder}: {what}, {free:.0f} MB free; the last good one is kept, "
        "start again to go on from it"
    )
