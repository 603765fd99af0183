"""Who may use the cluster and how much: principals, keys, plans, admission, the ledger.

Place in the path: steps 2 (identify), 3 (admit) and 5 (settle). This package does not know
what a model is, nor HTTP: it sees principals, work units and opaque cache keys.
"""
