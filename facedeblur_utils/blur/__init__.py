"""How does a picture blur? Kernels, operators, kinds of blur."""

import importlib

DOORS = {  # what users and other projects call, by the module that has it; loaded when asked for
    "linear_motion_kernel": "facedeblur_utils.blur.kernels",
    "disk_kernel": "facedeblur_utils.blur.kernels",
    "convolve": "facedeblur_utils.blur.operators",
    "composite": "facedeblur_utils.blur.operators",
    "BLURS": "facedeblur_utils.blur.kinds",
}


def __getattr__(name: str):
    if name in DOORS:
        return getattr(importlib.import_module(DOORS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
