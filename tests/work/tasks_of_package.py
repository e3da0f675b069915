"""Tasks made with the package ``django_tasks``."""

from django_tasks import task

from tests.work.api_functions import make_tasks

make_tasks(task, globals())
