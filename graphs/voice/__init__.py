"""Voice: speech in, transcription, chat, speech out, sentence by sentence.

Place in the path: a graph: to its callers a model, whose steps are models. `SPEC` is what
`serve_config.yaml` and the gateway's card name.
"""

from graphs.voice.graph import SPEC

__all__ = ["SPEC"]
