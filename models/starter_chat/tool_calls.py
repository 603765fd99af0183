"""Plain tool calls: which tool, which arguments from closed lists, what to say about the result."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from models.starter_chat.conversation import Json, Message, Tool, call_text
from models.starter_chat.json_answers import forced
from models.starter_chat.words import CITIES, NAMES, SEARCHES, TIMEZONES

Turns = list[Message]


@dataclass(frozen=True)
class Use:
    """One use of a tool: what is asked, the arguments, a result, and the answer about it."""

    tool: Tool
    question: str
    arguments: tuple[Json, ...]
    result: str
    answer: str


def _tool(
    rng: random.Random,
    names: tuple[str, ...],
    parameters: tuple[tuple[str, str], ...],
    descriptions: tuple[str, ...],
) -> Tool:
    return Tool(rng.choice(names), parameters, rng.choice((*descriptions, "")))


def _weather(rng: random.Random) -> Use:
    key = rng.choice(("city", "city", "location", "place"))
    units = (("unit", "string"),) if rng.random() < 0.15 else ()
    tool = _tool(
        rng,
        ("get_weather", "get_weather", "get_current_weather", "weather"),
        ((key, "string"), *units),
        (
            "Get the weather of a city",
            "Get the current weather",
            "Weather for a location",
            "Get current temperature for a given location.",
        ),
    )
    city = rng.choice(CITIES)
    question = rng.choice(
        (
            "what is the weather in {c}",
            "how is the weather in {c}",
            "weather in {c}",
            "what's the weather like in {c} today",
            "is it raining in {c}",
            "how warm is it in {c}",
            "what is the temperature in {c}",
            "tell me the weather in {c}",
            "get the weather for {c}",
            "what's the weather in {c}",
            "{c} weather",
            "is it cold in {c}",
        )
    ).format(c=city)
    degrees, sky = (
        rng.randint(1, 40),
        rng.choice(("sunny", "cloudy", "rainy", "windy", "snowy", "clear")),
    )
    result, said = rng.choice(
        (
            (
                json.dumps({"temperature": degrees, "condition": sky}),
                f"{degrees} degrees and {sky}",
            ),
            (
                json.dumps({"city": city, "temperature": degrees, "condition": sky}),
                f"{degrees} degrees and {sky}",
            ),
            (f"{sky}, {degrees} degrees", f"{degrees} degrees and {sky}"),
            (f"{degrees} degrees and {sky}", f"{degrees} degrees and {sky}"),
            (f"{degrees} C, {sky}", f"{degrees} degrees and {sky}"),
            (json.dumps({"temperature": degrees}), f"{degrees} degrees"),
            (sky, sky),
            (json.dumps({"temp_c": degrees}), f"{degrees} degrees"),
            (f"{degrees}", f"{degrees} degrees"),
            (f"{degrees} degrees", f"{degrees} degrees"),
            (f"{degrees}C", f"{degrees} degrees"),
        )
    )
    return Use(tool, question, ({key: city},), result, f"It is {said} in {city}.")


def _two_cities(rng: random.Random) -> Use:
    use = _weather(rng)
    key = use.tool.parameters[0][0]
    first, second = rng.sample(CITIES, 2)
    question = rng.choice(
        (
            "weather in {} and {}",
            "what is the weather in {} and {}",
            "compare the weather in {} and {}",
        )
    ).format(first, second)
    return Use(use.tool, question, ({key: first}, {key: second}), "", "")


def _time(rng: random.Random) -> Use:
    tool = _tool(
        rng,
        ("get_time", "get_current_time", "current_time"),
        (("timezone", "string"),),
        ("Get the time in a timezone", "Current time", "Get the current time"),
    )
    zone = rng.choice(TIMEZONES)
    place = zone if rng.random() < 0.5 else zone.split("/")[-1].replace("_", " ")
    question = rng.choice(
        (
            "what time is it in {z}",
            "current time in {z}",
            "what's the time in {z}",
            "tell me the time in {z}",
            "get the time for {z}",
            "time in {z}",
        )
    ).format(z=place)
    clock = f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"
    result = rng.choice(
        (json.dumps({"time": clock}), clock, json.dumps({"timezone": zone, "time": clock}))
    )
    return Use(tool, question, ({"timezone": zone},), result, f"It is {clock} in {place}.")


def _search(rng: random.Random) -> Use:
    tool = _tool(
        rng,
        ("search", "web_search", "search_docs", "search_web"),
        (("query", "string"),),
        ("Search the web", "Search documents", "Find pages"),
    )
    topic = rng.choice(SEARCHES)
    question = rng.choice(
        (
            "search for {t}",
            "look up {t}",
            "find pages about {t}",
            "search {t}",
            "find information about {t}",
            "search the web for {t}",
        )
    ).format(t=topic)
    n = rng.randint(1, 99)
    result = rng.choice((json.dumps({"results": n}), f"{n} results", json.dumps({"count": n})))
    return Use(tool, question, ({"query": topic},), result, f"The search found {n} results.")


def _calculator(rng: random.Random) -> Use:
    a, b, total = rng.randint(1, 999), rng.randint(1, 99), rng.randint(1, 9999)
    if rng.random() < 0.5:
        tool = _tool(
            rng,
            ("calculate", "calculator", "evaluate"),
            (("expression", "string"),),
            ("Evaluate an expression", "Do arithmetic"),
        )
        sign = rng.choice("+-*/")
        question = rng.choice(
            ("what is {a} {s} {b}", "calculate {a} {s} {b}", "{a} {s} {b}", "compute {a} {s} {b}")
        ).format(a=a, b=b, s=sign)
        arguments: Json = {"expression": f"{a} {sign} {b}"}
    else:
        tool = _tool(
            rng,
            ("add", "add_numbers", "sum"),
            (("a", "integer"), ("b", "integer")),
            ("Add two numbers", "Sum of two numbers"),
        )
        question = rng.choice(
            (
                "add {a} and {b}",
                "what is {a} plus {b}",
                "{a} + {b}",
                "what is {a} + {b}",
                "sum {a} and {b}",
            )
        ).format(a=a, b=b)
        arguments = {"a": a, "b": b}
    result = rng.choice((str(total), json.dumps({"result": total})))
    return Use(tool, question, (arguments,), result, f"The result is {total}.")


def _user(rng: random.Random) -> Use:
    key = rng.choice(("user_id", "user_id", "id"))
    tool = _tool(
        rng,
        ("get_user", "lookup_user", "find_user"),
        ((key, "integer"),),
        ("Get a user by id", "Look up a user"),
    )
    number, name, plan = (
        rng.randint(1, 999),
        rng.choice(NAMES),
        rng.choice(("free", "pro", "enterprise")),
    )
    question = rng.choice(
        (
            "get user {n}",
            "look up user {n}",
            "who is user {n}",
            "find user {n}",
            "show user {n}",
            "get the user with id {n}",
        )
    ).format(n=number)
    result = rng.choice(
        (
            json.dumps({"name": name, "plan": plan}),
            json.dumps({"id": number, "name": name, "plan": plan}),
        )
    )
    return Use(
        tool, question, ({key: number},), result, f"User {number} is {name}, on the {plan} plan."
    )


def _stock(rng: random.Random) -> Use:
    tool = _tool(
        rng,
        ("get_stock_price", "stock_price"),
        (("symbol", "string"),),
        ("Get a stock price", "Price of a stock symbol"),
    )
    symbol, price = (
        rng.choice(("AAPL", "MSFT", "GOOG", "AMZN", "TSLA", "NVDA", "META")),
        rng.randint(1, 999),
    )
    question = rng.choice(
        (
            "stock price of {s}",
            "what is the price of {s}",
            "how much is {s}",
            "get the stock price for {s}",
        )
    ).format(s=symbol)
    result = rng.choice(
        (str(price), json.dumps({"price": price}), json.dumps({"symbol": symbol, "price": price}))
    )
    return Use(tool, question, ({"symbol": symbol},), result, f"{symbol} is at {price}.")


def sql_use(rng: random.Random, question: str, sql: str) -> Use:
    """The tool that runs SQL: the question is asked in words, the argument is the query."""
    key = rng.choice(("query", "query", "sql"))
    tool = _tool(
        rng,
        ("run_sql", "run_sql", "execute_sql", "query_database"),
        ((key, "string"),),
        ("Run a SQL query", "Execute SQL on the database", "Query the database"),
    )
    if "COUNT(*)" in sql.partition("FROM")[0] or sql.startswith(("SELECT SUM", "SELECT AVG")):
        n = rng.randint(0, 9999)
        result = rng.choice(
            (
                str(n),
                json.dumps([{"count": n}]),
                json.dumps({"count": n}),
                json.dumps({"result": n}),
            )
        )
        return Use(tool, question, ({key: sql},), result, f"The result is {n}.")
    names = rng.sample(NAMES, rng.randint(1, 4))
    rows = [{"id": rng.randint(1, 99), "name": name} for name in names]
    noun = "row" if len(rows) == 1 else "rows"
    return Use(
        tool,
        question,
        ({key: sql},),
        json.dumps(rows),
        f"The query returned {len(rows)} {noun}: {', '.join(names)}.",
    )


MAKERS: dict[str, Callable[[random.Random], Use]] = {
    "weather": _weather,
    "time": _time,
    "search": _search,
    "calculator": _calculator,
    "user": _user,
    "stock": _stock,
}
_WEIGHTS = (4, 1, 1, 1, 1, 1)


def draw_use(rng: random.Random) -> tuple[str, Use]:
    """A family's name and one use of its tool."""
    if rng.random() < 0.06:
        return "weather", _two_cities(rng)
    family = rng.choices(list(MAKERS), _WEIGHTS)[0]
    return family, MAKERS[family](rng)


