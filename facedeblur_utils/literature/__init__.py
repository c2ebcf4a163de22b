"""The thesis's review of the literature as data: tables, references, search counts, errata.

`load("2.7")` gives Table 2.7 as a typed frame, `references()` the 118 references, `search("noise")` every
cell with a word. `export` writes the tables as the thesis prints them, `browsing` shows them as HTML that
sorts, filters and links, `drawing` and `reading` make figures.
"""

from facedeblur_utils.literature.bibliography import references
from facedeblur_utils.literature.loader import load, search
from facedeblur_utils.literature.schema import TABLES

__all__ = ["TABLES", "load", "references", "search"]
