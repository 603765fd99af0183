"""The OpenAPI document: whatever an endpoint takes, it says, so that it is fuzzed."""

import re

import pytest

from core.settings import ROOT
from tests.docs.test_reference import every_endpoint

ASKED = re.compile(r"\?(\w+)=")


@pytest.fixture(scope="module")
def document():
    from ingress.openapi import openapi_document

    return openapi_document(every_endpoint(), "test")


def parameters(document, method, path):
    return {p["name"]: p for p in document["paths"][path][method]["parameters"]}


def test_every_query_parameter_of_the_page_about_the_api_is_declared(document):
    for line in (ROOT / "docs" / "api.md").read_text().splitlines():
        row = re.match(r"\| `(GET|DELETE|POST) (/[^`]*)` \|", line)
        names = set(ASKED.findall(line))
        if row and names and row[2] in document["paths"]:
            declared = parameters(document, row[1].lower(), row[2])
            assert names <= declared.keys(), row[2]


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches", "/v1/videos", "/v1/media"])
def test_lists_say_what_a_page_is(document, path):
    declared = parameters(document, "get", path)
    assert declared["limit"]["schema"]["maximum"] == 100
    assert declared["order"]["schema"]["enum"] == ["asc", "desc"]
    assert not declared["after"]["required"]


@pytest.mark.parametrize(
    ("path", "files"),
    [
        ("/v1/images/edits", {"image", "mask"}),
        ("/v1/images/variations", {"image"}),
        ("/v1/files", {"file"}),
        ("/v1/media", {"file"}),
        ("/v1/audio/transcriptions", {"file"}),
        ("/v1/videos", {"input_reference"}),
        ("/v1/rag/documents", {"file"}),
    ],
)
def test_forms_say_what_their_files_are(document, path, files):
    content = document["paths"][path]["post"]["requestBody"]["content"]
    fields = content["multipart/form-data"]["schema"]["properties"]
    assert {name for name, s in fields.items() if s.get("format") == "binary"} >= files


def test_whatever_reads_a_form_declares_its_files():
    for path in (ROOT / "ingress").rglob("*.py"):
        text = path.read_text()
        if re.search(r"await (read_form|recorded)\(", text) and "Endpoint(" in text:
            assert "files=" in text, path.name


def test_every_reference_leads_somewhere(document):
    found = set(re.findall(r"#/components/schemas/([\w-]+)", str(document["paths"])))
    assert found <= document["components"]["schemas"].keys()


def test_both_ways_to_send_a_key_are_told(document):
    assert document["components"]["securitySchemes"]["key"]["name"] == "x-api-key"
    assert {"key": []} in document["security"]
