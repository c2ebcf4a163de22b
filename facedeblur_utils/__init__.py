"""Tools of the face-deblurring study: the package that the notebooks and `run_all.py` call.

For a blurred photo: `facedeblur_utils.deblur(image)`, see `photo/deblur.py`.
"""

import os

__version__ = "0.1.0"

# Before anything loads torch: its threads shall sleep while they wait for each other. Spinning, as they do
# otherwise, loses most of a machine's speed as soon as another program runs on it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str):
    # Loaded when asked for, so that importing the package stays light.
    if name == "deblur":
        from facedeblur_utils.photo.deblur import deblur

        return deblur
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
