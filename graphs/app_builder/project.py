"""A plan as the files of a project that runs: `npm install`, `npm run dev`.

Place in the path: inside the app builder, writer `templates`. What differs between frameworks is in
`react` and `vue`; this module says which files there are.
"""

import json
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import ModuleType

from core.apps import Framework
from graphs.app_builder import fragments, react, samples, vue
from graphs.app_builder.fragments import component_of
from graphs.app_builder.naming import pascal, slug
from graphs.app_builder.plan import Entity, Plan, ViewKind
from graphs.app_builder.templates import fill

FRAMEWORKS: dict[Framework, ModuleType] = {"react": react, "vue": vue}
COLLECTIONS: tuple[ViewKind, ...] = ("table", "list")
KEPT_IN_BROWSER = (
    "Rows are kept in the browser (`src/store.js`). To keep them on a server, replace that file;"
    " `database/schema.sql` has the tables."
)
SHOWN_ONLY = "`src/App.{end}` shows the component with rows to begin with."
Files = dict[str, str]


@dataclass(frozen=True, slots=True)
class _Project:
    """What every file of a project needs to know."""

    framework: Framework
    plan: Plan
    description: str

    @property
    def words(self) -> ModuleType:
        """What the framework calls things."""
        return FRAMEWORKS[self.framework]

    @property
    def flags(self) -> set[str]:
        return set(self.plan.actions)

    def fill(self, template: str, flags: AbstractSet[str] = frozenset(), **values: str) -> str:
        """A template of the framework's own."""
        return fill(f"{self.framework}/{template}.{self.words.END}", self.flags | flags, values)


def component_files(plan: Plan, framework: Framework, name: str, description: str) -> Files:
    """The component, and a page that shows it."""
    project = _Project(framework, plan, description)
    view = plan.views[0]
    entity = plan.entity(view.entity)
    end = project.words.END
    kind = {"collection"} if view.kind in COLLECTIONS else {view.kind}
    files = _frame(project) | {
        f"src/components/{name}.{end}": _component(project, entity, view.kind, name),
        f"src/App.{end}": project.fill("Demo", kind, component=name, table=entity.plural),
    }
    return _with_readme(project, files, SHOWN_ONLY.format(end=end))


def app_files(plan: Plan, framework: Framework, description: str) -> Files:
    """The whole app but for its database."""
    project = _Project(framework, plan, description)
    files = _frame(project)
    end = project.words.END
    for entity in plan.entities:
        for kind in _kinds(plan, entity):
            name = component_of(entity, kind)
            files[f"src/components/{name}.{end}"] = _component(project, entity, kind, name)
        files[f"src/pages/{_page_name(entity)}.{end}"] = _page(project, entity)
    if _has_dashboard(plan):
        files[f"src/components/Dashboard.{end}"] = _component(
            project, plan.entities[0], "dashboard", "Dashboard"
        )
    files[f"src/App.{end}"] = _app(project)
    files["src/store.js"] = fill(f"{framework}/store.js", set(), {"slug": slug(plan.title)})
    return _with_readme(project, files, KEPT_IN_BROWSER)


def collection_of(plan: Plan, entity: Entity) -> ViewKind:
    """How all rows of an entity are shown."""
    wanted = (view.kind for view in plan.views if view.entity == entity.name)
    return next((kind for kind in wanted if kind in COLLECTIONS), "table")


def _kinds(plan: Plan, entity: Entity) -> list[ViewKind]:
    kinds: list[ViewKind] = [collection_of(plan, entity), "detail"]
    return [*kinds, "form"] if _has_form(plan) else kinds


def _has_form(plan: Plan) -> bool:
    return plan.can("create") or plan.can("edit")


def _has_dashboard(plan: Plan) -> bool:
    return any(view.kind == "dashboard" for view in plan.views)


def _frame(project: _Project) -> Files:
    """What every project of a framework has."""
    own = f"{project.framework}/"
    values = {"slug": slug(project.plan.title), "title": project.plan.title}
    main_end = project.words.MAIN.rpartition(".")[2]
    seed = json.dumps(samples.rows(project.plan), ensure_ascii=False, indent=2)
    return {
        "package.json": fill(own + "package.json", set(), values),
        "vite.config.js": fill(own + "vite.config.js", set(), values),
        "index.html": fill("shared/index.html", set(), values | {"main_end": main_end}),
        f"src/{project.words.MAIN}": fill(own + project.words.MAIN, set(), values),
        "src/styles.css": fill("shared/styles.css", set(), values),
        "src/format.js": fill("shared/format.js", set(), values),
        "src/seed.js": fill("shared/seed.js", set(), {"seed": seed}),
    }


