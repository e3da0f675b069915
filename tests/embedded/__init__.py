"""A site whose web processes run a worker, as servers start it."""
