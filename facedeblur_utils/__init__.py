"""Tools of the face-deblurring study: a thin, flat package that the notebooks and `run_all.py` call.

For a blurred photo: `facedeblur_utils.deblur(image)`, see the module `deblur`.
"""

__version__ = "0.1.0"


def __getattr__(name: str):
    # Loaded when asked for, so that importing the package stays light.
    if name == "deblur":
        import importlib

        return importlib.import_module("facedeblur_utils.deblur")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
