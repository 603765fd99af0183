"""System prompts that clients send: short roles, house rules, unrelated background, schemas.

The model must answer the same with them as without them.
"""

import random
import re

from models.starter_chat import SCHEMA
from models.starter_chat.words import CITIES, NAMES, TOPICS

ROLES = (
    "You are a helpful assistant.",
    "You are a helpful assistant.",
    "You are a helpful AI assistant.",
    "You are a concise assistant.",
    "You are starter-chat.",
    "You are an assistant for Carillon.",
    "You are an expert in PostgreSQL.",
    "You write SQL.",
    "You are a SQL assistant.",
    "Be brief.",
    "Answer in one sentence.",
    "Answer briefly and politely.",
    "You are a friendly chatbot.",
    "You are a data analyst.",
    "Translate questions to SQL.",
    "Return only SQL.",
    "Be concise.",
    "You are a support agent.",
    "You are a careful assistant. Think before you answer.",
    "Use the tools when needed.",
    "You are a senior database engineer. Write correct queries.",
    "Write one PostgreSQL query and nothing else.",
    "You convert natural language to SQL.",
    "Reply in English.",
    "You are a bot.",
    "Answer questions truthfully.",
    "Do not make things up.",
)
_RULES = (
    "Today is {c} day {n}.",
    "The user is {p}.",
    "The office is in {c}.",
    "Never talk about {t}.",
    "The company sells goods in {c} and {d}.",
    "If you do not know, say so.",
    "Keep answers under {n} words.",
    "The manager is {p}.",
    "Use simple words.",
    "Our customers like {t}.",
    "The shop opened {n} years ago.",
    "Do not mention {t}.",
    "Users may ask about {t} and {u}.",
    "Support is open from {n} to {n}.",
    "Be polite.",
    "The current version is {n}.",
    "{p} and {q} run the team in {c}.",
    "Format answers plainly.",
)
_CREATE = re.compile(r"CREATE TABLE (\w+) \((.*?)\n\);", re.S)


def _tables() -> dict[str, tuple[str, ...]]:
    found = {}
    for name, body in _CREATE.findall(SCHEMA.read_text()):
        found[name] = tuple(re.findall(r"^    (\w+) ", body, re.M))
    return found


TABLES = _tables()


def draw_system(rng: random.Random) -> str:
    """A system prompt, or '' in half of the draws."""
    roll = rng.random()
    if roll < 0.55:
        return ""
    if roll < 0.85:
        return rng.choice(ROLES)
    return background(rng, rng.randint(1, 4))


def background(rng: random.Random, sentences: int) -> str:
    """A role and unrelated house rules."""
    return " ".join([rng.choice(ROLES), *(_rule(rng) for _ in range(sentences))])


def _rule(rng: random.Random) -> str:
    (c, d), (p, q), (t, u) = rng.sample(CITIES, 2), rng.sample(NAMES, 2), rng.sample(TOPICS, 2)
    return rng.choice(_RULES).format(c=c, d=d, p=p, q=q, t=t, u=u, n=rng.randint(1, 99))


def schema_text(rng: random.Random, needed: str) -> str:
    """A few tables of the schema, among them those that the SQL text ``needed`` names."""
    names = [name for name in TABLES if re.search(rf"\b{name}\b", needed)]
    names += rng.sample(list(TABLES), rng.randint(0, 2))
    unique = list(dict.fromkeys(names))
    rng.shuffle(unique)
    if rng.random() < 0.5:
        return "\n".join(f"{name}({', '.join(TABLES[name])})" for name in unique)
    if rng.random() < 0.5:
        return "; ".join(f"{name}({', '.join(TABLES[name])})" for name in unique)
    return "\n".join(f"CREATE TABLE {name} ({', '.join(TABLES[name])});" for name in unique)