def _component(project: _Project, entity: Entity, kind: ViewKind, name: str) -> str:
    flags = {"references"} if fragments.references(entity) else set()
    words = project.words
    return project.fill(
        fragments.KINDS[kind],
        flags,
        component=name,
        table=entity.plural,
        label=entity.label,
        plural_label=entity.plural_label,
        heading=entity.heading.name,
        heading_type=entity.heading.type,
        heading_shown=words.shown(entity.heading),
        columns=fragments.columns(entity),
        fields=fragments.fields(entity),
        empty=fragments.empty(entity),
        inputs=words.inputs(entity),
        facts=words.facts(entity),
        tables=fragments.dashboard_tables(project.plan),
        tools=_tools(project.plan, kind),
        vue_tools="computed, ref" if project.flags & {"search", "sort"} else "computed",
        found="found" if project.plan.can("search") else "rows",
    )


def _tools(plan: Plan, kind: ViewKind) -> str:
    """What a collection imports from `format.js`."""
    names = ["shown"]
    names += ["compared"] if plan.can("sort") and kind == "table" else []
    names += ["matching"] if plan.can("search") else []
    names += ["csv", "download"] if plan.can("export") else []
    return ", ".join(sorted(names))


def _page(project: _Project, entity: Entity) -> str:
    plan, words = project.plan, project.words
    others = {field.references: field for field in fragments.references(entity)}
    options = [
        words.option(field, plan.entity(name).plural, plan.entity(name).heading.name)
        for name, field in others.items()
        if name is not None
    ]
    tools = ["tables"]
    tools += ["choices"] if options else []
    tools += ["remove"] if plan.can("delete") else []
    tools += ["save"] if _has_form(plan) else []
    return project.fill(
        "Page",
        {"references"} if options else set(),
        page=_page_name(entity),
        collection=component_of(entity, collection_of(plan, entity)),
        detail=component_of(entity, "detail"),
        form=component_of(entity, "form"),
        table=entity.plural,
        plural_label=entity.plural_label,
        heading=entity.heading.name,
        options="\n".join(options),
        store_tools=", ".join(sorted(tools)),
    )


def _app(project: _Project) -> str:
    plan, words = project.plan, project.words
    views = [(entity.plural, entity.plural_label) for entity in plan.entities]
    pages = [words.page(entity.plural, _page_name(entity)) for entity in plan.entities]
    imports = [_import(project, "pages", _page_name(entity)) for entity in plan.entities]
    if _has_dashboard(plan):
        views.insert(0, ("dashboard", "Dashboard"))
        pages.insert(0, words.page("dashboard", "Dashboard", is_dashboard=True))
        imports.insert(0, _import(project, "components", "Dashboard"))
        if project.framework == "vue":
            imports.append('import { tables } from "./store.js";')
    return project.fill(
        "App",
        title=plan.title,
        imports="\n".join(imports),
        views="\n".join(f'{{ id: "{name}", label: "{label}" }},' for name, label in views),
        pages="\n".join(pages),
    )


def _import(project: _Project, folder: str, name: str) -> str:
    return f'import {name} from "./{folder}/{name}.{project.words.END}";'


def _page_name(entity: Entity) -> str:
    return pascal(entity.plural) + "Page"


def _with_readme(project: _Project, files: Files, note: str) -> Files:
    values = {
        "title": project.plan.title,
        "description": _quoted(project.description),
        "framework_name": project.words.NAME,
        "file_rows": "\n".join(f"| `{path}` | {_role(path)} |" for path in sorted(files)),
        "data_note": note,
    }
    return {"README.md": fill("shared/README.md", set(), values)} | files


def _quoted(description: str) -> str:
    """A caller's words as a quotation: in Markdown they could be anything else."""
    marked = "".join(f"\\{c}" if c in "\\`*_[]<>#|!«»" else c for c in description.strip())
    return "\n".join(f"> {line.strip()}" for line in marked.splitlines() if line.strip())


def _role(path: str) -> str:
    folder, _, name = path.rpartition("/")
    match folder:
        case "src/components":
            return "a component"
        case "src/pages":
            return "a page: all rows, one row, a form"
    return {
        "styles.css": "how everything looks",
        "format.js": "how values are shown, compared and checked",
        "seed.js": "rows to begin with",
        "store.js": "the rows, kept in the browser",
        "package.json": "dependencies and commands",
        "vite.config.js": "the build",
        "index.html": "the page that the build begins with",
    }.get(name, "the app" if name.startswith("App") else "where the app starts")
