"""What every machine of a cluster sets before Ray starts on it.

Place: `carillon up` starts Ray with it; `cluster.yaml` and the files under `deploy/` repeat it,
because others start Ray there, and a test compares them. What belongs to one machine alone is in
`cli.ray_head`.
"""

HAPROXY_CUTS_AFTER_S = 660
"""A reload ends older connections after this; longer than the gateway waits for an answer."""
MESSAGE_BYTES = 64 * 2**20
"""Largest request or answer between replicas: 2,048 embeddings do not fit Serve's 4 MiB."""

NODE_ENVIRONMENT = {
    # Ray's workers step back for everything else on a machine (nice 15): right for batches, but
    # here they are what the machine is for, and each waking of a replica waited.
    "RAY_worker_niceness": "0",
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # Replicas count requests themselves; HAProxy would log each to a Python process that parses the
    # line: a tenth of what a cached answer costs.
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(HAPROXY_CUTS_AFTER_S),
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(MESSAGE_BYTES),
}
