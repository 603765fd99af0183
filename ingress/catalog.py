"""The models this gateway serves, by name.

Place in the path: end of step 1 (parse): a model id becomes a card and its spec. It knows what
is configured, not what is running; that is `ingress.readiness`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from core.errors import InvalidRequest, ModelNotFound, SettingsError
from core.imports import check_limits, load_spec
from core.model import ModelCard, ModelSpec, Operation


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A configured model: what it is called and what it can do."""

    card: ModelCard
    spec: ModelSpec

    def operation(self, name: str) -> Operation:
        """Raises InvalidRequest when this model cannot do it."""
        try:
            return self.spec.operations[name]
        except KeyError:
            raise InvalidRequest(
                f"the model '{self.card.id}' cannot do '{name}'; it can do: "
                + ", ".join(self.spec.operations),
                "model",
            ) from None


class Catalog:
    """Models in configured order; the first that has an operation is its default."""

    def __init__(self, cards: Iterable[ModelCard]) -> None:
        self._models: dict[str, ServedModel] = {}
        self._names: dict[str, ServedModel] = {}
        for card in cards:
            spec = load_spec(card.spec)
            check_limits(card, spec)
            self._add(ServedModel(card, spec))

    def _add(self, model: ServedModel) -> None:
        self._models[model.card.id] = model
        for name in (model.card.id, *model.card.aliases):
            if name in self._names:
                raise SettingsError(f"two models are called {name!r}", "models")
            self._names[name] = model

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    def find(self, name: str | None, operation: str) -> ServedModel:
        """The model called `name`, or the default for `operation` when no name is given.

        Raises:
            ModelNotFound: nothing of that name is configured.
        """
        if name is None:
            return self._default(operation)
        return self.named(name)

    def named(self, name: str) -> ServedModel:
        """The model called `name`. Raises ModelNotFound."""
        try:
            return self._names[name]
        except KeyError:
            raise ModelNotFound(
                f"The model '{name[:200]}' does not exist or you do not have access to it.",
                "model",
            ) from None

    def _default(self, operation: str) -> ServedModel:
        for model in self:
            if operation in model.spec.operations:
                return model
        raise ModelNotFound(f"no model here can do '{operation}'", "model")
