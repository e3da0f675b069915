"""The embedded worker: inside a web process, for sites without a process for a worker.

``process`` says when a web process begins and ends with it, in a ``thread`` of its own, where
``host`` runs it while the process holds the ``lock`` of this host. All web processes of the site
stand by for it; ``limits`` says how much it takes of them.
"""
