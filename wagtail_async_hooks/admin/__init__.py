"""What the package adds to Wagtail's admin; and to Django's, which imports this module itself."""

from django.apps import apps

if apps.is_installed("django.contrib.admin"):
    from wagtail_async_hooks.admin import django_admin  # noqa: F401  # registers its classes
