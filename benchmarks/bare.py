"""Bare libraries: what somebody without a service would write, in a process of its own.

    python -m benchmarks.bare starter-vision

Each takes the requests that the service takes, and makes the same of them with the weights, threads
and options that `serve_config.yaml` gives the model of that name. The driver reads lists of
requests in JSON, a list a line, and writes the median time of a request.
"""

import base64
import io
import json
import sys
from pathlib import Path
from typing import Any, Protocol

from benchmarks.cluster import model_application, replica_environment
from benchmarks.driver import Driver, answer, timed
from core.imports import load_spec
from models.sources import locate

THREADS = "OMP_NUM_THREADS"

Request = dict[str, Any]


class Bare(Driver):
    """The library of one model, seen from the benchmark."""

    def __init__(self, model: str, scratch: Path) -> None:
        # Ray gives a replica one thread unless it is told otherwise.
        environment = {THREADS: "1"} | replica_environment(model)
        super().__init__(["benchmarks.bare", model], environment, scratch / f"bare-{model}.log")

    def answer_p50_ms(self, requests: list[Request]) -> float:
        """Median time of a request, all of them one after the other."""
        return self.p50_ms(json.dumps(requests))


class Library(Protocol):
    """Loads what the `engine` settings name, and does as requests say."""

    def __init__(self, settings: dict[str, Any]) -> None: ...

    def answer(self, request: Request) -> bytes:
        """What a caller gets, without an envelope."""
        ...


class SentenceTransformers:
    def __init__(self, settings: dict[str, Any]) -> None:
        from sentence_transformers import SentenceTransformer

        self.encoder = SentenceTransformer(locate(settings["source"]), device="cpu")

    def answer(self, request: Request) -> bytes:
        vectors: Any = self.encoder.encode(request["input"], show_progress_bar=False)
        return json.dumps([base64.b64encode(vector).decode() for vector in vectors]).encode()


class Diffusers:
    def __init__(self, settings: dict[str, Any]) -> None:
        import torch
        from diffusers import DiffusionPipeline

        self.torch, self.settings = torch, settings
        self.pipeline = DiffusionPipeline.from_pretrained(
            locate(settings["source"]), dtype=torch.float32
        )
        self.pipeline.set_progress_bar_config(disable=True)

    def answer(self, request: Request) -> bytes:
        seeds = range(request["seed"], request["seed"] + request["n"])
        pictures = self.pipeline(
            [request["prompt"]] * request["n"],
            num_inference_steps=self.settings["steps"],
            guidance_scale=self.settings["guidance"],
            generator=[self.torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        ).images
        return json.dumps([_png(picture) for picture in pictures]).encode()


class DiffusersVideo(Diffusers):
    def answer(self, request: Request) -> bytes:
        from deployments.video_files import mp4

        width, height = map(int, self.settings["drawn_size"].split("x"))
        wanted = int(request["seconds"]) * request["fps"]
        frames = self.pipeline(
            request["prompt"],
            width=width,
            height=height,
            num_frames=min(count for count in self.settings["drawn_frames"] if count >= wanted),
            num_inference_steps=self.settings["steps"],
            guidance_scale=self.settings["guidance"],
            generator=self.torch.Generator("cpu").manual_seed(request["seed"]),
            max_sequence_length=self.pipeline.tokenizer.model_max_length,
            output_type="np",
        ).frames[0]
        return mp4((frames[:wanted] * 255).round().astype("uint8"), request["fps"], "h264")


class Transformers:
    def __init__(self, settings: dict[str, Any]) -> None:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        weights = locate(settings["source"])
        self.torch = torch
        self.processor = AutoProcessor.from_pretrained(weights)
        self.model = AutoModelForImageTextToText.from_pretrained(weights, dtype=torch.float32)

    def answer(self, request: Request) -> bytes:
        from PIL import Image

        picture = Image.open(io.BytesIO(base64.b64decode(request["image"]))).convert("RGB")
        content: list[dict[str, Any]] = [
            {"type": "image", "image": picture},
            {"type": "text", "text": "Describe the picture."},
        ]
        inputs = self.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            processor_kwargs={"return_tensors": "pt"},
        )
        with self.torch.inference_mode():
            ids = self.model.generate(**inputs, max_new_tokens=64)
        text: str = self.processor.decode(ids[0], skip_special_tokens=True)
        return text.encode()


class Coqui:
    def __init__(self, settings: dict[str, Any]) -> None:
        from models.coqui import load

        self.speech = load(Path(locate(settings["source"])))

    def answer(self, request: Request) -> bytes:
        file = io.BytesIO()
        self.speech.tts_to_file(request["input"], speaker=request["voice"], file_path=file)
        return file.getvalue()


class FasterWhisper:
    def __init__(self, settings: dict[str, Any]) -> None:
        from faster_whisper import WhisperModel

        self.options = {
            name: settings[name] for name in ("beam_size", "condition_on_previous_text")
        }
        self.whisper = WhisperModel(
            locate(settings["source"]),
            device="cpu",
            compute_type=settings["compute_type"],
            cpu_threads=settings["cpu_threads"],
        )

    def answer(self, request: Request) -> bytes:
        recording = io.BytesIO(base64.b64decode(request["file"]))
        segments, _ = self.whisper.transcribe(recording, **self.options)
        return "".join(segment.text for segment in segments).strip().encode()


LIBRARIES: dict[str, type[Library]] = {
    "embeddings": SentenceTransformers,
    "image": Diffusers,
    "video": DiffusersVideo,
    "vision": Transformers,
    "speech": Coqui,
    "transcription": FasterWhisper,
}
"""By family."""


def _png(picture: Any) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def main(model: str) -> None:
    """The driver process."""
    arguments = model_application(model)["args"]
    library = LIBRARIES[load_spec(arguments["spec"]).family](arguments["engine"])
    for line in sys.stdin:
        answer(timed(library.answer, json.loads(line)))


if __name__ == "__main__":
    main(sys.argv[1])
