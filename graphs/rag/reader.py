"""Reading files in a child process, which a hostile or broken file may spoil.

Place in the path: inside the RAG graph's replica, for `read_document`. The child has little memory,
little CPU time, and no secrets in its environment; whatever becomes of it, the replica lives and
the caller is told. It decides nothing about formats: `graphs.rag.files` does.

    python -m graphs.rag.reader    a file on standard input, JSON on standard output
"""

import asyncio
import json
import resource
import signal
import subprocess
import sys
from typing import Any

from core.errors import DeadlineExceeded, InvalidRequest, UnsupportedMediaType
from core.settings import ROOT
from graphs.rag.reading import Unreadable

MEMORY_BYTES = 2 * 2**30
CPU_S = 60
WAIT_S = 180.0
"""For the child's answer: other work may have the cores meanwhile."""
AT_ONCE = 2
BEYOND = "it cannot be read within 60 seconds and 2 GiB of memory: it is damaged, or hostile"


class FileReader:
    """Children, a few at a time."""

    def __init__(self, at_once: int = AT_ONCE, wait_s: float = WAIT_S) -> None:
        self._room = asyncio.Semaphore(at_once)
        self._wait_s = wait_s

    async def read(self, data: bytes) -> dict[str, Any]:
        """What `Reading.document` says of a file.

        Raises:
            InvalidRequest: it is damaged, encrypted, too long or without words.
            UnsupportedMediaType: it is of a kind that is not read here.
            DeadlineExceeded: the machine is too busy to read it.
        """
        async with self._room:
            child = _begun()
            try:
                async with asyncio.timeout(self._wait_s):
                    output, _ = await asyncio.to_thread(child.communicate, data)
            except TimeoutError as error:
                raise DeadlineExceeded("the document could not be read in time") from error
            finally:
                child.kill()  # which ends its thread too; nothing happens when it has ended
        return await asyncio.to_thread(_answer, output, child.returncode)


def _begun() -> "subprocess.Popen[bytes]":
    """A child that waits for a file. By vfork: the event loop's own way forks, and runs in the
    child what gRPC, which Ray brings, wants done after forks; now and then that never ends.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "graphs.rag.reader"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "LANG": "C.UTF-8"},
    )


def _answer(output: bytes, status: int | None) -> dict[str, Any]:
    if status != 0 or not output:
        raise InvalidRequest(f"'file': {BEYOND}", "file")
    answer: dict[str, Any] = json.loads(output)
    if "unsupported" in answer:
        raise UnsupportedMediaType(f"'file': {answer['unsupported']}", "file")
    if "unreadable" in answer:
        raise InvalidRequest(f"'file': {answer['unreadable']}", "file")
    return answer


def _limit() -> None:
    """From here on, this process can do little harm."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _main() -> None:
    _limit()
    from graphs.rag.files import Unsupported, read_file  # noqa: PLC0415  # within the limits

    try:
        answer = read_file(sys.stdin.buffer.read()).document()
    except Unsupported as error:
        answer = {"unsupported": str(error)}
    except Unreadable as error:
        answer = {"unreadable": str(error)}
    sys.stdout.buffer.write(json.dumps(answer).encode())


if __name__ == "__main__":
    _main()
