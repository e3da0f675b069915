"""What the numbers depend on of the machine: its processor, cores and memory.

``platform.processor()`` is blank on most Linux, and py-cpuinfo was last released in 2022.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine() -> dict[str, str]:
    """Return what the machine is, by its names on the page; what is not known is left out."""
    known = {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.1f} GB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": platform.python_version(),
    }
    return {name: value for name, value in known.items() if value}


def _processor() -> str:
    """Return the name of the first processor, or a blank where Linux does not tell."""
    file = Path("/proc/cpuinfo")
    if not file.exists():
        return ""
    pairs = (line.partition(":") for line in file.read_text(encoding="utf-8").splitlines())
    return next((value.strip() for name, _, value in pairs if name.strip() == "model name"), "")
