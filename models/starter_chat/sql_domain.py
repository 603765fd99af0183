"""The words of the sample schema: how people name its tables, columns and closed values.

First stop of corpus generation: ``sql_query`` builds queries over these tables and
``sql_english`` phrases them. It writes no SQL and draws no random numbers.
"""

from dataclasses import dataclass, field

COUNTRIES: dict[str, tuple[str, ...]] = {
    "Germany": ("Germany",),
    "France": ("France",),
    "Spain": ("Spain",),
    "Italy": ("Italy",),
    "Poland": ("Poland",),
    "United States": ("the United States", "the US", "the USA", "America"),
    "United Kingdom": ("the United Kingdom", "the UK", "Britain"),
    "Canada": ("Canada",),
    "Brazil": ("Brazil",),
    "India": ("India",),
    "Japan": ("Japan",),
    "Australia": ("Australia",),
}
CATEGORIES = ("books", "electronics", "clothing", "toys", "garden", "sports", "music", "food")


def _plain(*values: str) -> dict[str, tuple[str, ...]]:
    return {value: (value.replace("_", " "),) for value in values}


@dataclass(frozen=True)
class Closed:
    """A column with a closed value list; ``after`` templates take ``{v}``."""

    column: str
    values: dict[str, tuple[str, ...]]
    after: tuple[str, ...]
    adjective: bool = True
    group: tuple[str, ...] = ()

    @property
    def group_words(self) -> tuple[str, ...]:
        return self.group or (self.column,)


@dataclass(frozen=True)
class Measure:
    """A numeric column: its names, its comparisons (``{n}``), its superlatives."""

    column: str
    words: tuple[str, ...]
    more: tuple[str, ...]
    less: tuple[str, ...]
    most: tuple[str, ...]
    least: tuple[str, ...]
    limit: int = 999


@dataclass(frozen=True)
class Table:
    """One table: nouns (plural), what its date column means, and its columns."""

    name: str
    nouns: tuple[str, ...]
    date: str = ""
    verbs: tuple[str, ...] = ("created",)
    closed: tuple[Closed, ...] = ()
    measures: tuple[Measure, ...] = ()
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    owner: bool = False


def _status(*values: str) -> Closed:
    after = (
        "with status {v}",
        "that are {v}",
        "whose status is {v}",
        "where status is {v}",
        "in status {v}",
        "which are {v}",
    )
    return Closed("status", _plain(*values), after, group=("status", "state"))


def _plan() -> Closed:
    after = (
        "on the {v} plan",
        "with plan {v}",
        "with the {v} plan",
        "in the {v} tier",
        "on {v}",
        "who have the {v} plan",
    )
    return Closed("plan", _plain("free", "pro", "enterprise"), after, group=("plan", "tier"))


def _money(column: str, *words: str) -> Measure:
    first = words[0]
    return Measure(
        column,
        words,
        more=(
            "over {n}",
            "above {n}",
            f"with {first} over {{n}}",
            f"with a {first} above {{n}}",
            "worth more than {n}",
            f"where {first} is greater than {{n}}",
            "of more than {n}",
        ),
        less=(
            "under {n}",
            "below {n}",
            f"with {first} under {{n}}",
            f"with a {first} below {{n}}",
            "worth less than {n}",
            f"where {first} is less than {{n}}",
            "of less than {n}",
        ),
        most=("largest", "biggest", "highest"),
        least=("smallest", "lowest"),
    )


_PRICE = Measure(
    "price",
    ("price", "cost"),
    more=(
        "over {n}",
        "above {n}",
        "with a price above {n}",
        "that cost more than {n}",
        "priced over {n}",
        "where price is greater than {n}",
    ),
    less=(
        "under {n}",
        "below {n}",
        "with a price below {n}",
        "that cost less than {n}",
        "cheaper than {n}",
        "where price is less than {n}",
    ),
    most=("most expensive", "priciest", "highest priced"),
    least=("cheapest", "least expensive", "lowest priced"),
)
_STOCK = Measure(
    "stock",
    ("stock", "inventory", "units in stock"),
    more=("with more than {n} in stock", "with stock above {n}", "with over {n} units in stock"),
    less=(
        "with less than {n} in stock",
        "with stock below {n}",
        "with fewer than {n} in stock",
        "with under {n} units left",
    ),
    most=("best stocked",),
    least=("lowest stock",),
)
_QUANTITY = Measure(
    "quantity",
    ("quantity",),
    more=("with quantity over {n}", "with a quantity above {n}", "with more than {n} units"),
    less=("with quantity under {n}", "with a quantity below {n}", "with fewer than {n} units"),
    most=("largest", "biggest"),
    least=("smallest",),
    limit=99,
)
_RATING = Measure(
    "rating",
    ("rating", "score", "stars"),
    more=("with rating over {n}", "with more than {n} stars", "rated above {n}"),
    less=("with rating under {n}", "with less than {n} stars", "rated below {n}"),
    most=("best", "highest rated"),
    least=("worst", "lowest rated"),
    limit=5,
)

