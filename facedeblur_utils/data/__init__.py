"""Which faces, which pairs? Sources, masks, datasets."""

import importlib

DOORS = {  # what users and other projects call, by the module that has it; loaded when asked for
    "face_mask": "facedeblur_utils.data.segmentation",
    "head_mask": "facedeblur_utils.data.segmentation",
}


def __getattr__(name: str):
    if name in DOORS:
        return getattr(importlib.import_module(DOORS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
