"""Benchmarks: named rows, each measured against its peer in the same run.

Place in the path: outside it. `python -m benchmarks` starts or finds a cluster, loads it over HTTP
as clients do, loads the peer alike, and writes what it saw. Nothing here is imported by the system.

    load        closed-loop HTTP/1.1 load: what sends and counts
    shots       the requests, ready for the wire
    backend     a model server that does no work, behind the peer gateway
    processes   child processes: start, wait, stop, CPU time, memory
    peers       LiteLLM's proxy and vLLM's own server
    driver      processes that work when they are told to
    bare        the families' libraries without a service, as drivers
    cluster     the Carillon cluster under test
    compare     alternating repeats and rows
    family_rows what every family is asked
    *_rows      what is measured, a module a group
    report      the table, `results/latest.json`, `docs/benchmarks.md`
"""
