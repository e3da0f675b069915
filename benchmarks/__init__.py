"""How fast it is: measured beside the alternatives, in one run, in processes of their own.

``python -m benchmarks`` runs everything. A *measure* is one question, a *contender* is who answers
it, a *case* is one contender with one set of options. All cases of a measure take turns, round by
round, so that what else the machine does meets them alike.

pyperf and pytest-benchmark time a function in a loop, and asv compares the commits of one project.
What is measured here are whole processes, some of them workers, of several projects: each run on a
fresh database, on servers of its own.
"""
