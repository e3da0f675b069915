"""Pages of Wagtail's admin."""
