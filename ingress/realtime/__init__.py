"""Conversations over a WebSocket, in the events of OpenAI's Realtime API.

    endpoint     the handshake: who, which model, how many connections
    connection   one connection: reads events, does what they say
    session      the session's settings, and what `session.update` may change
    items        the conversation, and what of it a voice call is asked
    buffer       sound that comes in; `detector` hears in it when somebody speaks
    hearing      a recording written down: a call of a transcription model
    response     one response: a call of the voice model, told as events
    outbox       events that go out
    places       how many connections there may be
    settings     the limits of all this

Place in the path: step 1, again and again: every response is one call on the request path.
"""
