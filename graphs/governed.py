"""What stands behind the request path, built once: stores, accounts, admission, dispatch.

Place in the path: the composition root that the gateway and the jobs application share, so that a
call made by a job is governed exactly as one made over HTTP. It decides nothing about a request
and has no routes.
"""

import asyncio

from pydantic import Field

from auth.database import Database
from auth.directory import Directory
from auth.epochs import Epochs
from auth.estimates import Estimates
from auth.identify import Identifier
from auth.isolation import TenantSalts
from auth.keys import KeyHasher
from auth.limits import Limits
from auth.live_files import LiveFiles, live_plans, live_prices
from auth.pipeline import Pipeline
from auth.plans import read_plans
from auth.prices import read_prices
from auth.promises import ValkeyPromises
from auth.shared_estimates import SharedEstimates
from auth.valkey import ValkeyAdmission
from core.model import Frozen
from core.settings import ROOT, StoreSettings, state_directory
from graphs.failures import name_failures
from ingress.access_log import AccessLog
from ingress.dispatch import ServeDispatcher
from ingress.fetch import FetchSettings
from ingress.media.purge import AnswersPurge
from ingress.media.settings import MediaSettings, open_media_store
from ingress.path import Identifier as IdentifierProtocol
from ingress.path import RequestPath
from ingress.readiness import POLL_S, Readiness
from ingress.telemetry import ServeTelemetry
from ingress.turns import Turns
from ingress.waking import Waking

RENEWALS_PER_LEASE = 4


class GovernedArgs(Frozen):
    """`args` that the gateway and the jobs application have in common."""

    stores: StoreSettings = StoreSettings()
    plans: str = "plans.yaml"
    """Path of the plans, from the checkout when relative."""
    prices: str = "prices.yaml"
    """Path of the price book, from the checkout when relative."""
    answer_timeout_s: float = Field(600.0, gt=0)
    """Longest wait for a model: for a whole answer, and for each piece of a stream."""
    wake_patience_s: float = Field(30.0, ge=0)
    """How long callers wait for a sleeping model to load before they get 503 and an estimate."""
    lease_s: float = Field(60.0, gt=1)
    """How long a reservation outlives a gateway that was killed."""
    cache_ttl_s: float = Field(3600.0, gt=0)
    cache_item_bytes: int = Field(2**20, gt=0)
    """Longest answer that is cached."""
    fetch: FetchSettings = FetchSettings()
    """Limits of fetching media by URL."""
    media: MediaSettings = MediaSettings()
    """Where generated media are kept."""


class Governed:
    """The parts. Made inside the event loop that will use them.

    Args:
        look_s: between looks at which models run; the default when not said.
    """

    def __init__(self, args: GovernedArgs, look_s: float = POLL_S) -> None:
        name_failures()
        stores = args.stores
        self.pepper = stores.pepper.resolve()
        self.plans = read_plans(ROOT / args.plans)
        self.prices = read_prices(ROOT / args.prices)
        self.limits = Limits(self.plans)
        self.valkey = Pipeline(stores.redis_url.resolve(), stores.timeout_s)
        self.database = Database(stores.database_url.resolve(), stores.timeout_s)
        self.hasher = KeyHasher(self.pepper)
        epochs = Epochs(self.valkey, stores.prefix)
        self.directory = Directory(self.database, epochs, self.hasher, self.plans)
        self.admission = ValkeyAdmission(
            self.valkey, stores.prefix, args.lease_s, args.cache_ttl_s, args.cache_item_bytes
        )
        self.promises = ValkeyPromises(self.valkey, stores.prefix)
        self.media = open_media_store(
            args.media,
            state_directory(),
            self.pepper,
            self.database,
            self.plans,
            (AnswersPurge(self.admission.cache_clear),),
        )
        self.readiness = Readiness(look_s)
        self.estimates = Estimates()
        self.shared_estimates = SharedEstimates(self.estimates, self.valkey, stores.prefix)
        self.telemetry = ServeTelemetry(AccessLog(state_directory() / "logs"))
        self.turns = Turns(self.readiness, self.limits.weight, self.telemetry)
        self.files = LiveFiles(
            (
                live_plans(ROOT / args.plans, self.plans, self.directory.plans_in_use),
                live_prices(ROOT / args.prices, self.prices),
            )
        )
        self._args = args

    def path(self, identifier: IdentifierProtocol | None = None) -> RequestPath:
        """Steps 2 to 5, identifying callers by their keys unless told otherwise."""
        return RequestPath(
            identifier or Identifier(self.directory, self.hasher),
            self.admission,
            self.limits,
            ServeDispatcher(
                self.readiness,
                Waking(self.readiness, self._args.wake_patience_s),
                self.turns,
                self._args.answer_timeout_s,
            ),
            TenantSalts(self.pepper),
            self.telemetry,
            prices=self.prices,
            estimates=self.estimates,
            readiness=self.readiness,
            renew_s=self._args.lease_s / RENEWALS_PER_LEASE,
        )

    def start(self) -> list[asyncio.Task[None]]:
        """What runs beside requests. The owner watches these tasks in its health check."""
        loop = asyncio.get_running_loop()
        work = (self.readiness, self.telemetry, self.shared_estimates, self.files)
        return [loop.create_task(each.run()) for each in work]

    async def check_valkey(self) -> None:
        """Raises StoreUnavailable when Valkey does not answer."""
        await self.valkey.call("PING")

    async def check_postgresql(self) -> None:
        """Raises StoreUnavailable when PostgreSQL does not answer."""
        await self.database.execute("SELECT 1")
