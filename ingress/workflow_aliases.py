"""The older orchestrator's paths, as thin aliases.

    POST /api/v1/orchestrate  POST /v1/workflows/runs
    POST /orchestrate         the same
    GET  /task/{run_id}       GET  /v1/workflows/runs/{run_id}
    GET  /services            the models, by what they are asked for

Place in the path: step 1 for older clients. A service is a kind of request in the words of that
service's own older path; it becomes a step. Nothing is decided here.
"""

from collections.abc import Callable
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from auth.jobs import Job, JobStatus
from auth.principal import Scope
from auth.workflow_steps import ONE, StepBook
from core.errors import InvalidRequest
from core.plain import checked
from core.workflow import MOST_STEPS
from ingress.call import CachePolicy
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange, validate
from ingress.forecast import PredictRequest
from ingress.fraud import AnalyzeRequest
from ingress.images import PictureRequest
from ingress.media.origin import origin_of
from ingress.media.store import MediaStore
from ingress.path import RequestPath
from ingress.readiness import Readiness
from ingress.responses import json_response
from ingress.video_aliases import GenerateVideoRequest
from ingress.workflow_early import at_place
from ingress.workflow_media import add_urls
from ingress.workflow_runs import WorkflowRuns

Translation = Callable[[dict[str, Any]], dict[str, Any]]


def _picture(parameters: dict[str, Any]) -> dict[str, Any]:
    return validate(PictureRequest, parameters).model_dump(exclude_none=True)


def _video(parameters: dict[str, Any]) -> dict[str, Any]:
    return validate(GenerateVideoRequest, parameters).as_video()


def _prediction(parameters: dict[str, Any]) -> dict[str, Any]:
    return validate(PredictRequest, parameters).as_forecast()


def _analysis(parameters: dict[str, Any]) -> dict[str, Any]:
    analysis = validate(AnalyzeRequest, parameters).as_analysis()
    return {name: value for name, value in analysis.items() if value is not None}


SERVICES: dict[str, tuple[str, Translation]] = {
    "image": ("generate", _picture),
    "video": ("animate", _video),
    "crypto": ("forecast", _prediction),
    "fraud": ("analyse", _analysis),
    "chat": ("chat", dict),
    "speech": ("speak", dict),
}
"""By the older name: the operation, and how its parameters are called here."""
STATUSES = {JobStatus.QUEUED: "pending", JobStatus.IN_PROGRESS: "processing"}


class Task(BaseModel):
    """One call of one service."""

    model_config = ConfigDict(extra="forbid")

    task_type: Literal["image", "video", "crypto", "fraud", "chat", "speech"]
    parameters: dict[str, Any] = {}


class OrchestrateRequest(BaseModel):
    """POST /orchestrate: one task, or several."""

    model_config = ConfigDict(extra="forbid")

    task_type: str | None = None
    parameters: dict[str, Any] = {}
    tasks: list[Task] | None = Field(None, min_length=1, max_length=MOST_STEPS)
    mode: Literal["parallel", "sequential"] = "parallel"

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.tasks is None) == (self.task_type is None):
            raise ValueError("say 'task_type' or 'tasks', and not both")
        return self

    def all(self) -> list[Task]:
        """The tasks, however they came."""
        if self.tasks is not None:
            return self.tasks
        return [validate(Task, {"task_type": self.task_type, "parameters": self.parameters})]


class WorkflowAliases:
    """Handlers over the same runs."""

    def __init__(
        self,
        path: RequestPath,
        catalog: Catalog,
        readiness: Readiness,
        runs: WorkflowRuns,
        steps: StepBook,
        media: MediaStore,
    ) -> None:
        self._path = path
        self._catalog = catalog
        self._readiness = readiness
        self._runs = runs
        self._steps = steps
        self._media = media

    def endpoints(self) -> list[Endpoint]:
        paths = ("/api/v1/orchestrate", "/orchestrate")
        return [
            *(Endpoint("POST", p, self.begin, "Alias of runs", OrchestrateRequest) for p in paths),
            Endpoint("GET", "/task/{run_id}", self.show, "Alias of a run"),
            Endpoint("GET", "/services", self.services, "Models, by kind of request"),
        ]

    async def begin(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        request = validate(OrchestrateRequest, checked(await exchange.document()))
        steps = [self._step(number, task) for number, task in enumerate(request.all())]
        if request.mode == "sequential":
            for number, step in enumerate(steps[1:]):
                step["after"] = [steps[number]["id"]]
        cache = CachePolicy.from_header(exchange.http.headers.get("cache-control"))
        once = exchange.next_once()
        job = await self._runs.begin(principal, {"steps": steps}, cache, once)
        return json_response(_task_object(job) | {"status_url": f"/task/{job.id}"})

    async def show(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        job = await self._runs.find(principal, exchange.http.path_params["run_id"])
        rows = await self._steps.of_run(principal.tenant_id, job.id)
        results = {row.step: row.output for row in rows if row.item == ONE}
        order = [step["id"] for step in job.request["workflow"]["steps"]]
        told = _task_object(job) | {
            "progress": int(job.progress * 100),
            "results": [{"task": name, "result": results.get(name)} for name in order],
            "error": job.error_message,
        }
        await add_urls(told, self._media, principal.tenant_id, origin_of(exchange))
        return json_response(told)

    async def services(self, exchange: Exchange) -> Response:
        """Every service with the model that answers it, as far as the caller may use it."""
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        told = {}
        for name, (operation, _) in SERVICES.items():
            models = [model for model in self._catalog if operation in model.spec.operations]
            models = [model for model in models if principal.allows_model(model.card.id)]
            if models:
                card = models[0].card
                state = self._readiness.of(card.application_name)
                told[name] = {
                    "model": card.id,
                    "status": "unknown" if state is None else state.status.lower(),
                    "asleep": state is not None and state.asleep,
                }
        return json_response({"services": told})

    def _step(self, number: int, task: Task) -> dict[str, Any]:
        operation, translated = SERVICES[task.task_type]
        place = f"tasks.{number}.parameters"
        try:
            document = translated(task.parameters)
            name = document.pop("model", None)
            model = self._catalog.find(name if isinstance(name, str) else None, operation)
        except InvalidRequest as error:
            raise at_place(error, place) from error
        step = {"model": model.card.id, "operation": operation, "input": document}
        return {"id": f"{task.task_type}-{number}", **step}


def _task_object(job: Job) -> dict[str, Any]:
    return {"task_id": job.id, "status": STATUSES.get(job.status, job.status.value)}
