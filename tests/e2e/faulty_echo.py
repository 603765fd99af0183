"""An echo with a fault: it breaks on one word, as a model with a bug would."""

from dataclasses import replace

from deployments.echo import SPEC as ECHO
from deployments.echo import Echo as PlainEcho

FATAL = "break-here"


class Echo(PlainEcho):
    """Fails after the words before `FATAL`, quoting all of them: what a log must not repeat."""

    async def chat(self, request, call):
        reply = await super().chat(request, call)
        self._break_on(reply.body)
        return reply

    async def chat_stream(self, request, call):
        async for chunk in super().chat_stream(request, call):
            self._break_on(chunk.data, request)
            yield chunk

    def _break_on(self, said, cause=None):
        if FATAL.encode() in said:
            raise KeyError(str(cause or said))


SPEC = replace(ECHO, model=Echo)
