"""RAG: documents in, and answers out that cite them."""
