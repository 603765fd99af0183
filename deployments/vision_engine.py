"""The engine of vision models: transformers' image-text-to-text classes, batched.

Place in the path: step 4, under `deployments.vision`. Rows that wait at the same time and are
compatible go through the model as one batch, in one thread beside the event loop. It knows no
HTTP dialect; any model folder that `AutoModelForImageTextToText` and `AutoProcessor` load works.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from pydantic import Field

from core.errors import ContextOverflow, InvalidRequest
from core.model import Frozen
from deployments.device_time import DeviceTime
from deployments.quantization import require_package
from deployments.torch_share import take_share
from deployments.vision_rows import Piece, Row
from models.sources import locate

logger = logging.getLogger("ray.serve")

LONGEST_TOKEN = 32
"""Characters per token, on average, that no text reaches: longer prompts are not even tokenized."""

DataType = Literal["auto", "float32", "bfloat16", "float16"]


class VisionEngineSettings(Frozen):
    """How a vision model is loaded and run."""

    source: str
    """Weights; see `models.sources`."""
    device: str = "cpu"
    dtype: DataType | None = None
    """None: float32 on a CPU, whatever the weights are stored in; the stored one on a GPU."""
    quantization: Mapping[str, Any] | None = None
    """transformers' `quantization_config`, e.g. {quant_method: bitsandbytes, load_in_4bit: true};
    its package must be installed."""
    processor: Mapping[str, Any] = {}
    """Options of the processor, e.g. {max_pixels: 1003520}, to bound what a picture costs."""
    max_batch: int = Field(8, ge=1)
    """Most rows that are generated together."""
    memory_fraction: float | None = Field(None, gt=0, le=1)
    """Most of the GPU's memory that this replica takes: keep it at its `num_gpus`."""
    threads: int | None = None
    """CPU threads of one forward pass; None leaves it to torch."""


