"""The app's configuration."""

from django.apps import AppConfig


class FidelityConfig(AppConfig):
    """Content with everything that is hard to carry, and hooks that write down what they see."""

    name = "tests.fidelity"
    label = "fidelity"