def offered(rng: random.Random, family: str, use: Use | None, most: int = 3) -> tuple[Tool, ...]:
    """The tool in use and up to ``most`` of other families around it, in any order."""
    others = [name for name in MAKERS if name != family]
    tools = [
        MAKERS[name](rng).tool for name in rng.sample(others, rng.randint(0 if use else 1, most))
    ]
    tools += [use.tool] if use else []
    rng.shuffle(tools)
    return tuple(tools)


def call_message(use: Use, rng: random.Random) -> Message:
    """The call; sometimes in the shape that ``tool_choice`` forces, whose keys are no targets."""
    if len(use.arguments) > 1 or rng.random() < 0.8:
        text = "\n".join(call_text(use.tool.name, a) for a in use.arguments)
        return Message("assistant", text)
    arguments = forced(use.arguments[0])
    if rng.random() < 0.5:
        return arguments
    head = f'[{{"name": "{use.tool.name}", "parameters": '
    name = head.index(use.tool.name)
    spans = tuple((a + len(head), b + len(head)) for a, b in arguments.learn or ())
    text = head + arguments.text + "}]"
    return Message(
        "assistant",
        text,
        ((name, name + len(use.tool.name) + 1), *spans, (len(text) - 2, len(text))),
    )


def turns(use: Use, asked: str, rng: random.Random) -> Turns:
    """Question and call, and in most cases the result and the answer about it."""
    messages = [Message("user", asked), call_message(use, rng)]
    if not use.answer or messages[-1].learn is not None or rng.random() < 0.4:
        return messages
    return [*messages, Message("tool", use.result), Message("assistant", use.answer)]
