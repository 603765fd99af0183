"""The parts of SQL assist: reading, checking, planning, explaining, improving and repairing SQL.

Place in the path: inside the graph's replica (`graphs.sql`). Nothing here calls a model but
`assistant`, and nothing executes a caller's SQL.
"""
