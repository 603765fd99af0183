"""The two networks: an LSTM and a transformer over a window of returns, and their file format.

Place in the path: trained here, loaded by a deployment. Both answer directly for all horizons, as
quantiles that cannot cross. A folder holds `config.json` (shapes, calibration) and one
safetensors file a network.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from models.starter_forecast.windows import FEATURES, HORIZONS, MEDIAN, QUANTILES, WINDOW

METHODS = ("lstm", "transformer", "ensemble")


@dataclass(frozen=True)
class Shape:
    """Sizes of both networks."""

    lstm_width: int = 96
    lstm_patch_days: int = 4
    transformer_width: int = 64
    transformer_layers: int = 2
    transformer_patch_days: int = 8
    heads: int = 4


class QuantileHead(nn.Module):  # type: ignore[misc]
    """(batch, width) to (batch, horizons, quantiles), ascending: a median and positive gaps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width, len(HORIZONS) * len(QUANTILES))
        nn.init.normal_(self.out.weight, std=0.01)
        with torch.no_grad():
            self.out.bias.copy_(_normal_start().repeat(len(HORIZONS)))

    def forward(self, state: Tensor) -> Tensor:
        raw = self.out(functional.gelu(self.hidden(state)))
        raw = raw.unflatten(1, (len(HORIZONS), len(QUANTILES)))
        middle = raw[:, :, MEDIAN : MEDIAN + 1]
        below = functional.softplus(raw[:, :, :MEDIAN]).flip(2).cumsum(2).flip(2)
        above = functional.softplus(raw[:, :, MEDIAN + 1 :]).cumsum(2)
        return torch.cat([middle - below, middle, middle + above], dim=2)


def _normal_start() -> Tensor:
    """Biases with which the head starts as the standard normal distribution."""
    z = torch.tensor([NormalDist().inv_cdf(level) for level in QUANTILES])
    gaps = z.diff()
    raw = torch.log(torch.expm1(gaps))
    return torch.cat([raw[:MEDIAN], torch.zeros(1), raw[MEDIAN:]])


class LstmForecaster(nn.Module):  # type: ignore[misc]
    """Reads the window a few days at a time; its last state knows the rest."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.patch_days = shape.lstm_patch_days
        self.lstm = nn.LSTM(FEATURES * self.patch_days, shape.lstm_width, batch_first=True)
        self.head = QuantileHead(shape.lstm_width)

    def forward(self, features: Tensor) -> Tensor:
        _, (state, _) = self.lstm(_patches(features, self.patch_days))
        quantiles: Tensor = self.head(state[-1])
        return quantiles


class TransformerForecaster(nn.Module):  # type: ignore[misc]
    """Reads patches of days (as PatchTST, Nie et al. 2023) and looks at all of them at once."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.transformer_width
        self.patch_days = shape.transformer_patch_days
        self.embed = nn.Linear(FEATURES * self.patch_days, width)
        self.position = nn.Parameter(0.02 * torch.randn(WINDOW // self.patch_days, width))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, shape.heads, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(shape.transformer_layers)
        )
        self.norm = nn.LayerNorm(2 * width)
        self.reduce = nn.Linear(2 * width, width)
        self.head = QuantileHead(width)

    def forward(self, features: Tensor) -> Tensor:
        states = self.embed(_patches(features, self.patch_days)) + self.position
        for layer in self.layers:
            states = layer(states)
        summary = torch.cat([states[:, -1], states.mean(1)], dim=1)
        quantiles: Tensor = self.head(self.reduce(self.norm(summary)))
        return quantiles


def _patches(features: Tensor, days: int) -> Tensor:
    """(batch, WINDOW, FEATURES) to (batch, WINDOW / days, days x FEATURES)."""
    return features.unflatten(1, (-1, days)).flatten(2)


class Forecasters(nn.Module):  # type: ignore[misc]
    """Both networks, their mean, and the calibration of each of the three."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.networks = nn.ModuleDict(
            {"lstm": LstmForecaster(shape), "transformer": TransformerForecaster(shape)}
        )
        self.adjustments = {m: torch.zeros(len(HORIZONS), len(QUANTILES)) for m in METHODS}

    def raw(self, features: Tensor, method: str) -> Tensor:
        """(batch, horizons, quantiles) as the network says them."""
        if method != "ensemble":
            quantiles: Tensor = self.networks[method](features)
            return quantiles
        both = [network(features) for network in self.networks.values()]
        return torch.stack(both).mean(0)

    def forward(self, features: Tensor, method: str) -> Tensor:
        """(batch, horizons, quantiles), calibrated, in units of scale x sqrt(days)."""
        adjusted = self.raw(features, method) + self.adjustments[method].to(features.device)
        return adjusted.sort(dim=2).values

    def calibrate(self, features: Tensor, actual: Tensor) -> None:
        """Shift every quantile so that on these windows it covers what it says.

        Split conformal calibration, one-sided per quantile (Romano et al. 2019).

        Args:
            features: (batch, WINDOW, FEATURES) of windows that training never saw.
            actual: (batch, horizons), as `windows.targets` gives them.
        """
        for method in METHODS:
            error = actual[:, :, None] - self.raw(features, method)
            self.adjustments[method] = torch.stack(
                [error[:, :, i].quantile(level, dim=0) for i, level in enumerate(QUANTILES)], dim=1
            )


def save(forecasters: Forecasters, folder: Path) -> None:
    """Write `folder`. Safetensors and JSON only."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "window": WINDOW,
        "horizons": HORIZONS,
        "quantiles": QUANTILES,
        "shape": asdict(forecasters.shape),
        "adjustments": {
            method: [[round(float(v), 5) for v in row] for row in table]
            for method, table in forecasters.adjustments.items()
        },
    }
    (folder / "config.json").write_text(json.dumps(config) + "\n")
    for name, network in forecasters.networks.items():
        save_file(network.state_dict(), folder / f"{name}.safetensors")


def files(forecasters: Forecasters, folder: Path) -> list[Path]:
    """What `save` writes and `load` reads."""
    return [folder / "config.json", *(folder / f"{n}.safetensors" for n in forecasters.networks)]


def load(folder: Path) -> Forecasters:
    """The forecasters in `folder`. Raises ValueError when it was made for other windows."""
    config = json.loads((folder / "config.json").read_text())
    made_for = (config["window"], tuple(config["horizons"]), tuple(config["quantiles"]))
    if made_for != (WINDOW, HORIZONS, QUANTILES):
        raise ValueError(f"{folder} was trained for other windows, horizons or quantiles")
    forecasters = Forecasters(Shape(**config["shape"]))
    for name, network in forecasters.networks.items():
        network.load_state_dict(load_file(folder / f"{name}.safetensors"))
    forecasters.adjustments = {m: torch.tensor(t) for m, t in config["adjustments"].items()}
    forecasters.eval()
    return forecasters
