"""Old runs: rows of workflows that ended longer ago than their tenant's plan keeps things.

Place in the path: under the jobs application, which deletes them now and then. Media that runs made
have an end of their own (`auth.media`); the ledger keeps what it cost.
"""

from auth.database import Database
from auth.plans import Plans

KINDS = ("workflow", "webhook")
"""A run, and the job that told of its end."""
BATCH = 100
DELETE = """
    DELETE FROM jobs WHERE id IN (
        SELECT jobs.id FROM jobs JOIN tenants ON tenants.id = jobs.tenant_id
        WHERE tenants.plan = $1 AND jobs.kind = ANY ($2)
        AND jobs.ended_at < now() - $3 * interval '1 day' LIMIT $4
    ) AND ended_at < now() - $3 * interval '1 day' RETURNING id
"""


class OldRuns:
    """Deletes them.

    Args:
        plans: as they are at the moment: `retention_days` may change.
    """

    def __init__(self, database: Database, plans: Plans) -> None:
        self._database = database
        self._plans = plans

    async def delete(self) -> int:
        """Delete some; how many. Raises StoreUnavailable."""
        deleted = 0
        for plan in list(self._plans.values()):
            if plan.retention_days is not None:
                found = await self._database.fetch(
                    DELETE, plan.name, KINDS, plan.retention_days, BATCH
                )
                deleted += len(found)
        return deleted
