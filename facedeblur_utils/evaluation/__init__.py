"""How good is it? Scores of the study, statistics, audit."""

import importlib

DOORS = {  # what users and other projects call, by the module that has it; loaded when asked for
    "psnr": "facedeblur_utils.metrics.psnr_ssim",
    "ssim": "facedeblur_utils.metrics.psnr_ssim",
}


def __getattr__(name: str):
    if name in DOORS:
        return getattr(importlib.import_module(DOORS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
