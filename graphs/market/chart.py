"""The chart of a market insight: past closes, the forecast, and the band that it may lie in.

Place in the path: the end of the graph. Drawn by matplotlib's Agg backend, without a display and
without its global state; one thread at a time. It computes nothing.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from core.market import InsightRequest
from graphs.market.summary import amount, share, signed

DPI = 100
PLAIN_FROM = 100
"""Price from which the axis has no decimals."""

Document = dict[str, Any]


@dataclass(frozen=True)
class Theme:
    """Colours of a chart. The two lines differ in lightness too, and in being dashed."""

    paper: str
    ink: str
    faint: str
    past: str
    ahead: str


THEMES = {
    "light": Theme("#ffffff", "#1f2933", "#cfd6dd", "#1f4e79", "#d1495b"),
    "dark": Theme("#12181f", "#e6edf3", "#39434d", "#7ab8f5", "#ff9f6b"),
}


class Chart:
    """Draws charts."""

    def png(self, request: InsightRequest, data: Document, numbers: Document) -> bytes:
        """A PNG of the size that `request.chart` says."""
        options = request.chart
        assert options is not None  # whoever calls this wants one
        theme = THEMES[options.theme]
        figure = Figure(
            figsize=(options.width / DPI, options.height / DPI),
            dpi=DPI,
            facecolor=theme.paper,
            layout="constrained",
        )
        axes = figure.add_subplot()
        _curves(axes, data, theme, request)
        _frame(axes, theme)
        _words(figure, axes, theme, numbers)
        FigureCanvasAgg(figure)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
        return file.getvalue()


def _curves(axes: Axes, data: Document, theme: Theme, request: InsightRequest) -> None:
    history, forecast = data["history"], data["forecast"]
    days, closes = _days(history), [point["value"] for point in history]
    # The forecast begins where the past ends: one line, not two with a gap.
    ahead = [days[-1], *_days(forecast)]
    middle, lower, upper = (
        [closes[-1], *(step[name] for step in forecast)] for name in ("value", "lower", "upper")
    )
    axes.plot(days, closes, color=theme.past, linewidth=1.8, label="close")
    axes.fill_between(
        ahead,
        lower,
        upper,
        color=theme.ahead,
        alpha=0.22,
        linewidth=0,
        label=f"{share(request.interval)} interval",
    )
    axes.plot(ahead, middle, color=theme.ahead, linewidth=1.8, linestyle="--", label="forecast")
    axes.axvline(days[-1], color=theme.faint, linewidth=1, linestyle=":")


def _frame(axes: Axes, theme: Theme) -> None:
    axes.set_facecolor(theme.paper)
    axes.grid(visible=True, axis="y", color=theme.faint, linewidth=0.6, alpha=0.7)
    axes.margins(x=0.01)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.faint)
    axes.tick_params(colors=theme.ink, labelsize=9)
    locator: Any = dates.AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        dates.ConciseDateFormatter(locator, show_offset=False)  # type: ignore[no-untyped-call]
    )
    axes.yaxis.set_major_formatter(FuncFormatter(_tick))
    legend = axes.legend(loc="best", frameon=False, fontsize=9)
    for text in legend.get_texts():
        text.set_color(theme.ink)


def _words(figure: Figure, axes: Axes, theme: Theme, numbers: Document) -> None:
    forecast, risk = numbers["forecast"], numbers["risk"]
    expected = signed(forecast["expected_change"])
    days = f"{forecast['days']} day" + "s" * (forecast["days"] > 1)
    title = (
        f"{numbers['symbol']}  {amount(numbers['price']['last'])},  forecast {expected} in {days}"
    )
    axes.set_title(title, loc="left", color=theme.ink, fontsize=13, fontweight="bold")
    notes = [
        f"{numbers['as_of']}, source: {numbers['source']}",
        f"value at risk (95 %, a day) {share(risk['value_at_risk']['95'])}",
        f"volatility {share(risk['volatility_annualized'])} a year",
    ]
    if (sentiment := numbers["sentiment"]) is not None:
        count = sum(sentiment["counts"].values())
        notes.append(f"{count} text{'s' * (count > 1)} {sentiment['label']}")
    figure.supxlabel("   ·   ".join(notes), color=theme.ink, fontsize=8, alpha=0.8)


def _tick(value: float, _: float) -> str:
    """A price on the axis, without decimals that say nothing."""
    return f"{value:,.0f}" if value >= PLAIN_FROM else amount(value)


def _days(points: Sequence[Document]) -> list[Any]:
    """Matplotlib's stubs want numbers, its axes take days."""
    return [date.fromisoformat(point["time"]) for point in points]
