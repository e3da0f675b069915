"""Code of a site, for type checkers alone: what is right, and mistakes that they are to report."""
