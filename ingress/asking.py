"""Asking: what admission is asked for a call: which windows, how much, under which cache key.

Place in the path: step 3, before the store. It turns a call and its principal into an `Ask`, and
learns from what ended. It sends nothing.
"""

from auth.admission import Ask
from auth.estimates import Estimates
from auth.limits import Limits
from auth.prices import PriceBook
from auth.principal import Principal
from core.work import WorkUnits
from ingress.cache_key import cache_key
from ingress.call import Call


class Asking:
    """Makes asks from plans, prices, and what answers usually take."""

    def __init__(self, limits: Limits, prices: PriceBook, estimates: Estimates) -> None:
        self._limits = limits
        self._prices = prices
        self._estimates = estimates

    def ask(self, call: Call, principal: Principal) -> Ask:
        """What `call` needs. Raises SettingsError for a plan that plans.yaml lacks."""
        card = call.model.card
        cacheable = call.operation.cacheable and call.cache.write
        bound = call.operation.estimate(call.request, card)
        units = self.reserved(principal, card.id, bound)
        return Ask(
            request_id=call.request_id,
            principal=principal,
            scopes=self._limits.scopes(principal),
            units=units,
            bound=None if units is bound else bound,
            cache_key=cache_key(card, call.operation_name, call.request) if cacheable else None,
            read_cache=call.cache.read,
            share=call.cache.read,
            details={
                "endpoint": call.endpoint,
                "operation": call.operation_name,
                "model": card.id,
                "revision": card.revision,
                "streamed": call.streamed,
                "trace_id": call.trace_id,
                "prices": self._prices.version,
                "currency": self._prices.currency,
            },
            recalled_from=None if call.ends_here else card.application_name,
            prices=self._prices.of(card.id),
            once=call.once,
            promise=call.promise,
        )

    def reserved(self, principal: Principal, model_id: str, bound: WorkUnits) -> WorkUnits:
        """What is reserved for work that takes at most `bound`: what it usually takes."""
        if self._limits.is_strict(principal):
            return bound
        return self._estimates.of(principal.tenant_id, model_id, bound)

    def storage_bytes(self, call: Call, principal: Principal) -> int | None:
        """The most that the tenant may keep, where the call is about what it keeps."""
        if call.operation.tenant_field is None:
            return None
        return self._limits.storage_bytes(principal)

    def learn(self, call: Call, ask: Ask, units: WorkUnits) -> None:
        """What it took after all."""
        self._estimates.learn(ask.principal.tenant_id, call.model.card.id, ask.most, units)
