"""What a file system needs to be told beside the bytes of a file."""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(path: Path) -> None:
    """The names in a folder are on the disk when this returns; a file's own sync does not bring its name there.

    Raises OSError.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


__all__ = ["sync_folder"]
