"""The OpenAI dialect: chat, completions, embeddings, models.

Place in the path: step 1 for the routes that the official SDKs call. Requests are OpenAI's;
answers are the model's own bytes. It holds no logic beyond naming the operation.
"""

from typing import Any

from starlette.responses import Response

from auth.principal import Principal, Scope
from core.chat import ChatRequest, CompletionRequest
from core.embedding import EmbeddingRequest
from core.errors import ModelForbidden, ModelNotFound
from ingress.catalog import Catalog, ServedModel
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.path import RequestPath
from ingress.remote_media import RemoteMedia
from ingress.rendering import openai_body
from ingress.responses import StreamResponse, answer_response, json_response
from ingress.route_rules import RouteRules, make_anew


class OpenAI:
    """Handlers over the request path."""

    def __init__(
        self, path: RequestPath, catalog: Catalog, remote: RemoteMedia | None = None
    ) -> None:
        """`remote` fetches media that messages give by URL; without it they are refused."""
        self._path = path
        self._catalog = catalog
        self._rules = RouteRules(remote=remote)

    def endpoints(self) -> list[Endpoint]:
        """The routes of this dialect, hottest first."""
        return [
            Endpoint("POST", "/v1/chat/completions", self.chat, "Chat completion", ChatRequest),
            Endpoint("POST", "/v1/completions", self.complete, "Completion", CompletionRequest),
            Endpoint("POST", "/v1/embeddings", self.embed, "Embeddings", EmbeddingRequest),
            Endpoint("GET", "/v1/models", self.models, "Models this key may use"),
            Endpoint("GET", "/v1/models/{model:path}", self.model, "One model"),
            Endpoint(
                "POST",
                "/v1/models/{model:path}/{operation}",
                self.operate,
                "Any operation of any model, in the model's own types",
            ),
        ]

    async def chat(self, exchange: Exchange) -> Response:
        return await self._run(exchange, "chat")

    async def complete(self, exchange: Exchange) -> Response:
        return await self._run(exchange, "completion")

    async def embed(self, exchange: Exchange) -> Response:
        return await self._run(exchange, "embed")

    async def operate(self, exchange: Exchange) -> Response:
        """`POST /v1/models/greeter/greet`: how a model of one's own is called."""
        parameters = exchange.http.path_params
        key = exchange.key
        principal = await self._path.identify(key, Scope.INFERENCE)
        model = self._catalog.named(parameters["model"])
        operation = parameters["operation"]
        fields = model.operation(operation).request.model_fields
        document = await exchange.document()
        if "model" in fields:
            document["model"] = model.card.id
        await self._rules.inline(operation, document)
        return await self._dispatch(exchange, key, principal, operation, document, model)

    async def models(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        data = [model_object(model) for model in self._catalog if _visible(model, principal)]
        return json_response({"object": "list", "data": data})

    async def model(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        model = self._catalog.named(exchange.http.path_params["model"])
        if not _visible(model, principal):
            raise ModelNotFound(f"The model '{model.card.id}' does not exist.", "model")
        return json_response(model_object(model))

    async def _run(self, exchange: Exchange, operation: str) -> Response:
        key = exchange.key
        principal = await self._path.identify(key, Scope.INFERENCE)
        document = await exchange.document()
        await self._rules.inline(operation, document)
        return await self._dispatch(exchange, key, principal, operation, document)

    async def _dispatch(
        self,
        exchange: Exchange,
        key: str | None,
        principal: Principal,
        operation: str,
        document: dict[str, Any],
        model: ServedModel | None = None,
    ) -> Response:
        call = exchange.call(self._catalog, operation, document, model, tenant=principal.tenant_id)
        make_anew(call)
        if call.streamed:
            stream = await self._path.stream(call, key, principal)
            return StreamResponse(stream, openai_body)
        return answer_response(await self._path.answer(call, key, principal))


def model_object(model: ServedModel) -> dict[str, Any]:
    """OpenAI's model object."""
    card = model.card
    return {
        "id": card.id,
        "object": "model",
        "created": card.created,
        "owned_by": card.owned_by,
        "family": model.spec.family,
        "operations": list(model.spec.operations),
        "context_window": card.context_window,
        "description": card.description,
    }


def _visible(model: ServedModel, principal: Principal) -> bool:
    try:
        principal.require_model(model.card.id)
    except ModelForbidden:
        return False
    return True
