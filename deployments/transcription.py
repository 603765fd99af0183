"""Transcription: Whisper models by faster-whisper (CTranslate2).

Place in the path: step 4. A recording is decoded and heard in blocks, each segment as soon as it is
understood, in threads beside the event loop; a caller who goes away stops it after the segment in
hand. Bytes decide what a file is; what it is called does not matter.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any, TypeVar

from pydantic import Field

from core.errors import InvalidRequest
from core.model import CallContext, Chunk, Frozen, ModelSpec, Operation, Reply
from core.transcription import TranscriptionRequest, TranslationRequest, estimate_transcription
from deployments.device_time import DeviceTime
from deployments.sound import SAMPLE_RATE, Block, blocks
from deployments.transcript import Segment, Transcript, Word, delta, done, reply
from models.sources import locate

T = TypeVar("T")
FALLBACK_TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
PROMPT_CHARACTERS = 400
"""How much of the text before a block is told to the model with it."""
CLAIM_TOLERANCE_S = 1.0
"""Headers round, and encoders pad."""


class TranscriptionSettings(Frozen):
    """`engine` settings of a transcription model."""

    name: str
    """Name of the model, for logs."""
    source: str
    """Weights in CTranslate2's layout, or a hub id such as `Systran/faster-whisper-small`; see
    `models.sources`."""
    device: str = "cpu"
    device_index: int = 0
    compute_type: str = "default"
    """CTranslate2's: int8, float16, int8_float16, float32 ..."""
    cpu_threads: int = Field(0, ge=0)
    """Threads of one forward pass; 0 leaves it to CTranslate2."""
    parallel: int = Field(1, ge=1, le=16)
    """Recordings heard at the same time."""
    beam_size: int = Field(5, ge=1, le=20)
    vad_filter: bool = False
    """Leave out what is not speech, where the request does not say."""
    condition_on_previous_text: bool = True
    """Tell the model what it heard before. Small models do better without."""
    block_s: float = Field(300.0, ge=30, le=3600)
    """Seconds of a recording that are in memory, decoded, at a time."""
    max_s: float = Field(4 * 3600.0, gt=0)
    """Longest recording that is taken, in seconds."""


