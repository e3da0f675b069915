"""What the numbers depend on of the machine: its processor, cores and memory."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine() -> dict[str, str]:
    """Return what the machine is, by its names on the page; what is not known is left out."""
    known = {
        "processor": _value_of(Path("/proc/cpuinfo"), "model name"),
        "cores": str(os.cpu_count()),
        "memory": _in_gigabytes(_value_of(Path("/proc/meminfo"), "MemTotal")),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": platform.python_version(),
    }
    return {name: value for name, value in known.items() if value}


def _value_of(file: Path, key: str) -> str:
    """Return what one of Linux's files of ``key: value`` lines says first, or a blank."""
    if not file.exists():
        return ""
    pairs = (line.partition(":") for line in file.read_text(encoding="utf-8").splitlines())
    return next((value.strip() for name, _, value in pairs if name.strip() == key), "")


def _in_gigabytes(told: str) -> str:
    """Return a number of kB, as the kernel tells it, in GB."""
    return f"{int(told.removesuffix(' kB')) / 1e6:.1f} GB" if told else ""
