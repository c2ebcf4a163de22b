"""`python -m facedeblur_utils.deblur photo.jpg out.png`; in Python it is `facedeblur_utils.deblur(image)`."""

import sys

from facedeblur_utils.photo.command import main

if __name__ == "__main__":
    sys.exit(main())
