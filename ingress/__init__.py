"""HTTP only: dialects, the request path, rendering of answers and errors.

Place in the path: from the socket to the deployment handle and back. `ingress.path` is the
request path itself, on one screen. No model code and no accounting rules live here.
"""