class VisionEngine:
    """One model, its processor, and the thread that runs them."""

    def __init__(self, settings: VisionEngineSettings) -> None:
        if settings.quantization is not None:
            require_package(_method(settings.quantization))
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        take_share(torch, settings)
        folder = locate(settings.source)
        self.settings = settings
        self.torch = torch
        self.processor = AutoProcessor.from_pretrained(folder, **settings.processor)
        self.tokenizer = self.processor.tokenizer
        # Batches continue on the right, so they are filled up on the left.
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        model = AutoModelForImageTextToText.from_pretrained(folder, **_loading(settings)).eval()
        self.model = model if settings.quantization else model.to(settings.device)
        self.window = _window(self.model.config)
        self.ends = _ends(self.model.generation_config, self.tokenizer)
        self.temperature = _temperature(self.model.generation_config)
        self.marks = tuple(mark for mark in self.tokenizer.all_special_tokens if mark)
        self.worker = ThreadPoolExecutor(1, "vision")
        self.device = DeviceTime()
        self._waiting: list[Row] = []
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to take rows."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End after the batch that runs."""
        if self._task is not None:
            self._task.cancel()
        self.worker.shutdown(wait=False)

    def check_health(self) -> None:
        """Raises when nothing takes rows any more."""
        if self._task is not None and self._task.done():
            raise RuntimeError("the vision engine ended")

    def generate(self, row: Row) -> AsyncGenerator[Piece, None]:
        """Continue the row's conversation. Raises InvalidRequest or ContextOverflow."""
        self._waiting.append(row)
        self._arrived.set()
        return row.pieces()

    def check_text(self, text: str, param: str) -> None:
        """Refuse the model's own control tokens in a caller's words, and far too many words."""
        if len(text) > self.window * LONGEST_TOKEN:
            raise ContextOverflow(f"'{param}' is far over this model's {self.window} tokens", param)
        found = next((mark for mark in self.marks if mark in text), None)
        if found is not None:
            raise InvalidRequest(f"'{param}' contains the model's control token {found!r}", param)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            batch = self._next_batch()
            if not batch:
                self._arrived.clear()
                continue
            await loop.run_in_executor(self.worker, self._generate, batch)

    def _next_batch(self) -> list[Row]:
        """The longest-waiting row and those that may go with it."""
        self._waiting = [row for row in self._waiting if not row.cancelled]
        if not self._waiting:
            return []
        key = self._waiting[0].key
        batch = [row for row in self._waiting if row.key == key][: self.settings.max_batch]
        self._waiting = [row for row in self._waiting if row not in batch]
        return batch

    def _generate(self, batch: list[Row]) -> None:
        """Run a batch in the engine's thread; one that fails together is tried row by row."""
        try:
            with self.device.busy(*(row.call for row in batch)):
                self._pass(batch)
        except Exception as error:  # noqa: BLE001  (told to each caller)
            if len(batch) == 1:
                batch[0].fail(error)
                return
            logger.warning("a batch of %d rows failed together: %r", len(batch), error)
            for row in batch:
                if not row.done and not row.ids:
                    self._generate([row])
                elif not row.done:
                    row.fail(error)

    def _pass(self, batch: list[Row]) -> None:
        inputs = self._inputs(batch)
        rows = self._fitting(batch, inputs)
        if not rows:
            return
        if len(rows) < len(batch):
            self._pass(rows)
            return
        tap = _tap(rows, self.ends, self._decode, self.device)
        seed = rows[0].sampling.seed
        if seed is not None:
            self.torch.manual_seed(seed)
        with self.torch.inference_mode():
            self.model.generate(
                **inputs.to(self.model.device, self.model.dtype),
                **rows[0].sampling.options(),
                max_new_tokens=max(row.limit for row in rows),
                stopping_criteria=[tap],
                pad_token_id=self.tokenizer.pad_token_id,
            )
        for row in rows:
            if not row.done:
                row.fail(RuntimeError("the engine ended early"))

    def _inputs(self, rows: Sequence[Row]) -> Any:
        """Tensors of all rows, filled up on the left."""
        from jinja2 import TemplateError

        try:
            return self.processor.apply_chat_template(
                [row.messages for row in rows],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                processor_kwargs={"padding": True, "return_tensors": "pt"},
            )
        except (ValueError, TemplateError) as error:
            raise InvalidRequest(f"the model cannot take this: {error}", rows[0].param) from error

    def _fitting(self, rows: list[Row], inputs: Any) -> list[Row]:
        """Rows whose prompt leaves room for an answer; the others are told."""
        counts = inputs["attention_mask"].sum(dim=1).tolist()
        kept = []
        for row, count in zip(rows, counts, strict=True):
            row.prompt_tokens = int(count)
            room = self.window - row.prompt_tokens
            if room >= 1:
                row.limit = min(row.limit, room)
                kept.append(row)
            else:
                row.fail(
                    ContextOverflow(
                        f"the prompt has {count} tokens, pictures included; "
                        f"this model takes {self.window}",
                        row.param,
                    )
                )
        return kept

    def _decode(self, ids: list[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return text


def _tap(rows: Sequence[Row], ends: frozenset[int], decode: Any, device: DeviceTime) -> Any:
    """The hook that transformers calls after each token: hand it to its row, say which are done."""
    import torch
    from transformers import StoppingCriteria

    class Tap(StoppingCriteria):  # type: ignore[misc]
        def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
            device.tick()
            for row, token in zip(rows, input_ids[:, -1].tolist(), strict=True):
                row.add(token, ends, decode)
            done = [row.done for row in rows]
            for row in rows:
                if row.done:
                    device.leave(row.call)
            return torch.tensor(done, device=input_ids.device, dtype=torch.bool)

    return Tap()


def _method(quantization: Mapping[str, Any]) -> str:
    """As transformers reads it: bits alone mean bitsandbytes."""
    if quantization.get("load_in_4bit") or quantization.get("load_in_8bit"):
        return "bitsandbytes"
    return str(quantization.get("quant_method"))


def _loading(settings: VisionEngineSettings) -> dict[str, Any]:
    dtype = settings.dtype or ("float32" if settings.device == "cpu" else "auto")
    if settings.quantization is None:
        return {"dtype": dtype}
    from transformers.quantizers import AutoQuantizationConfig

    config = AutoQuantizationConfig.from_dict(dict(settings.quantization))
    # Quantised weights cannot be moved later; placing them at once needs accelerate.
    return {"dtype": dtype, "quantization_config": config, "device_map": settings.device}


def _window(config: Any) -> int:
    text = config.get_text_config()
    return int(getattr(text, "max_position_embeddings", None) or 2**31 - 1)


def _temperature(generation: Any) -> float:
    """What the model's makers chose for requests that do not say; 0 is greedy."""
    if not generation.do_sample:
        return 0.0
    return 1.0 if generation.temperature is None else float(generation.temperature)


def _ends(generation: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends an answer."""
    ends = generation.eos_token_id
    found = ends if isinstance(ends, list) else [ends]
    return frozenset(token for token in (*found, tokenizer.eos_token_id) if token is not None)
