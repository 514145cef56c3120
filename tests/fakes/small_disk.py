"""A file system of its own that is soon full. Knows how one is mounted, and that it takes root."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(megabytes: int) -> Iterator[Path]:
    """The folder of a file system of so many MB, gone at the end."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("FULL DISK NOT TESTED: mounting a small tmpfs takes root")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
