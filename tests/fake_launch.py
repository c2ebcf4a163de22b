"""A worker of `facedeblur_utils.training.workers` on made-up data: `python -m fake_launch RUN ...`."""

import sys

import pytest
from fake_pairs import use_fakes, use_small_vgg

from facedeblur_utils.training import __main__ as worker

if __name__ == "__main__":
    patches = pytest.MonkeyPatch()
    use_fakes(patches, train=16)
    use_small_vgg(patches)
    sys.exit(worker.main())
