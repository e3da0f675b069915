"""Tasks made with ``django.tasks``, which Django has since 6.0."""

from django.tasks import task

from tests.work.api_functions import make_tasks

make_tasks(task, globals())
