"""Tenants and keys for tests: each test that counts something gets a tenant of its own."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import httpx
import openai

from tests.e2e.cluster import Cluster

TIMEOUT_S = 60.0


@dataclass
class Person:
    """A tenant with one key."""

    cluster: Cluster
    tenant_id: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def http(self, at: str | None = None) -> httpx.AsyncClient:
        """A client of HAProxy, or of the gateway replica `at`."""
        return httpx.AsyncClient(
            base_url=at or self.cluster.base_url, headers=self.headers, timeout=TIMEOUT_S
        )

    def openai(self, **options) -> openai.AsyncOpenAI:
        options = {"timeout": TIMEOUT_S} | options
        return openai.AsyncOpenAI(
            base_url=f"{self.cluster.base_url}/v1", api_key=self.key, **options
        )

    async def warm(self) -> None:
        """Have every gateway remember the key. It costs nothing and leaves no row."""
        for url in self.cluster.gateway_urls():
            async with self.http(url) as client:
                response = await client.get("/v1/models")
                assert response.status_code == 200, response.text

    async def usage_rows(self) -> list[dict]:
        return await self.cluster.rows(
            "SELECT * FROM usage_records WHERE tenant_id = $1 ORDER BY admitted_at", self.tenant_id
        )

    async def answered_row(self) -> dict:
        """The row of the first answer, once settled; sleeping models may have refused before."""
        async with asyncio.timeout(10):
            while True:
                rows = [row for row in await self.usage_rows() if row["status_code"] == 200]
                if rows:
                    return rows[0]
                await asyncio.sleep(0.1)


def newcomer(cluster: Cluster, plan: str, limits: dict | None = None) -> Person:
    """A new tenant on `plan`, made by the operator's CLI, with a key made over the API.

    The key may have limits of its own, as plans.yaml writes them.
    """
    made = cluster.carillon("tenants", "create", f"a tenant on {plan}", "--plan", plan)
    tenant = re.search(r"t-[0-9a-f]{16}", made)
    assert tenant, made
    response = httpx.post(
        f"{cluster.base_url}/v1/api-keys",
        headers={"authorization": f"Bearer {cluster.api_key}"},
        json={
            "name": "first",
            "tenant_id": tenant.group(),
            "scopes": ["inference", "usage", "keys"],
            "limits": limits,
        },
        timeout=TIMEOUT_S,
    )
    assert response.status_code == 201, response.text
    return Person(cluster, tenant.group(), response.json()["key"])


async def patiently(
    client: httpx.AsyncClient, method: str, path: str, **options: Any
) -> httpx.Response:
    """A model that sleeps may take longer than a caller waits: come back when told."""
    for _ in range(8):
        answer = await client.request(method, path, **options)
        if answer.status_code != 503:
            break
        await asyncio.sleep(float(answer.headers.get("retry-after", 1)))
    return answer
