"""A disk that is full, slow, broken or deadly, for a real process: see `troubled_disk.c`."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix(".c")


class TroubledDisk:
    """`environment` is what the process is started with; `has` is true of its disk as long as it lasts."""

    def __init__(self, library: Path, folder: Path) -> None:
        self._signs = folder / "trouble"
        self._signs.mkdir()
        self.environment = {
            "LD_PRELOAD": str(library),
            "DISK_TROUBLE": str(self._signs),
            "DISK_FOLDER": str(folder / "journal"),
        }

    @contextmanager
    def has(self, trouble: str) -> Iterator[None]:
        sign = self._signs / trouble
        sign.touch()
        try:
            yield
        finally:
            sign.unlink()


def compiled(folder: Path) -> Path:
    """The library; Linux, and a C compiler, or the test is skipped."""
    compiler = shutil.which("cc")
    if compiler is None or not Path("/proc/self/fd").exists():
        pytest.skip("TROUBLED DISK NOT TESTED: it takes Linux and a C compiler")
    library = folder / "troubled_disk.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library
