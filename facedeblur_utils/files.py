"""Writes files so that none is ever seen half written, and says in one line why one can't be."""

import errno
import os
from pathlib import Path

from facedeblur_utils.errors import StudyError

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 `text` to `path`, see `write_bytes`."""
    return write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes, durable: bool = False) -> Path:
    """Write `content` beside `path` and rename; makes the folder. Returns `path`.

    `durable` waits until the disk has it, for what a power cut must not take. Raises StudyError, in one
    line, where it can't be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise disk_error(error, path) from None
    return path


def disk_error(error: OSError, path: Path) -> StudyError:
    """The line shown for a file that can't be written."""
    if error.errno in FULL_DISK:
        return StudyError(f"the disk is full: could not write {path}; free space and run again, it goes on")
    return StudyError(f"could not write {path} ({error.strerror or error}); check the folder's permissions")
