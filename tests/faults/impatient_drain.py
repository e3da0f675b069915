"""`wagtail_worker` with short heartbeats, ending as `manage.py` does where it gives up.

Run as `python -m tests.faults.impatient_drain`, with the command's options.
"""

from __future__ import annotations

import sys

from django.core.management import CommandError

from tests.faults.impatient_worker import main

if __name__ == "__main__":
    try:
        main()
    except CommandError as error:
        sys.exit(f"CommandError: {error}")
