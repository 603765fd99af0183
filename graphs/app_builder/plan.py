"""The plan of an app or a component: what there is, what is told of it, and how it is shown.

Place in the path: inside the app builder, between whoever reads a description (`rules`, or a chat
model) and whoever writes files. Names and labels are so narrow here that no text of a caller's can
leave its place in a file, whatever the file's language.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from core.model import Frozen

FieldType = Literal[
    "text",
    "long_text",
    "password",
    "email",
    "phone",
    "url",
    "integer",
    "number",
    "money",
    "date",
    "datetime",
    "boolean",
    "choice",
    "reference",
]
ViewKind = Literal["table", "list", "form", "detail", "dashboard"]
Action = Literal["create", "edit", "delete", "search", "sort", "export"]
ACTIONS: tuple[Action, ...] = ("create", "edit", "delete", "search", "sort", "export")

MAX_ENTITIES = 8
MAX_FIELDS = 16
MAX_CHOICES = 12
TAKEN_NAMES = {"id", "constructor", "prototype", "row", "rows", "dashboard"}
"""Names that the files need for themselves."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=40)]
Label = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[\w .,:/()+%#-]+$")]
"""Letters, digits and harmless marks: none that ends a string, a tag or an expression."""


class PlanField(Frozen):
    """One thing that is told of an entity."""

    name: Name
    label: Label
    type: FieldType = "text"
    required: bool = False
    choices: tuple[Label, ...] = Field((), max_length=MAX_CHOICES)
    """Of a `choice`."""
    references: Name | None = None
    """Of a `reference`: the name of another entity."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.name in TAKEN_NAMES:
            raise ValueError(f"'{self.name}' is taken: choose another name")
        if (self.type == "choice") != bool(self.choices):
            raise ValueError(f"'{self.name}': a choice needs choices, and nothing else has them")
        if (self.type == "reference") != (self.references is not None):
            raise ValueError(f"'{self.name}': a reference needs what it references")
        return self


class Entity(Frozen):
    """One kind of thing that the app keeps."""

    name: Name
    plural: Name
    label: Label
    plural_label: Label
    fields: tuple[PlanField, ...] = Field(min_length=1, max_length=MAX_FIELDS)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len({field.name for field in self.fields}) != len(self.fields):
            raise ValueError(f"'{self.name}' has two fields of one name")
        if self.name in TAKEN_NAMES or self.plural in TAKEN_NAMES:
            raise ValueError(f"'{self.name}' is taken: choose another name")
        return self

    @property
    def heading(self) -> PlanField:
        """The field that stands for the whole: the first short text."""
        texts = (field for field in self.fields if field.type in ("text", "email"))
        return next(texts, self.fields[0])


class View(Frozen):
    """One way of showing one entity; a dashboard shows all of them."""

    kind: ViewKind
    entity: Name


class Plan(Frozen):
    """What is to be built."""

    title: Label
    entities: tuple[Entity, ...] = Field(min_length=1, max_length=MAX_ENTITIES)
    views: tuple[View, ...] = Field(min_length=1, max_length=5 * MAX_ENTITIES)
    actions: tuple[Action, ...] = ()

    @model_validator(mode="after")
    def _names_lead_somewhere(self) -> Self:
        names = [entity.name for entity in self.entities]
        files = {entity.name.replace("_", "") for entity in self.entities}
        plurals = {entity.plural.replace("_", "") for entity in self.entities}
        if len(files) != len(names) or len(plurals) != len(names):
            raise ValueError("two entities have one name")
        for view in self.views:
            if view.entity not in names:
                raise ValueError(f"a view names '{view.entity}', which is no entity")
        for entity in self.entities:
            for field in entity.fields:
                if field.references is not None and field.references not in names:
                    raise ValueError(
                        f"'{entity.name}.{field.name}' references '{field.references}',"
                        " which is no entity"
                    )
        if len({(view.kind, view.entity) for view in self.views}) != len(self.views):
            raise ValueError("two views are the same")
        return self

    def entity(self, name: str) -> Entity:
        """The entity called `name`, which the plan has."""
        return next(entity for entity in self.entities if entity.name == name)

    def can(self, action: Action) -> bool:
        """Whether people can do it."""
        return action in self.actions
