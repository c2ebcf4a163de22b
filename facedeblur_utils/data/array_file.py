"""A growing .npy file that is written row by row, survives a kill, and reports a full disk as one line."""

import os
from pathlib import Path

import numpy as np

from facedeblur_utils.errors import StudyError
from facedeblur_utils.files import disk_error


class ArrayFile:
    """An array of `shape` on disk, opened for writing rows; rows never written are zeros.

    Rows are written through the file rather than a memory map: a full disk is then an error instead of a
    bus error, and the pages don't count as memory of the process. Space is claimed at the start.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype=np.uint8):
        self.path, self.shape, self.dtype = path, tuple(shape), np.dtype(dtype)
        self.row_bytes = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        try:
            if not path.exists():
                self._create()
            self._file = open(path, "r+b")  # noqa: SIM115 - closed by `close`
            version = np.lib.format.read_magic(self._file)
            if version != (1, 0) or np.lib.format.read_array_header_1_0(self._file)[0] != self.shape:
                raise StudyError(f"{path} is not the array that this build began; delete its folder")
            self._start = self._file.tell()
        except OSError as error:
            raise disk_error(error, path) from None

    def write(self, row: int, values: np.ndarray) -> None:
        """Store `values` (n, ...) from `row` on."""
        values = np.ascontiguousarray(values, self.dtype)
        try:
            self._file.seek(self._start + row * self.row_bytes)
            self._file.write(values.data)
            self._file.flush()
        except OSError as error:
            raise disk_error(error, self.path) from None

    def close(self) -> None:
        self._file.close()

    def _create(self) -> None:
        partial = self.path.with_name(self.path.name + ".partial")
        with open(partial, "wb") as file:
            header = {"descr": self.dtype.str, "fortran_order": False, "shape": self.shape}
            np.lib.format.write_array_header_1_0(file, header)
            total = file.tell() + self.shape[0] * self.row_bytes
            if hasattr(os, "posix_fallocate"):  # not on macOS and Windows, where a full disk shows later
                os.posix_fallocate(file.fileno(), 0, total)
            file.truncate(total)
        os.replace(partial, self.path)
