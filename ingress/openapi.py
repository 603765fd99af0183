"""The OpenAPI document, made from the endpoint table.

Place in the path: beside it, built once at start. What it says of a request is the pydantic type
that parses it, so the document cannot drift from the code.
"""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ingress.endpoint import Endpoint
from ingress.forms import FORM_TYPE

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
FILE = {"type": "string", "format": "binary"}
REF = "#/components/schemas/{model}"


class _Schemas:
    """Schemas of every type that `table` names. Types of one name are told apart by pydantic."""

    def __init__(self, table: list[Endpoint]) -> None:
        kinds = {
            kind
            for endpoint in table
            for kind in (endpoint.request, endpoint.query, endpoint.form)
            if kind is not None
        }
        ordered = sorted(kinds, key=lambda kind: (kind.__name__, kind.__module__))
        self._refs, definitions = models_json_schema(
            [(kind, "validation") for kind in ordered], ref_template=REF
        )
        self.all: dict[str, Any] = definitions.get("$defs", {})

    def ref(self, kind: type[BaseModel]) -> dict[str, Any]:
        """A reference to a type's schema."""
        return dict(self._refs[kind, "validation"])

    def of(self, kind: type[BaseModel]) -> dict[str, Any]:
        """A type's schema itself."""
        return dict(self.all[self.ref(kind)["$ref"].rpartition("/")[2]])


def openapi_document(endpoints: Iterable[Endpoint], version: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document of every endpoint."""
    table = list(endpoints)
    schemas = _Schemas(table)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in table:
        path = endpoint.path.replace(":path}", "}")
        operation = _operation(endpoint, path, schemas)
        paths.setdefault(path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Carillon",
            "version": version,
            "description": "Many models behind one governed API.",
        },
        "paths": paths,
        "security": [{"bearer": []}, {"key": []}],
        "components": {
            "schemas": schemas.all,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _operation(endpoint: Endpoint, path: str, schemas: _Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": f"{endpoint.method.lower()}{path}",
        "parameters": _parameters(endpoint, path, schemas),
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
    if content := _content(endpoint, schemas):
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameters(endpoint: Endpoint, path: str, schemas: _Schemas) -> list[dict[str, Any]]:
    in_path = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in in_path
    ]
    if endpoint.query is not None:
        asked = schemas.of(endpoint.query)
        required = asked.get("required", ())
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in asked["properties"].items()
            if name not in in_path
        ]
    return parameters


def _content(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    """What a body may be, by media type."""
    content: dict[str, Any] = {}
    if endpoint.request is not None:
        content["application/json"] = {"schema": schemas.ref(endpoint.request)}
    if endpoint.files:
        fields = endpoint.form or endpoint.request
        form: dict[str, Any] = {"type": "object"} if fields is None else schemas.of(fields)
        files: dict[str, Any] = dict.fromkeys(endpoint.files, FILE)
        form["properties"] = form.get("properties", {}) | files
        content[FORM_TYPE] = {"schema": form}
    return content
