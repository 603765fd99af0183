"""The older service's paths for videos, as thin aliases.

    POST /api/v1/generate/video    POST /v1/videos
    GET  /resolutions              GET  /v1/videos/resolutions

Place in the path: step 1 for older clients. Names are translated; nothing is decided here.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from auth.principal import Scope
from core.errors import NotFound
from core.videos import VideoLimits, described, sides
from ingress.call import CachePolicy
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.path import RequestPath
from ingress.responses import json_response
from ingress.video_answers import video_object
from ingress.video_jobs import VideoJobs

NAMES = {"resolution": "size", "duration": "seconds", "camera_movement": "camera"}


class GenerateVideoRequest(BaseModel):
    """POST /api/v1/generate/video."""

    model_config = ConfigDict(extra="forbid")

    prompt: str
    resolution: str | None = None
    duration: float | None = None
    fps: int | None = None
    camera_movement: str | list[str] | None = None
    model: str | None = None
    seed: int | None = None

    def as_video(self) -> dict[str, Any]:
        """The same request in OpenAI's words."""
        fields = self.model_dump(exclude_none=True)
        return {NAMES.get(name, name): value for name, value in fields.items()}


class VideoAliases:
    """Handlers over the same jobs."""

    def __init__(self, path: RequestPath, jobs: VideoJobs) -> None:
        self._path = path
        self._jobs = jobs

    def endpoints(self) -> list[Endpoint]:
        path = "/api/v1/generate/video"
        return [
            Endpoint("POST", path, self.generate, "Alias of /v1/videos", GenerateVideoRequest),
            Endpoint("GET", "/resolutions", self.resolutions, "Alias of /v1/videos/resolutions"),
        ]

    async def generate(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        request = await exchange.parse(GenerateVideoRequest)
        cache = CachePolicy.from_header(exchange.http.headers.get("cache-control"))
        once = exchange.next_once()
        job = await self._jobs.begin(principal, request.as_video(), cache, once=once)
        video = video_object(job)
        return json_response(
            {
                "success": True,
                "video_id": video["id"],
                "status": video["status"],
                "status_url": f"/v1/videos/{video['id']}",
                "video_url": f"/v1/videos/{video['id']}/content",
                "resolution": video["size"],
                "duration": float(video["seconds"]),
                "fps": video["fps"],
                "model": video["model"],
                "prompt": video["prompt"],
            }
        )

    async def resolutions(self, exchange: Exchange) -> Response:
        """Of the first model."""
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        models = self._jobs.models(principal)
        if not models:
            raise NotFound("no model here draws videos")
        told = described(VideoLimits.of(models[0].card))
        resolutions = [
            {"name": size, "width": sides(size)[0], "height": sides(size)[1]}
            for size in told["sizes"]
        ]
        names = {"fps": told["fps"], "camera_movements": told["camera"]}
        return json_response({"resolutions": resolutions, **names})
