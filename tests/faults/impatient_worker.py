"""`wagtail_worker` with heartbeats so short that a test need not wait for them.

Run as `python -m tests.faults.impatient_worker`, with the command's options.
"""

from __future__ import annotations

import sys

import django
from django.core.management import call_command


def main() -> None:
    """Run the command."""
    django.setup()
    from wagtail_async_hooks.ledger import workers
    from wagtail_async_hooks.worker import maintenance

    maintenance.HEARTBEAT_INTERVAL = 0.2
    workers.HEARTBEAT_TIMEOUT = 2.0
    call_command("wagtail_worker", *sys.argv[1:])


if __name__ == "__main__":
    main()
