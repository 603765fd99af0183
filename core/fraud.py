"""Fraud requests: analyses of rows, and the drift of what was analysed.

Place in the path: parsed once by the gateway (step 1); a detector receives the same types, rows
packed. They check shape, bounds and counts (`core.fraud_rows`); they do not judge.
"""

from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_serializer,
    field_validator,
    model_validator,
)

from core.faults import refuse_at
from core.fraud_features import FEATURES, KINDS, Kind, row_schema
from core.fraud_rows import MAX_ROWS, Rows, from_columns, from_object, from_objects
from core.model import ModelCard
from core.work import NO_WORK, WorkUnits

MAX_EXPLAINED = 1_000
"""Rows of a request that are explained: reasons are far larger, and dearer, than scores."""
READERS = {"features": from_object, "rows": from_objects, "columns": from_columns}
ANY_ROW = {"oneOf": [row_schema(kind) for kind in KINDS]}
ROW_LIST = {"type": "array", "minItems": 1, "maxItems": MAX_ROWS, "items": ANY_ROW}
COLUMN_NAMES = sorted({feature.name for kind in KINDS for feature in FEATURES[kind]})
COLUMN_LISTS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        name: {"type": "array", "minItems": 1, "maxItems": MAX_ROWS} for name in COLUMN_NAMES
    },
}


class FraudRequest(BaseModel):
    """POST /v1/fraud/analyses.

    Rows come as exactly one of `features` (one object), `rows` (a list of objects) or `columns`
    (an object of lists, the compact form of many). After validation whichever was given holds
    `Rows`; `table` is it.
    """

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    kind: Kind
    features: Annotated[Any, WithJsonSchema(ANY_ROW)] = None
    rows: Annotated[Any, WithJsonSchema(ROW_LIST)] = None
    columns: Annotated[Any, WithJsonSchema(COLUMN_LISTS)] = None
    explain: bool | None = None
    """Reasons with each result; when not said, for one row and not for several."""
    threshold: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    """Score from which a row is not approved, in place of the model's own."""

    @field_validator("features", "rows", "columns", mode="plain")
    @classmethod
    def _packed(cls, value: Any, info: ValidationInfo) -> Rows | None:
        kind = info.data.get("kind")
        # Without a kind there is nothing to check by, and `kind` is the error to tell.
        if value is None or kind is None or isinstance(value, Rows):
            return value if isinstance(value, Rows) else None
        assert info.field_name is not None
        return READERS[info.field_name](kind, value)

    @model_validator(mode="after")
    def _one_source_of_rows(self) -> Self:
        given = [name for name in READERS if getattr(self, name) is not None]
        if len(given) != 1:
            told = " and ".join(f"'{name}'" for name in given) or "none"
            refuse_at(
                (given[-1] if given else "features",),
                f"give exactly one of 'features', 'rows' and 'columns', not {told}",
            )
        if self.explain and self.table.size > MAX_EXPLAINED:
            refuse_at(
                ("explain",),
                f"at most {MAX_EXPLAINED:,} rows are explained, got {self.table.size:,}",
            )
        return self

    @field_serializer("features", "rows", "columns")
    def _digested(self, value: Rows | None) -> str | None:
        return None if value is None else value.digest()

    @property
    def table(self) -> Rows:
        """The rows, however they came."""
        given: Rows = self.features or self.rows or self.columns
        return given

    @property
    def explained(self) -> bool:
        """Whether results carry reasons."""
        return self.table.size == 1 if self.explain is None else self.explain


class DriftRequest(BaseModel):
    """GET /v1/fraud/drift: all kinds when none is named."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    kind: Kind | None = None


def estimate_fraud(request: FraudRequest, card: ModelCard) -> WorkUnits:
    """The rows; what is estimated is what is billed."""
    del card
    return WorkUnits(rows=request.table.size)


def estimate_drift(request: DriftRequest, card: ModelCard) -> WorkUnits:
    """Looking at the monitor is no work."""
    del request, card
    return NO_WORK
