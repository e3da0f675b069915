"""`manage.py rebuild_text_digests`"""

from typing import Any

from django.core.management.base import BaseCommand

from tests.site.blog.tasks import rebuild_text_digests


class Command(BaseCommand):
    """Hands the recount over to a worker."""

    help = "Count the words of all live posts again, in the background."

    def handle(self, *args: Any, **options: Any) -> None:
        """Enqueue the task."""
        rebuild_text_digests()
        self.stdout.write("Asked for a recount of all live posts.")
