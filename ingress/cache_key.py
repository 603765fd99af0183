"""The cache key: a hash of everything that can change an answer.

Place in the path: step 3, part of the ask. The tenant is not in it: the store keeps each
tenant's entries apart. Fields that were not sent do not count; every field that was, does.
"""

import hashlib

from pydantic import BaseModel

from core.model import ModelCard


def cache_key(card: ModelCard, operation: str, request: BaseModel) -> str:
    """Hex SHA-256 over model id, model revision, operation and the whole validated request."""
    digest = hashlib.sha256()
    for part in (card.id, card.revision, operation):
        digest.update(f"{len(part)}:{part}".encode())
    # The model was resolved to its card: an alias and its target share entries.
    digest.update(request.model_dump_json(exclude={"model"}, exclude_unset=True).encode())
    return digest.hexdigest()
