"""A worker that once does not hear that its claim was committed: the connection broke too early.

Run as `python -m tests.faults.forgetful_worker`, with the options of `wagtail_worker`. Stopping a
server at the very moment of the commit does the same, but only now and then.
"""

from __future__ import annotations

from typing import Any

import django
from django.db import OperationalError

from tests.faults import impatient_worker


def main() -> None:
    """Run the command."""
    django.setup()
    from wagtail_async_hooks import ledger

    real_step = ledger.step
    forgotten: list[int] = []

    def step(*args: Any, **options: Any) -> Any:
        kept, claim = real_step(*args, **options)
        if claim is not None and not forgotten:
            forgotten.append(claim.pk)
            raise OperationalError("the connection was lost during COMMIT")
        return kept, claim

    ledger.step = step
    impatient_worker.main()


if __name__ == "__main__":
    main()
