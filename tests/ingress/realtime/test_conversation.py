"""Conversations by OpenAI's own client over a real socket: sound in, sound out, all billed."""

import asyncio
import base64
from typing import Any

import pytest

from core.errors import ModelUnavailable
from core.pcm import PCM_RATE
from core.work import WorkUnits
from tests.deployments.sounds import tone
from tests.fakes.dispatch import principal
from tests.fakes.voice import heard, pcm
from tests.ingress.realtime.world import served, until

SOUND = base64.b64encode(pcm(tone(1.5, PCM_RATE))).decode()
TEXT = "One two three. Four five six."


@pytest.fixture
async def gateway():
    async with served() as found:
        yield found


def message(text, role="user"):
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def sound_of(events):
    parts = [e.delta for e in events if e.type == "response.output_audio.delta"]
    return b"".join(base64.b64decode(part) for part in parts)


async def test_speech_is_answered_by_speech_in_the_order_of_events_that_clients_expect(gateway):
    sound = {"input": {"turn_detection": None}, "output": {"voice": "high"}}
    session = {"instructions": "Repeat.", "audio": sound}
    async with gateway.connected(session) as connection:
        await connection.input_audio_buffer.append(audio=SOUND[: len(SOUND) // 8 * 4])
        await connection.input_audio_buffer.append(audio=SOUND[len(SOUND) // 8 * 4 :])
        await connection.input_audio_buffer.commit()
        committed = await until(connection, "conversation.item.done")
        await connection.response.create()
        events = await until(connection, "response.done")
    assert [e.type for e in committed] == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert committed[0].item_id == committed[1].item.id
    kinds = list(dict.fromkeys(e.type for e in events))
    assert kinds == [
        "response.created",
        "rate_limits.updated",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    seconds, pitch = heard(sound_of(events))
    assert (seconds, pitch) == (pytest.approx(0.28, abs=0.001), pytest.approx(880, abs=5))
    done = events[-1].response
    assert done.status == "completed"
    assert done.output[0].content[0].transcript == TEXT
    assert done.usage.total_tokens == 12
    assert done.usage.carillon == {"audio_ms": 1501, "characters": 28}
    expected = WorkUnits(input_tokens=6, output_tokens=6, characters=28, audio_ms=1501)
    assert gateway.units() == [expected]
    assert f"resp_{gateway.world.settlements()[0].request_id}" == done.id
    assert gateway.dispatcher.requests[0].instructions == "Repeat."
    (limit,) = next(e for e in events if e.type == "rate_limits.updated").rate_limits
    assert (limit.name, limit.limit) == ("tokens", 1000)
    assert 0 < limit.reset_seconds <= 60


async def test_what_was_heard_and_said_is_remembered_as_text(gateway):
    async with gateway.connected() as connection:
        for _ in range(2):
            await connection.input_audio_buffer.append(audio=SOUND)
            await connection.input_audio_buffer.commit()
            await connection.response.create()
            await until(connection, "response.done")
    history = gateway.dispatcher.requests[1].history
    assert [(turn.role, turn.content, turn.audio is None) for turn in history] == [
        ("user", TEXT, True),
        ("assistant", TEXT, True),
        ("user", None, False),
    ]
    assert len(gateway.ear.heard) == 2
    assert gateway.units()[1].audio_ms == 1501


async def test_written_words_are_answered_in_writing_where_that_is_asked_for(gateway):
    async with gateway.connected() as connection:
        await connection.conversation.item.create(item=message("One two."))
        await connection.response.create(
            response={"output_modalities": ["text"], "metadata": {"turn": "1"}}
        )
        events = await until(connection, "response.done")
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == "One two."
    done = next(e for e in events if e.type == "response.output_text.done")
    assert done.text == text
    assert not gateway.mouth.requests
    assert events[-1].response.metadata == {"turn": "1"}
    assert events[-1].response.output_modalities == ["text"]


async def test_transcripts_are_told_and_billed_by_themselves_where_the_session_asks(gateway):
    session = {
        "audio": {
            "input": {
                "turn_detection": None,
                "transcription": {"model": "whisper-1", "language": "en"},
            }
        }
    }
    async with gateway.connected(session) as connection:
        await connection.input_audio_buffer.append(audio=SOUND)
        await connection.input_audio_buffer.commit()
        await connection.response.create()
        events = await until(connection, "response.done")
    kind = "conversation.item.input_audio_transcription"
    told = {e.type: e for e in events if e.type.startswith(kind)}
    assert told[f"{kind}.delta"].delta == TEXT
    assert told[f"{kind}.completed"].transcript == TEXT
    assert told[f"{kind}.completed"].usage.seconds == pytest.approx(1.5, abs=0.01)
    assert gateway.ear.languages == ["en"]
    listened, answered = gateway.units()
    assert listened == WorkUnits(audio_ms=1501)
    assert answered == WorkUnits(input_tokens=6, output_tokens=6, characters=28)


async def test_a_transcript_that_fails_is_told_and_the_response_hears_for_itself(
    gateway, monkeypatch
):
    transcribe_stream = gateway.ear.transcribe_stream

    async def broken(request, call):
        monkeypatch.setattr(gateway.ear, "transcribe_stream", transcribe_stream)
        raise ModelUnavailable("it stopped")
        yield

    monkeypatch.setattr(gateway.ear, "transcribe_stream", broken)
    session: Any = {"audio": {"input": {"turn_detection": None, "transcription": {}}}}
    async with gateway.connected(session) as connection:
        await connection.input_audio_buffer.append(audio=SOUND)
        await connection.input_audio_buffer.commit()
        await connection.response.create()
        events = await until(connection, "response.done")
    failed = next(e for e in events if e.type.endswith("transcription.failed"))
    assert failed.error.code == "model_unavailable"
    assert events[-1].response.status == "completed"


async def test_turns_are_found_in_what_is_said(gateway):
    quiet = bytes(48 * 700)
    stream = quiet + pcm(tone(0.6, PCM_RATE)) + quiet
    async with gateway.connected({"audio": {"input": {}}}) as connection:
        for at in range(0, len(stream), 4800):
            piece = base64.b64encode(stream[at : at + 4800]).decode()
            await connection.input_audio_buffer.append(audio=piece)
        events = await until(connection, "response.done")
    told = {e.type: e for e in events}
    started = told["input_audio_buffer.speech_started"]
    stopped = told["input_audio_buffer.speech_stopped"]
    assert started.audio_start_ms == pytest.approx(400, abs=20)
    assert stopped.audio_end_ms == pytest.approx(1800, abs=40)
    assert told["input_audio_buffer.committed"].item_id == started.item_id == stopped.item_id
    seconds, pitch = heard(gateway.ear.heard[0][44:])
    assert seconds == pytest.approx(1.4, abs=0.05)
    assert pitch == pytest.approx(440, abs=5)
    assert events[-1].response.status == "completed"


async def test_who_speaks_interrupts_the_answer():
    async with (
        served(sentence_s=5.0) as gateway,
        gateway.connected({"audio": {"input": {}}}) as connection,
    ):
        await connection.conversation.item.create(item=message("One two."))
        await connection.response.create()
        await until(connection, "response.output_audio_transcript.delta")
        await connection.input_audio_buffer.append(audio=SOUND)
        events = await until(connection, "response.done")
    assert "input_audio_buffer.speech_started" in [e.type for e in events]
    done = events[-1].response
    assert (done.status, done.status_details.reason) == ("cancelled", "turn_detected")


async def test_a_response_that_is_cancelled_stops_the_models_and_is_billed_to_there():
    async with served(word_ms=20) as gateway:
        async with gateway.connected() as connection:
            await connection.conversation.item.create(item=message("word " * 40))
            await connection.response.create()
            await until(connection, "response.output_audio_transcript.delta")
            await connection.response.cancel()
            events = await until(connection, "response.done")
            done = events[-1].response
            assert (done.status, done.status_details.reason) == ("cancelled", "client_cancelled")
            assert events[-2].item.status == "incomplete"
            await connection.response.cancel(event_id="again")
            (error,) = await until(connection, "error")
            assert (error.error.event_id, error.error.param) == ("again", "response_id")
            await connection.conversation.item.create(item=message("more"))
            await connection.response.create()
            assert (await until(connection, "response.done"))[-1].response.status == "completed"
        ((_, orphan), *_) = gateway.voice.orphans.reports
        assert 1 <= orphan.units.output_tokens < 20


async def test_a_client_that_goes_stops_the_models():
    async with served(word_ms=20) as gateway:
        async with gateway.connected() as connection:
            await connection.conversation.item.create(item=message("word " * 90))
            await connection.response.create()
            await until(connection, "response.output_audio_transcript.delta")
        async with asyncio.timeout(5):
            while not gateway.voice.orphans.reports:  # noqa: ASYNC110 - a fake tells nobody
                await asyncio.sleep(0.01)
        ((_, orphan),) = gateway.voice.orphans.reports
        assert 1 <= orphan.units.output_tokens < 30


async def test_items_are_inserted_fetched_cut_short_and_deleted(gateway):
    async with gateway.connected() as connection:
        await connection.conversation.item.create(item=message("One two. Three four."))
        await connection.response.create()
        events = await until(connection, "response.done")
        answer = events[-1].response.output[0].id
        await connection.conversation.item.create(
            item=message("Rules", "system") | {"id": "rules"}, previous_item_id="root"
        )
        added = (await until(connection, "conversation.item.added"))[-1]
        assert added.previous_item_id is None
        await connection.conversation.item.truncate(
            item_id=answer, content_index=0, audio_end_ms=100
        )
        assert (await until(connection, "conversation.item.truncated"))[-1].audio_end_ms == 100
        await connection.conversation.item.retrieve(item_id=answer)
        kept = (await until(connection, "conversation.item.retrieved"))[-1].item
        assert kept.content[0].transcript == "One two."
        await connection.conversation.item.delete(item_id=answer)
        await until(connection, "conversation.item.deleted")
        await connection.conversation.item.create(item=message("Now."))
        await connection.response.create()
        await until(connection, "response.done")
    history = gateway.dispatcher.requests[-1].history
    said = [(turn.role, turn.content) for turn in history]
    assert said == [("system", "Rules"), ("user", "One two. Three four."), ("user", "Now.")]


@pytest.fixture
def halted(gateway, monkeypatch):
    """Speech stops in the middle of each sentence until the event is set."""
    speak, going = gateway.mouth.speak_stream, asyncio.Event()

    async def halting(request, call):
        async for chunk in speak(request, call):
            half = len(chunk.data) // 4 * 2
            yield chunk._replace(data=chunk.data[:half])
            await going.wait()
            yield chunk._replace(data=chunk.data[half:])

    monkeypatch.setattr(gateway.mouth, "speak_stream", halting)
    return going


async def test_an_answer_that_is_cut_short_while_it_is_spoken_is_told_to_its_end(gateway, halted):
    async with gateway.connected() as connection:
        await connection.conversation.item.create(item=message("One two. Three four."))
        await connection.response.create()
        answer = (await until(connection, "response.output_audio.delta"))[-1].item_id
        await connection.conversation.item.truncate(item_id=answer, content_index=0, audio_end_ms=0)
        await until(connection, "conversation.item.truncated")
        halted.set()
        events = await until(connection, "response.done")
        assert events[-1].response.status == "completed"
        assert "response.output_audio.delta" in [e.type for e in events]
        await connection.conversation.item.create(item=message("Now."))
        await connection.response.create()
        await until(connection, "response.done")
    said = [(turn.role, turn.content) for turn in gateway.dispatcher.requests[-1].history]
    assert said == [("user", "One two. Three four."), ("user", "Now.")]


async def test_what_is_deleted_is_not_heard_to_its_end(gateway, monkeypatch):
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def endless(request, call):
        begun.set()
        try:
            await asyncio.sleep(60)
            yield
        finally:
            stopped.set()

    monkeypatch.setattr(gateway.ear, "transcribe_stream", endless)
    session: Any = {"audio": {"input": {"turn_detection": None, "transcription": {}}}}
    async with gateway.connected(session) as connection, asyncio.timeout(5):
        await connection.input_audio_buffer.append(audio=SOUND)
        await connection.input_audio_buffer.commit()
        item = (await until(connection, "conversation.item.done"))[-1].item.id
        await begun.wait()
        await connection.conversation.item.delete(item_id=item)
        await until(connection, "conversation.item.deleted")
        await stopped.wait()


async def test_a_response_beside_the_conversation_leaves_no_trace_in_it(gateway):
    async with gateway.connected() as connection:
        await connection.conversation.item.create(item=message("first") | {"id": "one"})
        items = [{"type": "item_reference", "id": "one"}, message("second")]
        await connection.response.create(response={"conversation": "none", "input": items})
        events = await until(connection, "response.done")
        assert events[-1].response.conversation_id is None
        assert "conversation.item.done" not in [e.type for e in events[3:]]
        await connection.response.create()
        await until(connection, "response.done")
    beside, main = ([t.content for t in r.history] for r in gateway.dispatcher.requests)
    assert (beside, main) == (["first", "second"], ["first"])


async def test_a_spent_budget_fails_the_response_and_keeps_the_conversation():
    async with (
        served(principal(plan="tiny")) as gateway,
        gateway.connected() as connection,
    ):
        await connection.conversation.item.create(item=message("one two three"))
        await connection.response.create()
        events = await until(connection, "response.done")
        assert events[-1].response.status == "failed"
        assert events[-1].response.status_details.error.code == "insufficient_quota"
        assert "rate_limits.updated" in [e.type for e in events]
        await connection.input_audio_buffer.clear()
        await until(connection, "input_audio_buffer.cleared")
    assert not gateway.dispatcher.requests


async def test_a_limit_of_tokens_makes_an_answer_incomplete(gateway):
    async with gateway.connected() as connection:
        await connection.conversation.item.create(item=message("abcdefghijklmnopqrstuvwxyz"))
        await connection.response.create(response={"max_output_tokens": 2})
        done = (await until(connection, "response.done"))[-1].response
    assert (done.status, done.status_details.reason) == ("incomplete", "max_output_tokens")
    assert done.max_output_tokens == 2
