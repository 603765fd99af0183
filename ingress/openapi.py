"""The OpenAPI document, made from the endpoint table.

Place in the path: beside it, built once at start. What it says of a request is the pydantic type
that parses it, so the document cannot drift from the code.
"""

from collections.abc import Iterable
from typing import Any

from pydantic.json_schema import models_json_schema

from ingress.endpoint import Endpoint

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
                "carillon": {
                    "type": "object",
                    "description": "Of a refusal (401, 402, 403, 429, 503): what it was decided on",
                    "required": ["step"],
                    "properties": {
                        "step": {"enum": ["identify", "admit", "dispatch", "answer"]},
                        "limit": {"type": "object", "description": "The window that is full"},
                    },
                },
            },
        }
    },
}
REF = "#/components/schemas/{model}"


def openapi_document(endpoints: Iterable[Endpoint], version: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document of every endpoint."""
    table = list(endpoints)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in table:
        path = endpoint.path.replace(":path}", "}")
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, path)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Carillon",
            "version": version,
            "description": "Many models behind one governed API.",
        },
        "paths": paths,
        "security": [{"bearer": []}],
        "components": {
            "schemas": _schemas(table),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, path: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": f"{endpoint.method.lower()}{path}",
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _path_parameters(path)
        ],
        "responses": {
            str(endpoint.status): {"description": "Success"},
            "default": {
                "description": "Error",
                "content": {"application/json": {"schema": ERROR}},
            },
        },
    }
    if endpoint.public:
        operation["security"] = []
    if endpoint.request is not None:
        schema = {"$ref": REF.format(model=endpoint.request.__name__)}
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return operation


def _path_parameters(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _schemas(table: list[Endpoint]) -> dict[str, Any]:
    types = {endpoint.request for endpoint in table if endpoint.request is not None}
    ordered = sorted(types, key=lambda kind: kind.__name__)
    _, definitions = models_json_schema(
        [(kind, "validation") for kind in ordered], ref_template=REF
    )
    schemas: dict[str, Any] = definitions.get("$defs", {})
    return schemas
