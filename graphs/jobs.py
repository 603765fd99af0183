"""Jobs as a Serve application: batches, videos, workflows: work that outlives its request.

Place in the path: beside the gateway. Each call that a job makes goes through the same request
path, on the rights, limits and budget of the key that asked for it. It also sweeps media that have
expired, runs that are old, and jobs that were lost between their row and their execution. It has no
HTTP route.
"""

import asyncio
from typing import Any

from pydantic import Field
from ray import serve
from ray.serve import Application

from auth.database import Database
from auth.directory import Directory
from auth.documents import DocumentBook
from auth.files import FileBook
from auth.job_executions import JobExecutions
from auth.job_news import Watch
from auth.jobs import JobBook
from auth.listening import Listener
from auth.old_runs import OldRuns
from auth.principal import Principal
from auth.waiting_jobs import WORK, WaitingJobs
from auth.webhook_tries import WebhookTries
from auth.webhooks import WebhookSigner
from auth.workflow_steps import StepBook
from core.settings import parse
from graphs.batches import Batches
from graphs.durable import Durable
from graphs.executions import Executions
from graphs.gateway import GatewayConfig
from graphs.governed import Governed, GovernedArgs
from graphs.job_starter import LEAST_S, JobStarter
from graphs.job_sweeper import JobSweeper
from graphs.orchestrator.versions import Versions
from graphs.orchestrator.workflows import Workflows
from graphs.run_retention import RunRetention
from graphs.videos import Videos
from graphs.webhook_retries import WebhookRetries
from graphs.webhooks import Webhooks, WebhookSettings
from ingress.catalog import Catalog
from ingress.fetch import MediaFetcher
from ingress.job_kind import JobKind
from ingress.media.lasting import LastingUrls
from ingress.media.sweeper import MediaSweeper
from ingress.remote_media import RemoteMedia
from ingress.route_rules import RouteRules

LOOK_S = 15.0
"""Between looks at which models run: nobody waits for a job as for an answer."""


class JobsArgs(GovernedArgs):
    """`args` of the jobs application in `serve_config.yaml`."""

    wake_patience_s: float = Field(300.0, ge=0)
    """How long calls of jobs wait for a sleeping model to load: nobody waits for them."""
    concurrency: int = Field(8, ge=1)
    """Jobs of one kind that run at once, half of them one tenant's; the others wait."""
    webhooks: WebhookSettings = WebhookSettings()
    """How those are told who asked to hear of a run's end."""


class KeyIds:
    """Step 2 for jobs: principals by the id of the key, read anew for every call.

    After the id, and a space, comes who asked for the job (`auth.jobs.Job.caller`). That was
    verified when it was asked for, and only says whom its calls are metered on.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def identify(self, key: str) -> Principal:
        key_id, _, user_id = key.partition(" ")
        principal = await self._directory.principal_of(key_id)
        if user_id in ("", principal.user_id) or principal.role is not None:
            return principal
        return principal.used_by(user_id)

    def forget(self, key: str, stale: Principal) -> None:
        """Nothing is remembered."""

    async def is_current(self, principal: Principal) -> bool:
        return True


class Jobs:
    """One process that runs jobs. What it leaves when it dies, the next one goes on with."""

    def __init__(self, args: JobsArgs) -> None:
        self.governed = governed = Governed(args, LOOK_S)
        path = governed.path(KeyIds(governed.directory))
        book = JobBook(governed.database)
        files = FileBook(governed.database)
        rules = RouteRules(LastingUrls(governed.media), RemoteMedia(MediaFetcher(args.fetch)))
        self.batches = Batches(
            path,
            book,
            files,
            governed.media,
            rules,
            governed.admission,
            args.cache_item_bytes,
        )
        self.videos = Videos(path, book, governed.media, governed.admission, governed.readiness)
        url = args.stores.database_url.resolve()
        self.workflows = Workflows(
            path,
            book,
            StepBook(governed.database),
            governed.media,
            governed.admission,
            governed.promises,
            Versions(DocumentBook(governed.database)),
        )
        tries = WebhookTries(governed.database)
        kinds: dict[str, JobKind] = {
            "batch": self.batches,
            "video": self.videos,
            "workflow": self.workflows,
            "webhook": Webhooks(args.webhooks, book, tries, WebhookSigner(governed.pepper)),
        }
        waiting = WaitingJobs(governed.database, args.concurrency)
        wanted, executions = JobExecutions(governed.database), Executions(url)
        news = Watch(LEAST_S)
        self.durable = durable = Durable(url, book, kinds, news.tell)
        heard = Database(url, args.stores.timeout_s, connections=1)
        self._beside = (
            JobStarter(waiting, wanted, durable, executions, kinds, news),
            Listener(heard, WORK, lambda _: news.tell()),
            JobSweeper(wanted, executions, book, waiting, kinds, lambda: durable.running),
            WebhookRetries(tries),
        )
        sweepers = (
            MediaSweeper(governed.media),
            RunRetention(OldRuns(governed.database, governed.plans)),
        )
        loop = asyncio.get_running_loop()
        self._background = [*governed.start(), *(loop.create_task(each.run()) for each in sweepers)]
        self._launched = False

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Serve's hook: the models that jobs may call. Jobs begin when they are known."""
        config = parse(GatewayConfig, user_config, "user_config of the jobs application")
        catalog = Catalog(config.models)
        self.batches.catalog = self.videos.catalog = self.workflows.catalog = catalog
        if not self._launched:
            self._launched = True
            await self.durable.launch()
            loop = asyncio.get_running_loop()
            self._background += [loop.create_task(each.run()) for each in self._beside]

    def check_health(self) -> None:
        """Raises when a background task has died, so that Serve replaces this replica."""
        for task in self._background:
            if task.done():
                raise RuntimeError("a task of the jobs application ended") from task.exception()


def build(args: JobsArgs) -> Application:
    """The application that runs jobs. One replica: it takes over what another one left."""
    deployment = serve.deployment(
        name="Jobs",
        num_replicas=1,
        max_ongoing_requests=100,
        max_queued_requests=100,
        health_check_period_s=5,
        graceful_shutdown_timeout_s=10,
        ray_actor_options={"num_cpus": 0.1},
    )
    application: Application = deployment(Jobs).bind(args)
    return application
