"""Which number format to train in on this machine, and the `accelerate` engine set up for it."""

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState

from facedeblur_utils.errors import UsageError
from facedeblur_utils.machine import cpu_features

BF16_FEATURES = ("amx_bf16", "avx512_bf16")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
ACCELERATE_NAMES = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def choose(wanted: str, device: torch.device | None = None) -> tuple[str, str]:
    """("bf16", why) and the like for a profile's `precision`; raises UsageError for what can't work here.

    `auto`: bf16 on GPUs that have it and on CPUs with AMX or AVX512-BF16, where it is about twice as fast;
    fp16 with loss scaling on other NVIDIA GPUs; fp32 elsewhere, where half precision would only be slower.
    """
    device = device or default_device()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        best, why = ("bf16", f"{name} has bf16") if native else ("fp16", f"{name} has no bf16")
    elif device.type == "cpu":
        found = [feature for feature in BF16_FEATURES if feature in cpu_features()]
        has = " and ".join(found).upper()
        best, why = ("bf16", f"the CPU has {has}") if found else ("fp32", "the CPU has no bf16 instructions")
    else:
        best, why = "fp32", f"device {device.type}"
    if wanted == "auto":
        return best, why
    if wanted == "fp16" and device.type != "cuda":
        raise UsageError("precision fp16 needs an NVIDIA GPU (loss scaling); use auto, bf16 or fp32")
    return wanted, "as the profile says"


def default_device() -> torch.device:
    """Where training runs: the first GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def engine(precision: str) -> Accelerator:
    """An `Accelerator` for one run: device, autocast in `precision`, and several processes if launched so."""
    # Where a unit has died, Adam's mean of its gradients fades below 1e-38 within a thousand steps. CPUs take
    # so long over such numbers that the autoencoder would train at half its speed from there on.
    torch.set_flush_denormal(True)
    # accelerate keeps the first precision for the life of a process; notebooks train several runs in one.
    AcceleratorState._reset_state()
    # The discriminator sees three batches per step: buffers sent around between them would break autograd.
    settings = DistributedDataParallelKwargs(broadcast_buffers=False)
    if torch.cuda.is_available():
        torch.backends.cudnn.deterministic = True  # the same run twice gives the same weights
        torch.backends.cudnn.benchmark = False
    return Accelerator(
        mixed_precision=ACCELERATE_NAMES[precision],
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=[settings],
    )
