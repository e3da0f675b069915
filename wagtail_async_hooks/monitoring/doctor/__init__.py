"""The doctor: examines how background tasks are set up and how they do, for whoever is on call.

Only what is wrong is told. Each group of findings has a module; those that need what another one
has found broken, such as the database, are not asked for.

===============  ========================================================================
``finding``      what a finding is, and the codes of all of them
``examination``  which groups there are, in which sequence
``site``         settings, modules, system checks, ``TASKS``, a blank ``BACKEND``
``database``     whether it answers, migrations, tables, SQLite's journal, PgBouncer
``notifier``     Redis, or what else notifies workers
``workers``      who lives, which queues nobody serves, releases, code, clocks
``tasks``        what nobody knows, what has another signature, what waits and why
===============  ========================================================================
"""
