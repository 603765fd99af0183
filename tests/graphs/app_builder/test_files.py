"""The files that templates make: they parse, they are clean, and nothing leaves its place."""

import json
import re
import shutil
import subprocess
from itertools import product
from pathlib import Path

import pytest
import sqlglot

from graphs.app_builder.page import static_page
from graphs.app_builder.plan import ACTIONS, Entity, Plan, PlanField, View
from graphs.app_builder.project import app_files, component_files
from graphs.app_builder.review import Severity, review
from graphs.app_builder.rules import read_app, read_component
from graphs.app_builder.samples import rows
from graphs.app_builder.schema import schema
from graphs.app_builder.syntax import SQLGLOT, syntax_faults
from graphs.app_builder.tree import tree_faults

HERE = Path(__file__).parent
EVERYTHING = (
    "A shop. Customers have a name, an email, a phone number, a website and a birthday."
    " Orders have a number, an order date, a total, a rating, a status (open, paid, sent), notes,"
    " paid, created at, a quantity and belong to a customer."
)
DESCRIPTIONS = (
    EVERYTHING,
    EVERYTHING + " Show a dashboard. Export to CSV.",
    "A gallery of recipes as cards. Read-only.",
    "Users have an email and a password.",
    "A CRM",
)
COMPONENTS = tuple(
    f"a {kind} of tasks with title, due date, price, done and status{more}"
    for kind, more in product(
        ("table", "list", "form", "detail", "dashboard"),
        ("", ". It can be searched, sorted, exported."),
    )
)


def made(description, framework):
    plan = read_app(description).plan
    return app_files(plan, framework, description) | {
        "database/schema.sql": schema(plan, "postgresql")
    }


@pytest.mark.parametrize("framework", ["react", "vue"])
@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_every_file_of_an_app_parses_and_is_clean(description, framework):
    files = made(description, framework)
    assert not tree_faults(files)
    assert not syntax_faults(files)
    bad = [f for f in review(files) if f.severity not in (Severity.INFO, Severity.LOW)]
    assert not bad
    assert not [f for f in review(files) if f.rule == "unused-name"]


@pytest.mark.parametrize("framework", ["react", "vue"])
@pytest.mark.parametrize("description", COMPONENTS)
def test_every_file_of_a_component_parses_and_is_clean(description, framework):
    plan = read_component(description).plan
    files = component_files(plan, framework, "Shown", description)
    assert not tree_faults(files)
    assert not syntax_faults(files)
    assert not [f for f in review(files) if f.severity is not Severity.INFO]


@pytest.mark.parametrize("framework", ["react", "vue"])
def test_every_import_leads_to_a_file_that_exports_it(framework):
    files = made(DESCRIPTIONS[1], framework)
    for path, text in files.items():
        folder = path.rpartition("/")[0].split("/")
        for names, target in re.findall(r'import (?:(.+?) from )?"(\.[^"]+)"', text):
            steps = target.split("/")
            up = steps.count("..")
            place = "/".join(
                [*folder[: len(folder) - up], *[s for s in steps if s not in (".", "..")]]
            )
            assert place in files, (path, target)
            for name in re.findall(r"\w+", names) if "{" in names else ():
                assert re.search(rf"export (?:function|const) {name}\b", files[place]), (path, name)


def test_no_place_of_a_template_is_left():
    for framework in ("react", "vue"):
        for description in DESCRIPTIONS:
            assert not [path for path, text in made(description, framework).items() if "«" in text]


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite", "mysql"])
@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_a_schema_makes_every_table_with_every_column(description, dialect):
    plan = read_app(description).plan
    statements = sqlglot.parse(schema(plan, dialect), dialect=SQLGLOT[dialect])
    tables = {
        s.this.this.name: {c.name for c in s.find_all(sqlglot.exp.ColumnDef)}
        for s in statements
        if isinstance(s, sqlglot.exp.Create) and s.kind == "TABLE"
    }
    assert set(tables) == {entity.plural for entity in plan.entities}
    for entity in plan.entities:
        assert len(tables[entity.plural]) == len(entity.fields) + 1


def test_tables_that_reference_each_other_are_made_all_the_same():
    plan = read_app(
        "Teams have a name and belong to a leader. Leaders have a name and belong to a team."
    ).plan
    text = schema(plan, "postgresql")
    assert "ALTER TABLE" in text
    assert not syntax_faults({"schema.sql": text})


