"""Limits of conversations over a WebSocket.

Place in the path: part of the gateway's `args`. What calls cost is limited elsewhere, as for every
call; these bound what a connection holds in this gateway's memory while it costs nothing.
"""

from pydantic import Field

from core.model import Frozen


class RealtimeSettings(Frozen):
    """Of each gateway replica."""

    connections: int = Field(200, ge=0)
    """At once, of everybody. Each takes one of the gateway's `max_ongoing_requests`."""
    connections_per_key: int = Field(8, ge=1)
    """At once, of one API key or user."""
    message_bytes: int = Field(4 * 2**20, ge=4096)
    """Longest message. The server reads up to 16 MiB before it knows."""
    messages_per_s: float = Field(200.0, gt=0)
    """How many messages may come for long; thirty seconds' worth may come at once."""
    buffer_s: float = Field(120.0, gt=0)
    """Seconds of sound that may wait to be committed, and that were not yet written down."""
    items: int = Field(256, ge=2, le=256)
    """Of one conversation; the oldest are dropped, and the client is told."""
    characters: int = Field(500_000, ge=1000)
    """Of all its texts; the same."""
    idle_s: float = Field(300.0, gt=0)
    """Longest time without a message from the client, and without a response."""
    session_s: float = Field(3600.0, gt=0)
    """Longest connection."""
