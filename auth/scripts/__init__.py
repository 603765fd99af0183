"""The Lua scripts: each is one atomic step of the store.

Place in the path: sent to Valkey by `auth/valkey.py` and the ledger. This module only loads and
runs them; what they mean stands at the top of each `.lua` file.
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import hiredis

from auth.pipeline import Argument, Pipeline, Reply
from core.errors import StoreUnavailable

log = logging.getLogger(__name__)

HERE = Path(__file__).parent


class Script:
    """One script, run by digest; its text travels only when the server does not have it.

    Args:
        names: files whose texts are joined, in this order.
    """

    def __init__(self, *names: str) -> None:
        self._text = "\n".join((HERE / f"{name}.lua").read_text() for name in names)
        self._digest = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def run(
        self, store: Pipeline, keys: Sequence[Argument], arguments: Sequence[Argument]
    ) -> Reply:
        """The script's reply. Raises StoreUnavailable."""
        reply = await store.send("EVALSHA", self._digest, len(keys), *keys, *arguments)
        if not isinstance(reply, hiredis.ReplyError):
            return reply
        if not str(reply).startswith("NOSCRIPT"):
            log.error("the store failed a script: %s", reply)
            raise StoreUnavailable("the store cannot do this now", retry_after_s=1.0)
        return await store.call("EVAL", self._text, len(keys), *keys, *arguments)
