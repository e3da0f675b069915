"""What the package adds to Wagtail's admin."""
