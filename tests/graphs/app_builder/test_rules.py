"""What the rules read in descriptions, as people write them."""

import time

import pytest

from graphs.app_builder.plan import MAX_ENTITIES, MAX_FIELDS
from graphs.app_builder.rules import component_name, read_app, read_component


def fields(plan, entity):
    return {field.name: field.type for field in plan.entity(entity).fields}


def names(plan):
    return [entity.name for entity in plan.entities]


def test_things_and_their_fields_are_read_from_sentences():
    plan = read_app(
        "A task manager with projects and tasks. Projects have a name, a budget and a deadline."
        " Tasks have a title (required), a due date, a priority (low, medium, high)"
        " and belong to a project."
    ).plan
    assert names(plan) == ["project", "task"]
    assert fields(plan, "project") == {"name": "text", "budget": "money", "deadline": "date"}
    assert fields(plan, "task") == {
        "title": "text",
        "due_date": "date",
        "priority": "choice",
        "project": "reference",
    }
    task = plan.entity("task")
    assert task.fields[0].required
    assert task.fields[2].choices == ("Low", "Medium", "High")
    assert task.fields[3].references == "project"
    assert plan.title == "Task manager"


@pytest.mark.parametrize("mark", ["'", "\u2019"])
def test_a_possessive_is_no_thing_of_its_own(mark):
    plan = read_component(f"A form for a book{mark}s title").plan
    assert names(plan) == ["book_title"]


@pytest.mark.parametrize(
    ("description", "entities"),
    [
        ("Expense tracker with amount, category, date and notes", ["expense"]),
        ("a todo list app", ["todo"]),
        ("Build a blog with posts and comments", ["post", "comment"]),
        ("A CRM", ["company", "contact", "deal"]),
        ("an app to manage my recipes and ingredients", ["recipe", "ingredient"]),
        ("Inventory system for a small shop", ["product", "supplier"]),
        ("Create an app that stores books with title and author", ["book"]),
        ("- Students: name, email\n- Courses: title, credits", ["student", "course"]),
        ("A recipe book app: recipes with title, ingredients", ["recipe"]),
        ("A tool like Trello with boards, lists and cards", ["board", "list", "card"]),
        ("Ticketing system with tickets (subject, status) and agents", ["ticket", "agent"]),
        ("a website with properties that have address and price", ["property"]),
        ("Grade tracker where teachers can record grades for students", ["grade"]),
        ("A library system to manage books and authors. Books have a title.", ["book", "author"]),
        ("inventory management with low stock alerts", ["product", "supplier"]),
        ("pets: name, species, belong to an owner", ["pet", "owner"]),
        ("each order has many line items. Line items have a quantity", ["order", "line_item"]),
    ],
)
def test_what_an_app_keeps(description, entities):
    assert names(read_app(description).plan) == entities


def test_many_of_something_is_a_reference_back():
    plan = read_app("Authors have a name and many books. Books have a title and a year.").plan
    assert fields(plan, "book")["author"] == "reference"
    assert "books" not in fields(plan, "author")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("birthday", "date"),
        ("email address", "text"),
        ("work email", "email"),
        ("phone number", "phone"),
        ("unit price", "money"),
        ("in stock", "integer"),
        ("is active", "boolean"),
        ("created at", "datetime"),
        ("status", "choice"),
        ("age (number)", "number"),
        ("size as integer", "integer"),
        ("colour (red, green or blue)", "choice"),
        ("description", "long_text"),
        ("website", "url"),
        ("photos", "url"),
        ("joined on", "date"),
        ("cooking time", "text"),
        ("start time", "datetime"),
        ("terms agreement checkbox", "boolean"),
    ],
)
def test_types_of_fields(said, kind):
    plan = read_app(f"Things have a name and {said}.").plan
    assert list(fields(plan, "thing").values())[1] == kind


def test_what_was_assumed_is_said():
    reading = read_app("something nice")
    assert names(reading.plan) == ["item"]
    assert any("names nothing to keep" in note for note in reading.notes)
    assert any("usual ones" in note for note in read_app("an app with customers").notes)


def test_actions_and_views_follow_the_words():
    plan = read_app("A read-only dashboard of sales with charts. Sales have an amount.").plan
    assert plan.views[0].kind == "dashboard"
    assert not plan.can("create")
    assert not plan.can("delete")
    assert read_app("Tasks have a title. Export to CSV.").plan.can("export")


@pytest.mark.parametrize(
    ("description", "name", "expected"),
    [
        (
            "A login form with email and password",
            "LoginForm",
            {"email": "email", "password": "password"},
        ),
        (
            "A table of orders with customer, total and status",
            "OrderTable",
            {"customer": "text", "total": "money", "status": "choice"},
        ),
        (
            "user profile card with name, avatar and bio",
            "UserProfileDetail",
            {"name": "text", "avatar": "url", "bio": "long_text"},
        ),
        ("A dashboard for invoices", "InvoiceDashboard", None),
        (
            "React component that displays a list of blog posts with title and date",
            "BlogPostList",
            {"title": "text", "date": "date"},
        ),
        ("A todo list where items can be added and removed", "TodoList", None),
        (
            "Display employee details: name, salary",
            "EmployeeDetail",
            {"name": "text", "salary": "money"},
        ),
        ("A table of users with name, with sorting and search", "UserTable", {"name": "text"}),
        ("product list", "ProductList", None),
        (
            "A form to add a new customer with name and phone",
            "CustomerForm",
            {"name": "text", "phone": "phone"},
        ),
    ],
)
def test_components(description, name, expected):
    plan = read_component(description).plan
    assert component_name(plan) == name
    assert len(plan.views) == 1
    if expected is not None:
        assert fields(plan, plan.entities[0].name) == expected


def test_a_component_of_no_known_kind_is_a_table_and_says_so():
    reading = read_component("something with colour and weight")
    assert reading.plan.views[0].kind == "table"
    assert any("no kind" in note for note in reading.notes)


@pytest.mark.parametrize(
    "piece",
    [
        *("(", " ", ", ", "a ", "a, ", "with ", ":", "- ", "a with ", "\n", "x", "every ", "a: "),
        *("a belongs to ", "tasks have ", "a that has ", "a(b) ", "-", "_", ". ", "; a", "( )"),
    ],
)
def test_reading_takes_no_time_whatever_is_repeated(piece):
    description = (piece * 4000)[:3990] + " and end"
    started = time.perf_counter()
    read_app(description)
    read_component(description)
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize(
    "description",
    [
        "许多任务和项目的管理应用",
        "</script><script>alert(1)</script>",
        "'; DROP TABLE users; --",
        "Tasks have a {{constructor}}, a `${process.env}` and a <b>title</b>.",
        "Users have a __proto__, constructor, id, row and prototype",
        "a" * 4000,
        "Things have " + ", ".join(f"field{n}" for n in range(200)),
        "An app with " + ", ".join(f"gadget{n}s" for n in range(50)),
        "has has has has: with with with",
        "...",
        "Data have media and news and series",
        "(((((((((((",
    ],
)
def test_whatever_is_said_becomes_a_plan_within_bounds(description):
    for plan in (read_app(description).plan, read_component(description).plan):
        assert 1 <= len(plan.entities) <= MAX_ENTITIES
        assert all(1 <= len(entity.fields) <= MAX_FIELDS for entity in plan.entities)
