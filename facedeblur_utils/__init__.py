"""Tools of the face-deblurring study: a thin, flat package that the notebooks and `run_all.py` call."""

__version__ = "0.1.0"
