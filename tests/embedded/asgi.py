"""The site as an ASGI application, as it is, and with a server's beginning and end."""

from django.core.asgi import get_asgi_application

from wagtail_async_hooks.embedded import lifespan

application = get_asgi_application()
with_lifespan = lifespan(application)
