"""Tests and the processes that they start use one thread each: their networks are tiny."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch
