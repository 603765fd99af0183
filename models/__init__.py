"""Where weights are, and the scripts that train the starter models.

Place in the path: start-up only; deployments ask `models.sources` for a directory. Nothing here
serves a request.
"""
