"""One run, in a process of its own: prints what was measured as the last line of its output."""

from __future__ import annotations

import json
import sys
from importlib import import_module

from benchmarks.cases import Case


def main() -> None:
    """Run the case that the command line names."""
    case = Case.from_json(sys.argv[1])
    measure = import_module(f"benchmarks.measures.{case.measure}")
    print(json.dumps(measure.run(case)))


if __name__ == "__main__":
    main()
