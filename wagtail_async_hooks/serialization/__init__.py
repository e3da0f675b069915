"""Values on their way to a worker: signed JSON, and a codec for each type that JSON lacks.

This file stays empty: whoever reads messages need not load Wagtail's models.
"""
