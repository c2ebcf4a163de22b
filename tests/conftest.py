"""Tests and the processes that they start use at most two threads: their networks are tiny."""

import os

from facedeblur_utils.machine import available_cpus

os.environ.setdefault("OMP_NUM_THREADS", str(min(2, available_cpus())))  # before anything imports torch
