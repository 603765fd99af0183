"""Market insight requests: forecast, risk and sentiment of a coin in one report, with a chart.

Place in the path: parsed once by the gateway (step 1); the graph receives the same type. It knows
neither the models behind the report nor how the chart is drawn.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from core.forecast import (
    CONTEXT_POINTS,
    LEAST_RISK_DAYS,
    LONGEST_HORIZON,
    MOST_HISTORY_DAYS,
    Method,
    Strict,
    Symbol,
    Texts,
)
from core.model import ModelCard
from core.work import WorkUnits

CHANGE_DAYS = (7, 30)
"""Back from the last close, over which a report tells the change."""
COMMENTARY_INPUT_TOKENS = 2_048
"""More than the report's summary can become, and the words around it."""
COMMENTARY_OUTPUT_TOKENS = 256


class ChartOptions(Strict):
    """How the chart looks."""

    width: int = Field(960, ge=320, le=2400)
    """Pixels."""
    height: int = Field(540, ge=240, le=1600)
    theme: Literal["light", "dark"] = "light"


def _switch(value: Any) -> Any:
    """`true` is a chart with its defaults, `false` none."""
    return {} if value is True else None if value is False else value


class InsightRequest(Strict):
    """POST /v1/forecasts/insights."""

    model: str | None = None
    symbol: Symbol
    days: int = Field(7, ge=1, le=LONGEST_HORIZON)
    """Ahead."""
    texts: Texts | None = None
    """News and posts, for the sentiment; without them the report has none."""
    method: Method = "ensemble"
    interval: float = Field(0.9, ge=0.5, le=0.99)
    """Probability that a value lies between `lower` and `upper`."""
    history: int = Field(90, ge=2, le=1_000)
    """Days of the past in the chart."""
    window: int = Field(365, ge=LEAST_RISK_DAYS, le=MOST_HISTORY_DAYS)
    """Most days of the past that risk is measured on."""
    chart: Annotated[ChartOptions | None, BeforeValidator(_switch)] = ChartOptions()
    commentary: bool = False
    """Whether a chat model writes some sentences more, where one is configured for that."""

    @property
    def history_days(self) -> int:
        """Days to read: those of the chart, and those that changes are told over."""
        return max(self.history, max(CHANGE_DAYS) + 1)


def estimate_insights(request: InsightRequest, card: ModelCard) -> WorkUnits:
    """Upper bound: the sum of forecast, history, risk, sentiment and commentary."""
    del card
    rows = CONTEXT_POINTS + request.days + request.history_days + request.window
    units = WorkUnits(rows=rows, characters=sum(len(text) for text in request.texts or ()))
    if not request.commentary:
        return units
    return units + WorkUnits(
        input_tokens=COMMENTARY_INPUT_TOKENS, output_tokens=COMMENTARY_OUTPUT_TOKENS
    )
