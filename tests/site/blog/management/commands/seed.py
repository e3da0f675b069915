"""`manage.py seed`"""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tests.site.blog.models import BlogPage
from tests.site.blog.seeding import content, users


class Command(BaseCommand):
    """Fills the site once; what has been edited or deleted since is left alone."""

    help = "Fill an empty site with pages, images, snippets and users."

    def add_arguments(self, parser: CommandParser) -> None:
        """Let tests ask for a smaller site."""
        most = len(content.articles())
        parser.add_argument(
            "--pages", type=int, default=most, help=f"how many posts to make, up to {most}"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Fill the site, and say who can log in."""
        made = content.seed(options["pages"])
        content.update_address()
        self.stdout.write(
            f"Made {BlogPage.objects.count()} posts." if made else "The site has content already."
        )
        self.stdout.write(
            f"Log in as {', '.join(users.USERS)}; the password of each is {users.PASSWORD!r}."
        )