TABLES: tuple[Table, ...] = (
    Table(
        "users",
        ("users", "users", "users", "customers", "accounts", "people", "members"),
        "created_at",
        (
            "created",
            "created",
            "registered",
            "added",
            "signed up",
            "joined",
            "who signed up",
            "who joined",
            "who registered",
        ),
        (
            Closed(
                "country",
                COUNTRIES,
                (
                    "from {v}",
                    "in {v}",
                    "living in {v}",
                    "based in {v}",
                    "whose country is {v}",
                    "located in {v}",
                ),
                adjective=False,
                group=("country", "nation"),
            ),
            _status("active", "inactive", "suspended"),
            _plan(),
        ),
        columns={
            "name": ("names", "name"),
            "email": ("emails", "email addresses", "email"),
            "country": ("countries",),
        },
    ),
    Table("categories", ("categories", "product categories"), columns={"name": ("names",)}),
    Table(
        "products",
        ("products", "products", "items", "articles"),
        "created_at",
        ("created", "added", "launched", "listed"),
        (_status("available", "discontinued"),),
        (_PRICE, _STOCK),
        {"name": ("names",), "price": ("prices",)},
    ),
    Table(
        "orders",
        ("orders", "orders", "purchases", "sales"),
        "created_at",
        ("created", "placed", "made", "from", ""),
        (_status("pending", "paid", "shipped", "delivered", "cancelled", "refunded"),),
        (_money("total", "total", "amount", "value", "revenue"),),
        {"id": ("ids", "numbers"), "total": ("totals", "amounts")},
        owner=True,
    ),
    Table(
        "order_items",
        ("order items", "order lines", "line items"),
        measures=(_QUANTITY, _money("unit_price", "unit price")),
    ),
    Table(
        "payments",
        ("payments", "payments", "transactions"),
        "created_at",
        ("created", "made", "received", "from", ""),
        (
            Closed(
                "method",
                {
                    "card": ("card", "credit card"),
                    "paypal": ("paypal",),
                    "bank_transfer": ("bank transfer",),
                },
                ("by {v}", "via {v}", "paid by {v}", "made with {v}", "using {v}"),
                group=("method", "payment method"),
            ),
            _status("succeeded", "failed", "pending"),
        ),
        (_money("amount", "amount", "value"),),
        {"amount": ("amounts",)},
    ),
    Table(
        "subscriptions",
        ("subscriptions", "subscriptions", "subs"),
        "started_at",
        ("started", "created", "opened"),
        (_plan(), _status("trialing", "active", "past_due", "cancelled")),
        (_PRICE,),
        owner=True,
    ),
    Table(
        "invoices",
        ("invoices", "invoices", "bills"),
        "created_at",
        ("created", "issued", "from", ""),
        (_status("draft", "sent", "paid", "overdue"),),
        (_money("amount", "amount", "value"),),
        {"amount": ("amounts",)},
        owner=True,
    ),
    Table(
        "tickets",
        ("tickets", "tickets", "support tickets", "support requests"),
        "created_at",
        ("created", "opened", "reported", "from", ""),
        (
            _status("open", "pending", "closed"),
            Closed(
                "priority",
                _plain("low", "normal", "high", "urgent"),
                (
                    "with priority {v}",
                    "with {v} priority",
                    "of {v} priority",
                    "whose priority is {v}",
                ),
                group=("priority", "urgency"),
            ),
        ),
        columns={"subject": ("subjects", "titles")},
        owner=True,
    ),
    Table(
        "reviews",
        ("reviews", "reviews", "product reviews"),
        "created_at",
        ("created", "written", "posted", "from", ""),
        (),
        (_RATING,),
        {"rating": ("ratings", "scores")},
        owner=True,
    ),
)
BY_NAME: dict[str, Table] = {table.name: table for table in TABLES}
