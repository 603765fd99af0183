"""Answers: a batch of finished pictures, and what each stage did for them.

Place in the path: the end of a workflow. Pictures are base64: the same document serves a caller, a
graph that calls this one, and the gateway, which may put URLs in their place.
"""

import base64
import time
from typing import Any

import orjson

from core.errors import InvalidRequest
from core.image_workflow import ImageWorkflowRequest
from core.model import CallContext
from graphs.image_workflow.piece import Made, Piece
from graphs.image_workflow.pixels import size_of, written

MOST_BYTES = 60 * 2**20
"""Replicas send each other messages of 64 MiB."""


def body(request: ImageWorkflowRequest, pieces: list[Piece], name: str, call: CallContext) -> bytes:
    """The answer of a workflow as JSON. Encodes pictures: not for the event loop.

    Raises InvalidRequest when it is larger than what can travel.
    """
    answer = orjson.dumps(_document(request, pieces, name, call))
    if len(answer) > MOST_BYTES:
        raise InvalidRequest(
            f"the answer would have {len(answer)} bytes; the limit is {MOST_BYTES}: ask for 'jpeg'"
            " or 'webp', for smaller or fewer pictures, or for no 'intermediates'",
            "output_format",
        )
    return answer


def _document(
    request: ImageWorkflowRequest, pieces: list[Piece], name: str, call: CallContext
) -> dict[str, Any]:
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
