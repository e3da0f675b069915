"""The addresses of the demo, and one for Prometheus."""

from django.urls import path

from tests.site.urls import urlpatterns as of_the_demo
from wagtail_async_hooks.prometheus import metrics

urlpatterns = [path("metrics", metrics), *of_the_demo]
