"""Compositions of deployments: each file has `build(args) -> Application`.

Place in the path: what Ray Serve imports, as `serve_config.yaml` names it. A graph wires parts
together; it holds no model code and no accounting rules.
"""
