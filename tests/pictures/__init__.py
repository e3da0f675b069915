"""A site's own image model, which the demo does without."""
