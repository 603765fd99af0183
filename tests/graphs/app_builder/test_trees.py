"""Trees that may be given away, and files that are what their names say."""

import time

import pytest

from graphs.app_builder.review import review
from graphs.app_builder.review.sql import findings
from graphs.app_builder.syntax import MOST_FAULTS, file_faults, syntax_faults
from graphs.app_builder.tree import MAX_FILE_BYTES, path_fault, tree_faults


@pytest.mark.parametrize(
    "path",
    [
        "../a.js",
        "a/../../b.js",
        "/etc/passwd.txt",
        "a//b.js",
        "./a.js",
        "C:/a.js",
        "a\\b.js",
        "con.js",
        "src/AUX.txt",
        "nul",
        "lpt1.md",
        "a/com9/b.js",
        "a.js ",
        " a.js",
        "a./b.js",
        "a.js\x00",
        "a\n.js",
        "a|b.js",
        "é.js",
        "a" * 100 + ".js",
        "/".join("abcdefghij") + ".js",
        "run.exe",
        "run.sh",
        ".htaccess",
        "a.js/",
        "",
        "x" * 300,
    ],
)
def test_paths_that_could_leave_or_hurt_are_refused(path):
    assert path_fault(path) is not None
    assert [fault.path for fault in tree_faults({path: ""})] == [path[:200]]


@pytest.mark.parametrize(
    "path", ["a.js", "src/components/Task.jsx", ".gitignore", "database/schema.sql", "con-fig.js"]
)
def test_plain_paths_are_taken(path):
    assert path_fault(path) is None


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"a.js": "", "A.js": ""},
        {"a.js": "", "a.js/b.js": ""},
        {"a.md": "a\0b"},
        {"a.js": "x" * (MAX_FILE_BYTES + 1)},
        {f"{n}.js": "" for n in range(101)},
        {f"{n}.js": "x" * 200_000 for n in range(6)},
    ],
)
def test_trees_that_clash_or_grow_without_bounds_are_refused(files):
    assert tree_faults(files)


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("a.js", "const a = 1;\nconst = 2;\n", 2),
        ("a.jsx", "export default () => (\n  <div>\n    <p>text</div>\n);\n", 1),
        ("a.ts", "const a: number = 1;\nlet b: = 2;\n", 2),
        ("a.tsx", "const a = <p>{x</p>;\n", 1),
        ("a.css", "a { color: red; }\nb { color }}\n", 2),
        ("a.json", '{\n "a": 1,\n}', 3),
        ("a.sql", "SELECT 1;\nSELEC FROM WHERE", 0),
        ("a.sql", "SELECT 1;\nCREATE TABLE a (b int", 2),
        ("a.vue", "<script setup>\nconst a = ;\n</script>\n<template><p>x</p></template>\n", 2),
        ("a.vue", "<template>\n  <p>{{ a + }}</p>\n</template>\n", 2),
        ("a.vue", '<template>\n  <p :a="b c">x</p>\n</template>\n', 2),
        ("a.html", "<p>x</p>\n<script>\nlet a = (;\n</script>\n", 3),
        ("a.html", "<p>x</p>\n<style>\nb { : }\n</style>\n", 3),
    ],
)
def test_faults_are_told_by_their_line(path, text, line):
    faults = file_faults(path, text)
    assert faults
    assert faults[0].path == path
    assert line in (0, *(fault.line for fault in faults))
    assert str(faults[0]).startswith(path)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.js", "export const a = async () => { for await (const b of c) d(b?.e ?? `f${g}`); };"),
        ("a.jsx", "export default ({ a }) => <><b c={d} {...e} />{a && <p>f</p>}</>;"),
        ("a.ts", "export type A = { b?: string }; const c = <T,>(d: T): T => d satisfies T;"),
        ("a.tsx", "const A: React.FC<{ b: string }> = ({ b }) => <p>{b as string}</p>;"),
        (
            "a.vue",
            (
                '<script setup lang="ts">\nconst a: number = 1;\n</script>\n<template>\n'
                '  <p v-for="{ b } in c" :key="b" @click="d = 1; e()">{{ b ? "f" : g(h) }}</p>\n'
                "</template>\n<style scoped>\na { b: c; }\n</style>\n"
            ),
        ),
        ("a.css", "@media (min-width: 1px) { a > b:hover { --c: 1px; width: calc(1px + 2%); } }"),
        ("a.json", '{"a": [1, null]}'),
        ("a.sql", 'CREATE TABLE "a" ("id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);'),
        ("a.md", "# anything"),
    ],
)
def test_what_is_right_has_no_faults(path, text):
    assert not syntax_faults({path: text})


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.json", "[" * 100_000),
        ("a.js", "(" * 50_000),
        ("a.sql", "SELECT " + "(" * 5_000),
        ("a.html", "<p>" * 5_000),
        ("a.css", "{" * 50_000),
    ],
)
def test_what_is_nested_without_end_is_a_fault_and_no_crash(path, text):
    faults = file_faults(path, text)
    assert len(faults) <= MOST_FAULTS
    if path != "a.html":  # its elements need no end
        assert faults


def test_subscripts_without_end_are_refused_and_reviewed_at_once():
    started = time.process_time()
    text = "SELECT a" + "[1]" * 40_000
    assert "nested too deeply" in file_faults("a.sql", text)[0].message
    assert not list(findings("a.sql", text))
    assert time.process_time() - started < 3


@pytest.mark.parametrize("path", ["a.html", "a.vue"])
def test_what_a_grammar_takes_minutes_for_is_left_after_seconds(path):
    started = time.process_time()
    text = "<!--" * 32_000
    assert "nested too deeply" in file_faults(path, text)[0].message
    assert "syntax-error" in [finding.rule for finding in review({path: text})]
    assert time.process_time() - started < 30
