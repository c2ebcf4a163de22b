"""Tools of the face-deblurring study: the package that the notebooks and `run_all.py` call.

For a blurred photo: `facedeblur_utils.deblur(image)`, see `photo/`.
"""

__version__ = "0.1.0"


def __getattr__(name: str):
    # Loaded when asked for, so that importing the package stays light.
    if name == "deblur":
        from facedeblur_utils.photo.deblur import deblur

        return deblur
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
