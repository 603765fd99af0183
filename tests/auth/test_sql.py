"""SQL as this project may write it: built with parameters, and seldom for every tenant.

Read from the sources, so a new statement is found when it is written. What is an exception is named
here, with its reason.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.settings import ROOT

PACKAGES = ("core", "auth", "deployments", "graphs", "ingress", "models", "cli", "benchmarks")
SINKS = {
    *("execute", "executemany", "fetch", "fetchrow", "fetchval", "row", "cursor", "prepare"),
    *("copy_from_query", "mogrify"),
}
"""Methods that take SQL first: of asyncpg's connections, of `Database`, of alembic's `op`."""

PASSED_ON = {
    "auth/database.py Database.fetch": "query",
    "auth/database.py Database.row": "query",
    "auth/database.py Database.execute": "query",
    "auth/database.py TenantDatabase.fetch": "query",
    "auth/database.py TenantDatabase.row": "query",
    "auth/database.py TenantDatabase.execute": "query",
    "auth/directory.py Directory._change": "update",
    "auth/invitations.py Invitations._found": "query",
    "auth/media.py MediaOwnership._end": "deletion",
    "auth/tenant_role.py _try": "statement",
    "auth/usage.py _grouped": "query",
}
"""Functions that hand a parameter on as SQL. Their callers are checked in their place."""

REVIEWED = {
    "auth/migrate.py _upgrade": "what alembic made of the migrations",
    "benchmarks/passages.py _fill": "indexes, as PostgreSQL itself wrote them",
    "auth/months.py _make": "a partition's name, matched by a pattern, and times made of a date",
    "cli/ledger_archive.py _archive": "a partition's name, made of a date",
    "cli/main.py prepare": "prepares an installation; no SQL",
    "cli/up.py Up._start": "prepares an installation; no SQL",
    "graphs/sql_assist/planner.py _explained": "a caller's query, planned in memory, never run",
    "graphs/sql_assist/planner.py empty_database": "tables in memory, their names quoted",
    "graphs/sql_assist/trial.py _fill": "made-up rows in memory, names quoted",
    "graphs/sql_assist/trial.py _rows": "a caller's query, run in memory on made-up rows",
    "ingress/remote_media.py RemoteMedia._replace": "fetches a URL; no SQL",
}
"""Functions that put something else into SQL, or whose method of that name takes none, and why that
is right.
"""

EVERY_TENANT = {
    "auth/api_keys.py ApiKeys.revoke": "an operator's key may have made keys of any tenant",
    "auth/directory.py Directory.bootstrap": "makes the operator's tenant, at start",
    "auth/directory.py Directory.create_tenant": "a tenant that is not there yet",
    "auth/directory.py Directory.tenants": "the operator's list",
    "auth/key_principals.py KeyPrincipals._good": "a key says its tenant",
    "auth/key_principals.py KeyPrincipals._within_makers": "a key says its tenant",
    "auth/directory.py Directory.plans_in_use": "whether a new plans.yaml can hold",
    "auth/directory.py Directory._announce": "a chore for whatever tenants changed",
    "auth/directory.py Directory.announce": "a chore for whatever tenants changed",
    "auth/directory.py Directory._change": "the operator changes plans, and who is active",
    "auth/engine_counters.py EngineCounters.prune": "engines' totals are of no tenant",
    "auth/engine_counters.py EngineCounters.store": "engines' totals are of no tenant",
    "auth/federation.py Federation.user_id": "signing in",
    "auth/federation.py Federation._known": "signing in",
    "auth/federation.py Federation._follow": "signing in",
    "auth/invitations.py Invitations.find": "a token says its tenant",
    "auth/invitations.py Invitations.join": "a token says its tenant",
    "auth/job_executions.py JobExecutions.under_way": "the sweeper's",
    "auth/job_executions.py JobExecutions.cancelled": "the sweeper's",
    "auth/job_executions.py JobExecutions.still_wanted": "the starter's",
    "auth/listening.py Listener._listen": "hears ids of jobs, reads no row",
    "auth/jobs.py JobBook.read": "jobs run by their id",
    "auth/jobs.py JobBook.begin": "jobs run by their id",
    "auth/jobs.py JobBook.advance": "jobs run by their id",
    "auth/jobs.py JobBook.complete": "jobs run by their id",
    "auth/jobs.py JobBook.fail": "jobs run by their id",
    "auth/ledger.py LedgerWriter._write": "rows of whoever called",
    "auth/media.py MediaOwnership.shared": "a signed URL says the owner",
    "auth/media.py MediaOwnership.ended": "the sweeper's",
    "auth/media.py MediaOwnership.garbage": "the sweeper's",
    "auth/media.py MediaOwnership.collecting": "whether anybody owns a blob",
    "auth/media.py MediaOwnership._end": "whether anybody else owns a blob",
    "auth/months.py Months._ensure": "makes tables",
    "auth/old_runs.py OldRuns.delete": "the sweeper's",
    "auth/reconciliation.py Reconciliation.publish": "the operator's, of no tenant",
    "auth/reconciliation.py Reconciliation.published": "the operator's, of no tenant",
    "auth/reconciliation.py Reconciliation.unreconciled": "the operator's, of no tenant",
    "auth/reconciliation.py Reconciliation._engines": "engines' totals are of no tenant",
    "auth/reconciliation.py Reconciliation._ledger": "sums over everybody's rows, by model",
    "auth/sessions.py Sessions.open": "a user, wherever it is a member",
    "auth/sessions.py Sessions.refresh": "a token says its tenant",
    "auth/sessions.py Sessions.close": "a token says its tenant",
    "auth/sessions.py Sessions.close_all": "a user, wherever it is a member",
    "auth/sign_in.py SignIn.log_in": "signing in",
    "auth/sign_in.py SignIn.register": "makes a tenant, or follows an invitation",
    "auth/usage.py Usage.everything": "the operator's view",
    "auth/user_principals.py UserPrincipals.of": "signing in",
    "auth/users.py Users.find": "a user, wherever it is a member",
    "auth/users.py Users.named": "signing in",
    "auth/users.py Users.memberships": "a user, wherever it is a member",
    "auth/users.py Users.rename": "a user, wherever it is a member",
    "auth/sign_in.py SignIn.change_password": "a user, wherever it is a member",
    "auth/users.py Users.replace_hash": "a user, wherever it is a member",
    "auth/users.py Users.set_active": "a user, wherever it is a member",
    "auth/waiting_jobs.py WaitingJobs.claim": "jobs of all tenants wait in one line",
    "auth/waiting_jobs.py WaitingJobs.put_back": "jobs run by their id",
    "auth/webhook_tries.py WebhookTries.due": "the sweeper's",
    "benchmarks/retrieval.py _tenant": "makes the tenant of a measurement",
    "graphs/governed.py Governed.check_postgresql": "asks for no rows",
}
"""Functions that use `Database` itself instead of `Database.of`, so that no policy binds them."""


@dataclass(frozen=True)
class Call:
    """One call in the sources, and the function around it."""

    where: str
    """File and function, as the lists above name them."""
    node: ast.Call
    function: ast.AST
    module: "Module"


class Module:
    """One source file."""

    def __init__(self, path: Path) -> None:
        self.path = path.relative_to(ROOT).as_posix()
        self.tree = ast.parse(path.read_text())
        self.constants = {name for node in self.tree.body for name in bound(node)}

    def calls(self) -> Iterator[Call]:
        yield from self._calls(self.tree, "", self.tree)

    def _calls(self, node: ast.AST, name: str, function: ast.AST) -> Iterator[Call]:
        for child in ast.iter_child_nodes(node):
            inner, around = name, function
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner = f"{name}.{child.name}".lstrip(".")
                around = function if isinstance(child, ast.ClassDef) else child
            if isinstance(child, ast.Call):
                yield Call(f"{self.path} {name}", child, function, self)
            yield from self._calls(child, inner, around)


def bound(node: ast.stmt) -> Iterator[str]:
    """Names that a statement of a module binds when it is imported, before any request."""
    if isinstance(node, ast.ImportFrom | ast.Import):
        yield from (alias.asname or alias.name for alias in node.names)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            yield from (name.id for name in ast.walk(target) if isinstance(name, ast.Name))


def is_fixed(value: ast.AST, call: Call) -> bool:
    """Whether an expression can only be text of the source: constants, and choices among them."""
    if isinstance(value, ast.Constant):
        return True
    if isinstance(value, ast.Name):
        local = list(assigned(value.id, call.function))
        if not local:
            return value.id in call.module.constants and value.id.isupper()
        return all(each is not None and is_fixed(each, call) for each in local)
    parts = parts_of(value)
    return parts is not None and all(is_fixed(part, call) for part in parts)


def parts_of(value: ast.AST) -> Sequence[ast.AST] | None:
    """What decides whether an expression is fixed; None for one that cannot be."""
    match value:
        case ast.JoinedStr(values=parts):
            return parts
        case ast.FormattedValue(value=inner):
            return [inner]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [left, right]
        case ast.IfExp(body=body, orelse=other):
            return [body, other]
        case ast.Subscript(value=ast.Name() as table):
            return [table]
    return None


def assigned(name: str, function: ast.AST) -> Iterator[ast.AST | None]:
    """What a function gives a name; None for what comes from elsewhere: a parameter, a loop."""
    for node in ast.walk(function):
        match node:
            case ast.arg(arg=found) if found == name:
                yield None
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                yield value
            case ast.Name(id=found, ctx=ast.Store()) if found == name:
                if not is_plain_target(node, function):
                    yield None


def is_plain_target(name: ast.Name, function: ast.AST) -> bool:
    """Whether a name is assigned as `name = value`, and in no other way."""
    return any(
        isinstance(node, ast.Assign) and node.targets == [name] for node in ast.walk(function)
    )


def sql_of(call: Call) -> ast.AST | None:
    """The argument of a call that is SQL, or None where it takes none."""
    function = call.node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    position = 0
    if name not in SINKS:
        passed = [where for where in PASSED_ON if where.rsplit(" ")[-1].split(".")[-1] == name]
        passed = [where for where in passed if where.startswith(f"{call.module.path} ")]
        if not passed:
            return None
        position = position_of(PASSED_ON[passed[0]], name, call.module)
    arguments = [*call.node.args, *(word.value for word in call.node.keywords)]
    return arguments[position] if len(arguments) > position else None


def position_of(parameter: str, function: str, module: Module) -> int:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function:
            names = [argument.arg for argument in node.args.args if argument.arg != "self"]
            return names.index(parameter)
    raise AssertionError(f"{module.path} has no {function}")


def hands_on(call: Call, sql: ast.AST) -> bool:
    """Whether SQL is the parameter that its function is listed for (and constants beside it)."""
    parameter = PASSED_ON.get(call.where)
    return isinstance(sql, ast.Name) and sql.id == parameter


def is_every_tenant(call: Call) -> bool:
    """Whether a call is one of `Database`'s own methods that see every tenant."""
    match call.node.func:
        case ast.Attribute(value=receiver, attr=attribute):
            own = {"fetch", "row", "execute", "connection", "transaction"}
            if attribute not in own:
                return False
            if is_database(receiver):
                return True
            aliases = assigned(receiver.id, call.function) if isinstance(receiver, ast.Name) else ()
            return any(each is not None and is_database(each) for each in aliases)
    return False


