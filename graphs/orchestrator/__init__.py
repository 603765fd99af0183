"""The orchestrator: runs workflows that users wrote, step by step, whatever is killed meanwhile.

`workflows` is the kind of job; `execution` one run of it; `step_calls` makes a step's call through
the request path; `outputs` puts away what was answered; `values` finds what references mean.
"""
