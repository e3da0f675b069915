"""The task queue: enqueue a call, run one attempt at it, and conclude it through the ledger."""
