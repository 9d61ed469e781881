"""Count instructions in the middle of a program, under ``valgrind --tool=callgrind``.

A program talks to valgrind by instructions that do nothing elsewhere (the manual's "client
requests"). C has macros for them; from Python they are called as a function of 25 bytes.
"""

import ctypes
import mmap
import platform
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

#: rotate rdi by 3, 13, 61 and 51 bits, exchange rbx with itself: valgrind answers in rdx.
CODE = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
TOOL = (ord("C") << 24) | (ord("T") << 16)
DUMP, ZERO, START, STOP = TOOL, TOOL + 1, TOOL + 4, TOOL + 5


def why_not() -> str:
    """Return why instructions cannot be counted here, if so."""
    if platform.machine() not in {"x86_64", "AMD64"}:
        return "instructions are counted on x86-64 only"
    return "" if shutil.which("valgrind") else "valgrind is not installed"


def command(output: Path) -> list[str]:
    """Return what goes before a program; it runs uncounted until it says so."""
    tool = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no"]
    return [*tool, f"--callgrind-out-file={output}", sys.executable]


class Counter:
    """Counts what the threads of this process do between two moments."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(
            -1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        )
        self.memory.write(CODE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.call = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)(address)

    def tell(self, request: int) -> None:
        """Send one request to valgrind."""
        words = (ctypes.c_ulong * 6)(request)
        self.call(ctypes.addressof(words))

    def count(self, run: Callable[[], None]) -> None:
        """Run something, and let valgrind write down what it took."""
        self.tell(ZERO)
        run()
        self.tell(DUMP)


def read(output: Path) -> list[int]:
    """Return what was counted, in order."""
    dumps = output.parent.glob(f"{output.name}.*")
    ordered = sorted(dumps, key=lambda path: int(path.suffix[1:]))
    counts = [re.search(r"^totals: (\d+)", dump.read_text(), re.MULTILINE) for dump in ordered]
    return [int(count[1]) for count in counts if count]
