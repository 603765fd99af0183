"""Rules for Python, over its own syntax tree.

Place in the path: inside a review. The code is parsed and never imported or run.
"""

import ast
import re
from collections.abc import Iterator

from graphs.app_builder.review.findings import Finding, Severity

CALLS: dict[str, tuple[str, Severity, str]] = {
    "eval": ("no-eval", Severity.HIGH, "eval runs text as code"),
    "exec": ("no-eval", Severity.HIGH, "exec runs text as code"),
    "os.system": (
        "shell",
        Severity.HIGH,
        "os.system runs a shell: text of others becomes commands",
    ),
    "pickle.loads": ("unsafe-load", Severity.HIGH, "pickle runs code of whoever wrote the bytes"),
    "pickle.load": ("unsafe-load", Severity.HIGH, "pickle runs code of whoever wrote the bytes"),
}
SQL = re.compile(
    r"^\s*(?:select\s|insert\s+into\s|update\s.+\sset\s|delete\s+from\s)", re.IGNORECASE
)
SINKS = ("execute", "executemany", "fetch", "fetchrow", "fetchval", "raw")
MUTABLE = (ast.List, ast.Dict, ast.Set)
Said = tuple[str, Severity, str]


def findings(path: str, text: str) -> Iterator[Finding]:
    """What the rules say of a module, or that it is none."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line, column = getattr(error, "lineno", 0) or 0, getattr(error, "offset", 0) or 0
        message = getattr(error, "msg", None) or "it cannot be parsed"
        yield Finding("syntax-error", Severity.HIGH, path, line, column, str(message)[:200])
        return
    except (RecursionError, MemoryError):
        yield Finding("syntax-error", Severity.HIGH, path, 0, 0, "it is nested too deeply")
        return
    for node in ast.walk(tree):
        for rule, severity, message in _said(node):
            line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", 0) + 1
            yield Finding(rule, severity, path, line, column, message)
    yield from _unused_imports(path, tree)


def _said(node: ast.AST) -> Iterator[Said]:
    match node:
        case ast.Call():
            yield from _of_call(node)
        case ast.ExceptHandler():
            yield from _of_handler(node)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            defaults = [*node.args.defaults, *node.args.kw_defaults]
            if any(isinstance(default, MUTABLE) for default in defaults):
                message = f"'{node.name[:60]}' has a default that all its calls share"
                yield "mutable-default", Severity.MEDIUM, message
        case ast.Compare(ops=[ast.Eq() | ast.NotEq()], comparators=[ast.Constant(value=None)]):
            yield "none-equality", Severity.LOW, "compare with None by 'is'"


def _of_call(node: ast.Call) -> Iterator[Said]:
    name = _dotted(node.func)
    if name in CALLS:
        yield CALLS[name]
    words = {word.arg: word.value for word in node.keywords}
    shell, verify = words.get("shell"), words.get("verify")
    if isinstance(shell, ast.Constant) and shell.value is True:
        yield "shell", Severity.HIGH, "shell=True: text of others becomes commands"
    if isinstance(verify, ast.Constant) and verify.value is False:
        yield "no-verify", Severity.HIGH, "verify=False: anybody on the way can answer"
    if name == "yaml.load" and "Loader" not in words and len(node.args) == 1:
        yield "unsafe-load", Severity.HIGH, "yaml.load makes any object: use yaml.safe_load"
    if name.rpartition(".")[2] in SINKS and node.args and _is_built_sql(node.args[0]):
        message = "SQL is built from pieces: send values as parameters instead"
        yield "sql-injection", Severity.CRITICAL, message


def _of_handler(node: ast.ExceptHandler) -> Iterator[Said]:
    if node.type is None:
        yield "bare-except", Severity.MEDIUM, "a bare except also catches Ctrl-C and exits"
    if len(node.body) == 1 and isinstance(node.body[0], ast.Pass):
        yield "empty-catch", Severity.MEDIUM, "the error is lost: handle it, or say why not"


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}".lstrip(".")
    return ""


def _is_built_sql(node: ast.expr) -> bool:
    match node:
        case ast.JoinedStr(values=[ast.Constant(value=str(start)), _, *_]):
            return bool(SQL.match(start))
        case ast.BinOp(left=left, op=ast.Add() | ast.Mod()):
            return _starts_sql(left)
        case ast.Call(func=ast.Attribute(value=value, attr="format")):
            return _starts_sql(value)
    return False


def _starts_sql(node: ast.expr) -> bool:
    while isinstance(node, ast.BinOp):
        node = node.left
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and bool(SQL.match(node.value))
    )


def _unused_imports(path: str, tree: ast.Module) -> Iterator[Finding]:
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    exported = {
        n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    }
    for node in tree.body:
        if not isinstance(node, ast.Import | ast.ImportFrom) or path.endswith("__init__.py"):
            continue
        for alias in node.names:
            name = (alias.asname or alias.name).partition(".")[0]
            if name not in used | exported and name not in ("*", "annotations"):
                message = f"'{name[:60]}' is imported and never used"
                yield Finding(
                    "unused-name", Severity.LOW, path, alias.lineno, alias.col_offset + 1, message
                )
