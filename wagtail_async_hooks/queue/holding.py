"""Claims of this process whose outcome is not recorded yet, whatever the ledger says of them."""

from __future__ import annotations

from wagtail_async_hooks.types import Claim


class Holding:
    """The claims of all threads of a process.

    By the primary keys of their tasks: a process makes one attempt at a task at a time. Where the
    database was restored, two tasks may have had the same number, one after the other; then the
    first one's is forgotten, as its row is gone.
    """

    def __init__(self) -> None:
        self._claims: dict[int, Claim] = {}

    def add(self, claim: Claim) -> None:
        """Note a claim."""
        self._claims[claim.pk] = claim

    def discard(self, claim: Claim) -> None:
        """Forget a claim whose outcome is recorded."""
        held = self._claims.get(claim.pk)
        if held is claim or (held is not None and _names(held) == _names(claim)):
            self._claims.pop(claim.pk, None)

    def has(self, pk: int, attempt: int) -> bool:
        """Return whether an attempt at a task is held."""
        held = self._claims.get(pk)
        return held is not None and held.attempt == attempt

    def keeps(self, claim: Claim) -> bool:
        """Return whether a claim is held still."""
        return self._claims.get(claim.pk) is claim

    def all(self) -> list[Claim]:
        """Return what is held at this moment."""
        return list(self._claims.values())

    def before(self, claim: Claim, ended: Claim | None) -> Claim | None:
        """Return the attempt of the same worker at the same task that is still held, if any.

        A process without a worker's row is not told of what becomes of its claims.

        :param claim: that was claimed just now.
        :param ended: the attempt that this thread has just ended.
        """
        held = self._claims.get(claim.pk)
        if held is None or held.task_id != claim.task_id:
            return None
        if claim.worker is None or held.worker != claim.worker:
            return None
        if ended is not None and _names(held) == _names(ended):
            return None
        return held


def _names(claim: Claim) -> tuple[str, int]:
    return claim.task_id, claim.attempt