async def test_postgresql_takes_the_schema(database_url):
    import asyncpg

    connection = await asyncpg.connect(database_url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("CREATE SCHEMA app_of_a_test")
        await connection.execute("SET LOCAL search_path TO app_of_a_test")
        for description in DESCRIPTIONS:
            await connection.execute(
                f"CREATE SCHEMA s{abs(hash(description))};"
                f"SET LOCAL search_path TO s{abs(hash(description))};"
                + schema(read_app(description).plan, "postgresql")
            )
    finally:
        await transaction.rollback()
        await connection.close()


def test_sample_rows_fit_their_fields():
    plan = read_app(EVERYTHING).plan
    kept = rows(plan)
    customers = {row["id"] for row in kept["customers"]}
    assert all(order["customer"] in customers for order in kept["orders"])
    assert all(order["status"] in ("Open", "Paid", "Sent") for order in kept["orders"])


def test_passwords_are_never_kept():
    plan = read_app("Users have an email and a password.").plan
    assert '"password_hash"' in schema(plan, "postgresql")
    assert '"password" ' not in schema(plan, "postgresql")
    assert all(row["password"] == "" for row in rows(plan)["users"])


def test_the_words_of_a_caller_stay_where_they_belong():
    evil = '</script><script>alert(1)</script> "); DROP TABLE x; -- {{ 7*7 }} `${1}` «title»'
    plan = read_app(evil).plan
    for framework in ("react", "vue"):
        files = app_files(plan, framework, evil)
        assert not syntax_faults(files)
        holding = [path for path, text in files.items() if "alert" in text]
        assert holding in ([], ["README.md"]), holding
        assert "<script>alert" not in files["README.md"]
    assert "alert" not in static_page(plan, is_component=False)


def test_a_plan_of_a_model_cannot_leave_its_place_either():
    for label in ("a</script>", 'a"b', "a{b}", "a`b", "a'b", "a$b", "a\\b", "a&b", "a\nb"):
        with pytest.raises(ValueError, match="label"):
            PlanField(name="a", label=label)
    for name in ("Constructor", "__proto__", "a-b", "1a", "a b", "a.b", ""):
        with pytest.raises(ValueError, match="name"):
            PlanField(name=name, label="A")


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_static_page_works_in_a_document_without_a_network(tmp_path):
    """A little document stands in for a browser's: what is drawn, added, searched and refused."""
    plan = read_app(EVERYTHING + " Show a dashboard.").plan
    page = static_page(plan, is_component=False)
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[0]
    data = re.findall(r'id="plan">(.*?)</script>', page, re.DOTALL)[0]
    document, checks = ((HERE / name).read_text() for name in ("document.js", "checks.js"))
    program = tmp_path / "page.js"
    program.write_text(document.replace("DATA", json.dumps(data)) + script + checks)
    done = subprocess.run(
        ["node", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["tabs"] == ["Dashboard", "Customers", "Orders"]
    assert told["rows"] == 4
    assert told["refused"] == ["Name is needed."]
    assert told["added"] == 5
    assert told["found"] == 1
    assert told["network"] == 0


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.parametrize("description", DESCRIPTIONS[:2])
def test_plain_javascript_is_accepted_by_node(description, tmp_path):
    files = made(description, "vue")
    for path in ("src/store.js", "src/format.js", "src/seed.js", "vite.config.js"):
        (tmp_path / "a.mjs").write_text(files[path])
        subprocess.run(["node", "--check", tmp_path / "a.mjs"], check=True, timeout=30)


def test_the_page_lets_only_its_own_script_run():
    page = static_page(read_app("A CRM").plan, is_component=False)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http:" not in page
    assert "https:" not in re.sub(r"https://example\.com/", "", page)


def test_every_type_and_action_at_once():
    kinds = ("text", "long_text", "password", "email", "phone", "url", "integer", "number", "money")
    more = ("date", "datetime", "boolean")
    told = tuple(PlanField(name=kind, label=kind, type=kind) for kind in (*kinds, *more))
    choice = PlanField(name="choice", label="Choice", type="choice", choices=("One", "Two"))
    entity = Entity(
        name="order", plural="orders", label="Order", plural_label="Orders", fields=(*told, choice)
    )
    for kind in ("table", "list"):
        plan = Plan(
            title="All",
            entities=(entity,),
            views=(View(kind=kind, entity="order"), View(kind="dashboard", entity="order")),
            actions=ACTIONS,
        )
        for framework in ("react", "vue"):
            files = app_files(plan, framework, "All")
            assert not syntax_faults(files)
            assert not [f for f in review(files) if f.severity not in (Severity.INFO,)]
