"""The commands of docs/voice.md, run as they stand, against a gateway here."""

import asyncio
import re
import sys
import wave

import httpx
import pytest

from core.pcm import PCM_RATE, wav
from core.settings import ROOT
from ingress.realtime.client_events import EVENTS
from tests.deployments.sounds import tone
from tests.fakes.dispatch import KEY
from tests.fakes.voice import heard, pcm
from tests.ingress.realtime.world import served

PAGE = (ROOT / "docs" / "voice.md").read_text()
BASE = "http://127.0.0.1:8000"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
async def gateway():
    async with served() as found:
        yield found


@pytest.fixture
def run(gateway, tmp_path):
    (tmp_path / ".carillon").mkdir()
    (tmp_path / ".carillon" / "api-key").write_text(f"{KEY}\n")
    (tmp_path / "question.wav").write_bytes(wav(pcm(tone(1.0, PCM_RATE))))

    async def run(*command):
        process = await asyncio.create_subprocess_exec(
            *(part.replace(BASE, f"http://127.0.0.1:{gateway.port}") for part in command),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, out.decode()
        return out.decode()

    return run


async def test_the_commands_answer_by_sound(run, tmp_path):
    turn, stream = blocks("sh")
    await run("bash", "-ec", turn.replace("voice=alloy", "voice=high"))
    assert (tmp_path / "answer.mp3").stat().st_size > 1000
    events = await run("bash", "-ec", stream)
    assert '"voice.audio.delta"' in events
    assert "voice.done" in events.splitlines()[-2]


async def test_the_conversation_is_one(run, tmp_path):
    (program,) = blocks("python")
    said = await run(sys.executable, "-c", program.replace('"alloy"', '"high"'))
    assert said == "One two three. Four five six. (completed)\n"
    with wave.open(str(tmp_path / "answer.wav")) as answer:
        seconds, pitch = heard(answer.readframes(answer.getnframes()))
    assert (seconds, pitch) == (pytest.approx(0.28, abs=0.01), pytest.approx(880, abs=5))


def test_every_client_event_and_every_field_is_on_the_page():
    for name in EVENTS:
        stem, _, last = name.rpartition(".")
        assert name in PAGE or (stem in PAGE and f"`.{last}`" in PAGE), name
    from core.voice import VoiceRequest

    for field in set(VoiceRequest.model_fields) - {"model"}:
        assert f"`{field}`" in PAGE, field


async def test_the_page_names_the_path(gateway):
    async with httpx.AsyncClient() as client:
        response = await client.get(gateway.base_url + "/realtime")
    assert "/v1/realtime" in response.text
    assert "/v1/realtime?model=starter-voice" in PAGE
