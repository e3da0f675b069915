"""Wagtail's and Django's own work, moved to the background: each module is one of them."""
