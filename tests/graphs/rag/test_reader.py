"""The reading process: answers, refusals, and files that would spoil whoever reads them."""

import subprocess
import sys

import pytest

from core.errors import DeadlineExceeded, InvalidRequest, UnsupportedMediaType
from core.settings import ROOT
from graphs.rag.reader import FileReader, _answer
from graphs.rag.reading import Reading
from tests.graphs.rag import papers

FORKS = """
import ctypes
import uvloop
from graphs.rag.reader import FileReader
from tests.graphs.rag import papers

forks = []
hook = ctypes.CFUNCTYPE(None)(lambda: forks.append(1))
ctypes.CDLL(None)["__register_atfork"](hook, None, None, None)
uvloop.run(FileReader().read(papers.docx()))
print(len(forks))
"""
"""Reads a file as a replica does, and says how often hooks of forks ran."""


def test_no_library_has_a_word_in_how_the_process_is_begun():
    done = subprocess.run(
        [sys.executable, "-c", FORKS], cwd=ROOT, capture_output=True, check=True, timeout=60
    )
    assert done.stdout.strip() == b"0", "gRPC's hook may never come back"


async def test_a_file_is_read_by_a_process_of_its_own():
    read = await FileReader().read(papers.docx())
    assert read["kind"] == "docx"
    assert "four euros" in read["text"]
    assert Reading.of(read).blocks[0].is_heading


async def test_what_is_wrong_with_a_file_is_told_to_its_sender():
    with pytest.raises(InvalidRequest, match="encrypted") as refused:
        await FileReader().read(papers.encrypted_pdf(["secret"], "password"))
    assert refused.value.param == "file"
    with pytest.raises(UnsupportedMediaType, match="send PDF"):
        await FileReader().read(b"\x00\x01\x02\x03")


async def test_a_process_that_was_killed_by_its_limits_is_told_as_a_bad_file():
    with pytest.raises(InvalidRequest, match="damaged, or hostile"):
        _answer(b"", -9)


async def test_a_reader_that_takes_too_long_is_ended():
    with pytest.raises(DeadlineExceeded):
        await FileReader(wait_s=0.01).read(papers.docx())
