"""A site whose calls are traced by other people's tools."""
