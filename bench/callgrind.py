"""Talk to callgrind from within the program it runs: count from here to there, and write down how much that was.

Callgrind takes requests as an instruction sequence that means nothing to a real processor (`valgrind.h`); it is laid
into executable memory here, so that no compiler is needed. Known for x86-64 alone.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import re
import shutil
from pathlib import Path

INSTALL = "apt-get install valgrind"
_DUMP_AT, _START, _STOP = (0x43540000 + number for number in (3, 4, 5))
# mov rax, rdi; xor edx, edx; rol rdi, 3, 13, 61, 51; xchg rbx, rbx; mov rax, rdx; ret
_REQUEST = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
_TRIGGER = re.compile(r"^desc: Trigger: Client Request: (.+)$", re.MULTILINE)
_TOTAL = re.compile(r"^(?:summary|totals): (\d+)$", re.MULTILINE)


def why_not() -> str | None:
    """Why instructions cannot be counted here, or None."""
    if platform.machine() != "x86_64" or platform.system() != "Linux":
        return "instructions are counted on x86-64 Linux only"
    if shutil.which("valgrind") is None:
        return f"instructions are counted by callgrind; install it with: {INSTALL}"
    return None


def command(folder: Path) -> list[str]:
    """What runs a program under callgrind, uncounted until it asks; its counts go into `folder`."""
    return [
        "valgrind",
        "--tool=callgrind",
        "--quiet",
        "--instr-atstart=no",
        "--vgdb=no",
        f"--callgrind-out-file={folder}/callgrind",
    ]


def counts(folder: Path) -> dict[str, int]:
    """Instructions by the name that was given to `Collector.stop`."""
    found = {}
    for path in folder.glob("callgrind.*"):
        text = path.read_text()
        trigger, total = _TRIGGER.search(text), _TOTAL.findall(text)
        if trigger and total:
            found[trigger[1]] = int(total[-1])
    return found


class Collector:
    """Counting, from within. Without callgrind around the program nothing happens."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._memory.write(_REQUEST)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._call = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.POINTER(ctypes.c_ulong))(address)

    def start(self) -> None:
        """Count from here."""
        self._request(_START)

    def stop(self, name: str) -> None:
        """Count no more, and write down what was counted as `name`."""
        self._request(_STOP)
        self._request(_DUMP_AT, name)

    def _request(self, code: int, name: str = "") -> None:
        text = ctypes.create_string_buffer(name.encode())
        arguments = (ctypes.c_ulong * 6)(code, ctypes.addressof(text) if name else 0)
        self._call(arguments)
