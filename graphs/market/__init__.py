"""Market insight: sentiment, forecast and risk of a coin at the same time, told in one report.

Place in the path: step 4. To its callers this graph is a model; it calls a forecast model by its
handle, and a chat model where one is configured. Files: `insight` (the branches), `report` (the
numbers), `summary` (the text, written from the numbers), `chart` (the picture). It gives no advice.
"""

from core.market import InsightRequest, estimate_insights
from core.model import ModelSpec, Operation
from graphs.market.insight import MarketInsight, MarketSettings

SPEC = ModelSpec(
    family="market-insight",
    model=MarketInsight,
    settings=MarketSettings,
    operations={
        "insights": Operation(
            method="run",
            request=InsightRequest,
            estimate=estimate_insights,
            is_of_its_moment=True,
            makes_media=True,
        )
    },
    options={"max_ongoing_requests": 32, "max_queued_requests": 128},
)
