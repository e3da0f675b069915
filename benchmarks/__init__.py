"""How fast it is: measured beside the alternatives, in one run, in processes of their own.

``python -m benchmarks`` runs everything. A *measure* is one question, a *contender* is who answers
it, a *case* is one contender with one set of options. All cases of a measure take turns, round by
round, so that what else the machine does meets them alike.
"""