def is_database(value: ast.AST) -> bool:
    name = value.attr if isinstance(value, ast.Attribute) else getattr(value, "id", "")
    return name in ("_database", "database")


@pytest.fixture(scope="module")
def calls() -> list[Call]:
    sources = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    # Migrations are fixed text themselves: they are rendered before there is a connection.
    return [
        call for path in sources if "migrations" not in path.parts for call in Module(path).calls()
    ]


def test_sql_is_built_with_parameters(calls: list[Call]):
    seen: set[str] = set()
    wrong = []
    for call in calls:
        sql = sql_of(call)
        if sql is None or is_fixed(sql, call):
            continue
        if hands_on(call, sql) or call.where in REVIEWED:
            seen.add(call.where)
        else:
            wrong.append(f"{call.where}, line {call.node.lineno}: {ast.unparse(sql)[:80]}")
    assert not wrong, "SQL that is not fixed text:\n" + "\n".join(wrong)
    assert seen == PASSED_ON.keys() | REVIEWED.keys(), "exceptions that are none any more"


def test_who_sees_every_tenant_is_listed(calls: list[Call]):
    found = {call.where for call in calls if is_every_tenant(call)}
    found = {where for where in found if not where.startswith("auth/database.py")}
    assert found == EVERY_TENANT.keys()


