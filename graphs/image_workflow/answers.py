"""Answers: a batch of finished pictures, and what each stage did for them.

Place in the path: the end of a workflow. Pictures are base64: the same document serves a caller, a
graph that calls this one, and the gateway, which may put URLs in their place.
"""

import base64
import time
from typing import Any

from core.image_workflow import ImageWorkflowRequest
from core.model import CallContext
from graphs.image_workflow.piece import Made, Piece
from graphs.image_workflow.pixels import size_of, written


def document(
    request: ImageWorkflowRequest, pieces: list[Piece], name: str, call: CallContext
) -> dict[str, Any]:
    """The answer of a workflow. Encodes pictures: not for the event loop."""
    return {
        "id": f"imgflow-{call.request_id}",
        "object": "image.workflow",
        "created": int(time.time()),
        "model": name,
        "output_format": request.output_format,
        "data": [_picture(request, piece) for piece in pieces],
        "usage": call.done.nonzero(),
    }


def _picture(request: ImageWorkflowRequest, piece: Piece) -> dict[str, Any]:
    finished = written(piece.picture, request.output_format, request.output_compression)
    width, height = size_of(piece.picture)
    body = {
        "index": piece.index,
        "prompt": piece.planned.prompt,
        "seed": piece.seed,
        "size": f"{width}x{height}",
        "text": piece.text,
        "match": None if piece.match is None else piece.match.document(),
        "b64_json": base64.b64encode(finished).decode(),
    }
    return body | {"stages": [_stage(request, piece, made) for made in piece.made]}


def _stage(request: ImageWorkflowRequest, piece: Piece, made: Made) -> dict[str, Any]:
    """What a stage did. Its picture, if it is asked for and not the finished one."""
    body: dict[str, Any] = {"stage": made.stage} | made.facts
    if made.picture is None:
        return body
    body["is_final"] = made.picture is piece.picture
    if request.intermediates and not body["is_final"]:
        body["b64_json"] = base64.b64encode(made.picture).decode()
    return body
