"""Which routes a batch can call, and the operation that each is.

Place in the path: read when a batch is asked for and when its lines are made. It is a table.
"""

OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completion",
    "/v1/embeddings": "embed",
    "/v1/rerank": "rerank",
    "/v1/images/generations": "generate",
}
