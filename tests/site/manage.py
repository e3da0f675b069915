#!/usr/bin/env python
"""Run Django's commands against the demo site."""

import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> None:
    """Run the command named on the command line."""
    # Python puts this file's own folder first, where `blog` would be importable a second time.
    sys.path[0] = str(REPOSITORY)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.site.settings")

    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