@pytest.mark.parametrize(
    "source",
    [
        "async def f(self, name): await self.db.fetch(f'SELECT {name}')",
        "async def f(self, name): await self.db.fetch('SELECT ' + name)",
        "async def f(self, name): await self.db.fetch('SELECT %s' % name)",
        "async def f(self, name): await self.db.fetch('SELECT {}'.format(name))",
        "async def f(self, name): await self.db.fetch(name)",
        "async def f(self, names):\n    for q in names: await self.db.execute(q)",
        "async def f(self, name):\n    q = 'SELECT '\n    q += name\n    await self.db.row(q)",
        "async def f(self, name):\n    q = f'SELECT {name}'\n    await self.db.fetchval(q)",
        "async def f(self):\n    async with g() as q: await self.db.fetchrow(query=q)",
        "async def f(self, QUERY): await self.db.execute(QUERY)",
        "async def f(self): await self.db.execute(self.query)",
    ],
)
def test_the_lint_finds(source: str):
    assert not fixed(source)


@pytest.mark.parametrize(
    "source",
    [
        "async def f(self, name): await self.db.fetch('SELECT $1', name)",
        "ONE = 'SELECT'\nasync def f(self): await self.db.fetch(ONE + ' 1')",
        "ONE = {1: 'SELECT'}\nasync def f(self, n): await self.db.fetch(ONE[n])",
        "A, B = 'a', 'b'\nasync def f(self, n):\n    q = A if n else B\n    await self.db.row(q)",
    ],
)
def test_the_lint_lets_pass(source: str):
    assert fixed(source)


def fixed(source: str) -> bool:
    """Whether the first call of a method that takes SQL has fixed text."""
    module = Module.__new__(Module)
    module.path = "auth/x.py"
    module.tree = ast.parse(source)
    module.constants = {name for node in module.tree.body for name in bound(node)}
    (found,) = ((call, sql) for call in module.calls() if (sql := sql_of(call)) is not None)
    return is_fixed(found[1], found[0])