class Transcription:
    """One Whisper model."""

    def __init__(self, settings: TranscriptionSettings) -> None:
        from faster_whisper import WhisperModel

        self.settings = settings
        self.whisper = WhisperModel(
            locate(settings.source),
            device=settings.device,
            device_index=settings.device_index,
            compute_type=settings.compute_type,
            cpu_threads=settings.cpu_threads,
            num_workers=settings.parallel,
        )
        self.languages = frozenset(self.whisper.supported_languages)
        self.workers = ThreadPoolExecutor(settings.parallel, "transcribe")
        self.device = DeviceTime()

    async def transcribe(self, request: TranscriptionRequest, call: CallContext) -> Reply:
        """What is said, in its own language."""
        return await self._whole(request, call, "transcribe")

    async def transcribe_stream(
        self, request: TranscriptionRequest, call: CallContext
    ) -> AsyncGenerator[Chunk, None]:
        """The same as events, a segment each."""
        async with aclosing(self._events(request, call, "transcribe")) as events:
            async for event in events:
                yield event

    async def translate(self, request: TranslationRequest, call: CallContext) -> Reply:
        """What is said, in English."""
        return await self._whole(request, call, "translate")

    async def translate_stream(
        self, request: TranslationRequest, call: CallContext
    ) -> AsyncGenerator[Chunk, None]:
        """The same as events, a segment each."""
        async with aclosing(self._events(request, call, "translate")) as events:
            async for event in events:
                yield event

    async def _whole(self, request: TranslationRequest, call: CallContext, task: str) -> Reply:
        self._check(request)
        transcript = Transcript(task)
        async with aclosing(self._heard(request, call, transcript)) as heard:
            async for _ in heard:
                pass
        return reply(transcript, request)

    async def _events(
        self, request: TranslationRequest, call: CallContext, task: str
    ) -> AsyncGenerator[Chunk, None]:
        self._check(request)
        transcript = Transcript(task)
        async with aclosing(self._heard(request, call, transcript)) as heard:
            async for segment in heard:
                text = segment.text if len(transcript.segments) > 1 else segment.text.lstrip()
                yield Chunk(delta(text), transcript.units)
        yield Chunk(done(transcript), transcript.units)

    def _check(self, request: TranslationRequest) -> None:
        language = request.source_language
        if language is not None and language not in self.languages:
            raise InvalidRequest(
                f"this model does not know the language '{language}'; it knows: "
                + ", ".join(sorted(self.languages)),
                "language",
            )
        if request.wants_words and request.response_format != "verbose_json":
            raise InvalidRequest(
                "word times need the response format verbose_json", "timestamp_granularities"
            )

    async def _heard(
        self, request: TranslationRequest, call: CallContext, transcript: Transcript
    ) -> AsyncGenerator[Segment, None]:
        """Segments as they are understood; `transcript` and `call.done` are kept current."""
        reserved_s = call.reserved.audio_ms / 1000 + CLAIM_TOLERANCE_S
        source = blocks(
            request.file,
            self.settings.block_s,
            self.settings.max_s,
            reserved_s=reserved_s if call.reserved.audio_ms else None,
        )
        async for block in self._threaded(source):
            transcript.milliseconds += math.ceil(1000 * len(block.samples) / SAMPLE_RATE)
            call.done = transcript.units
            options = self._options(request, transcript)
            segments = self._segments(block, options, transcript)
            async for segment in self._threaded(segments, call):
                transcript.segments.append(segment)
                yield segment

    async def _threaded(
        self, source: Iterator[T], call: CallContext | None = None
    ) -> AsyncIterator[T]:
        """`source`, each step of it in a worker thread: the model's work for `call`, if any."""
        loop = asyncio.get_running_loop()
        while (
            item := await loop.run_in_executor(self.workers, self._next, source, call)
        ) is not None:
            yield item

    def _next(self, source: Iterator[T], call: CallContext | None) -> T | None:
        with self.device.busy(*(() if call is None else (call,))):
            return next(source, None)

    def _options(self, request: TranslationRequest, transcript: Transcript) -> dict[str, Any]:
        before = transcript.text[-PROMPT_CHARACTERS:] or None
        settings = self.settings
        follow = settings.condition_on_previous_text
        return {
            "task": transcript.task,
            "language": transcript.language or request.source_language,
            "beam_size": settings.beam_size,
            "temperature": request.temperature or FALLBACK_TEMPERATURES,
            "initial_prompt": (before if follow else None) or request.prompt or None,
            "condition_on_previous_text": follow,
            "word_timestamps": request.wants_words,
            "vad_filter": settings.vad_filter if request.vad_filter is None else request.vad_filter,
        }

    def _segments(
        self, block: Block, options: dict[str, Any], transcript: Transcript
    ) -> Iterator[Segment]:
        """Runs in a worker; the model works as segments are asked for."""
        found, info = self.whisper.transcribe(block.samples, **options)
        transcript.language = transcript.language or info.language
        for segment in found:
            # With word times, faster-whisper's numbers are numpy's, which no JSON writer takes.
            words = [
                Word(float(block.start_s + w.start), float(block.start_s + w.end), w.word)
                for w in segment.words or ()
            ]
            yield Segment(
                start=float(block.start_s + segment.start),
                end=float(block.start_s + segment.end),
                text=segment.text,
                tokens=list(segment.tokens),
                temperature=segment.temperature or 0.0,
                avg_logprob=float(segment.avg_logprob),
                compression_ratio=float(segment.compression_ratio),
                no_speech_prob=float(segment.no_speech_prob),
                words=words,
            )


SPEC = ModelSpec(
    family="transcription",
    model=Transcription,
    settings=TranscriptionSettings,
    operations={
        "transcribe": Operation(
            method="transcribe",
            stream_method="transcribe_stream",
            request=TranscriptionRequest,
            estimate=estimate_transcription,
        ),
        "translate": Operation(
            method="translate",
            stream_method="translate_stream",
            request=TranslationRequest,
            estimate=estimate_transcription,
        ),
    },
    # A recording is megabytes: few wait here, the rest at the gateway.
    options={"max_ongoing_requests": 8, "max_queued_requests": 32},
)
