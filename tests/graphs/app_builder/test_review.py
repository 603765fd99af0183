"""Reviews: every rule finds what it is for, where it is, and leaves what is right alone."""

import time

import pytest

from graphs.app_builder.review import MOST_FINDINGS, Severity, review


def rules(path, text):
    return {finding.rule for finding in review({path: text})}


BAD = [
    ("a.js", "eval(input);", "no-eval"),
    ("a.js", "setTimeout('run()', 1);", "no-eval"),
    ("a.js", "new Function('a', input)();", "no-eval"),
    ("a.js", "node.innerHTML = text;", "no-raw-html"),
    ("a.js", "node.insertAdjacentHTML('beforeend', text);", "no-raw-html"),
    ("a.js", "document.write(text);", "no-raw-html"),
    (
        "a.jsx",
        "export const A = () => <p dangerouslySetInnerHTML={{ __html: b }} />;",
        "no-raw-html",
    ),
    ("a.jsx", 'export const A = () => <a href="javascript:b()">c</a>;', "no-script-url"),
    ("a.jsx", 'export const A = () => <a href="/" target="_blank">c</a>;', "blank-target"),
    ("a.jsx", 'export const A = () => <img src="/b.png" />;', "alt-text"),
    ("a.jsx", "export const A = (b) => b.map((c) => <p>{c}</p>);", "missing-key"),
    ("a.jsx", "export const A = (b) => b.map((c) => { return (<p>{c}</p>); });", "missing-key"),
    ("a.jsx", "useEffect(() => { load(); });", "effect-always"),
    ("a.js", "if (a == b) c();", "loose-equality"),
    ("a.js", "try { a(); } catch (error) {}", "empty-catch"),
    ("a.js", "if (a = b) c();", "assigned-condition"),
    ("a.js", "debugger;", "debugger"),
    ("a.js", "var a = 1; b(a);", "no-var"),
    ("a.js", "console.log(a);", "console-log"),
    ("a.js", "db.query('SELECT * FROM a WHERE b = ' + c);", "sql-injection"),
    ("a.js", "db.query(`select a from b where c = '${d}'`);", "sql-injection"),
    ("a.js", 'const q = "DELETE FROM a WHERE b=\'" + c + "\'"; run(q);', "sql-injection"),
    ("a.js", "const password = 'hunter2hunter2';\nlogin(password);", "secret-in-source"),
    ("a.js", "connect('postgres://admin:s3cr3tpass@db/x');", "secret-in-source"),
    ("a.py", "KEY = 'AKIAIOSFODNN7ABCDEFG'", "secret-in-source"),
    ("a.txt", "-----BEGIN RSA PRIVATE KEY-----", "secret-in-source"),
    ("a.js", "import { a, b } from 'c';\na();", "unused-name"),
    ("a.ts", "const a: number = 1;\nexport const b = 2;", "unused-name"),
    ("a.vue", '<template><p v-html="a"></p></template>', "no-raw-html"),
    ("a.vue", '<template><p v-for="a in b">{{ a }}</p></template>', "missing-key"),
    (
        "a.vue",
        '<template><p v-for="a in b" v-if="a" :key="a">{{ a }}</p></template>',
        "for-with-if",
    ),
    ("a.vue", "<template><p>{{ a == b }}</p></template>", "loose-equality"),
    (
        "a.vue",
        "<script setup>\nconst a = 1;\n</script>\n<template><p>b</p></template>",
        "unused-name",
    ),
    ("a.html", '<button onclick="a()">b</button>', "inline-handler"),
    ("a.html", '<script src="https://example.com/a.js"></script>', "no-integrity"),
    ("a.html", '<iframe src="/a"></iframe>', "frame-sandbox"),
    ("a.sql", "DELETE FROM users", "no-where"),
    ("a.sql", "UPDATE users SET admin = true", "no-where"),
    ("a.sql", "SELECT * FROM users", "select-star"),
    ("a.py", "eval(x)", "no-eval"),
    ("a.py", "import subprocess\nsubprocess.run(x, shell=True)", "shell"),
    ("a.py", "import pickle\npickle.loads(x)", "unsafe-load"),
    ("a.py", "get('https://a', verify=False)", "no-verify"),
    ("a.py", "try:\n    a()\nexcept:\n    b()", "bare-except"),
    ("a.py", "try:\n    a()\nexcept OSError:\n    pass", "empty-catch"),
    ("a.py", "def a(b=[]): return b", "mutable-default"),
    ("a.py", "x == None", "none-equality"),
    ("a.py", "db.execute(f\"SELECT * FROM a WHERE b = '{c}'\")", "sql-injection"),
    ("a.py", "db.execute('SELECT a FROM b WHERE c = ' + d)", "sql-injection"),
    ("a.py", "db.execute('DELETE FROM a WHERE b = %s' % c)", "sql-injection"),
    ("a.py", "import os", "unused-name"),
    ("a.py", "def (", "syntax-error"),
    ("a.js", "const = 1;", "syntax-error"),
    ("a.json", "{", "syntax-error"),
    ("a.sql", "SELECT FROM WHERE (", "syntax-error"),
]
GOOD = [
    ("a.js", "export const evaluate = (a) => a === null || a == null;"),
    ("a.js", "node.textContent = text; node.innerHTML = '';"),
    ("a.js", "try { a(); } catch { b(); }"),
    ("a.js", "try { a(); } catch { /* a browser without storage */ }"),
    ("a.js", "sql`select a from b where c = ${d}`;"),
    ("a.js", "db.query('select a from b where c = $1', [d]);"),
    ("a.js", "const text = 'Select a file: ' + name; show(text);"),
    ("a.js", "const apiKey = process.env.API_KEY; use(apiKey);"),
    ("a.js", "const password = 'your-password-here'; use(password);"),
    ("a.js", "const { a, ...rest } = b; c(rest);"),
    ("a.js", "for (const [a, b] of c) d(a, b);"),
    ("a.jsx", "export const A = (b) => b.map((c) => <p key={c}>{c}</p>);"),
    ("a.jsx", "export const A = (b) => b.map((c) => <p {...c} />);"),
    ("a.jsx", "import B from './B.jsx';\nexport const A = () => <B />;"),
    ("a.jsx", "useEffect(() => { load(); }, []);"),
    ("a.ts", "import type { A } from './a';\nexport const b = (c: A) => c;"),
    (
        "a.vue",
        (
            "<script setup>\nimport TaskTable from './a.vue';\nconst b = 1;\n</script>\n"
            '<template><task-table :c="b" /></template>'
        ),
    ),
    ("a.vue", '<template><p v-for="a in b" :key="a">{{ a }}</p></template>'),
    ("a.py", "import os\nprint(os.name)"),
    ("a.py", "db.execute('SELECT a FROM b WHERE c = %s', (d,))"),
    ("a.sql", "DELETE FROM users WHERE id = 1"),
]


@pytest.mark.parametrize(("path", "text", "rule"), BAD)
def test_what_is_wrong_is_found(path, text, rule):
    assert rule in rules(path, text)


@pytest.mark.parametrize(("path", "text"), GOOD)
def test_what_is_right_is_left_alone(path, text):
    assert rules(path, text) == set()


def test_findings_name_file_line_and_column_and_the_worst_come_first():
    found = review(
        {
            "b.js": "\n\n  eval(a);\n",
            "a.vue": "<template>\n<p>x</p>\n</template>\n\n<script>\nif (a == b) c();\n</script>",
            "c.js": "login('a', { password: 'correcthorse' });\n",
        }
    )
    assert [(f.path, f.line, f.column, f.severity) for f in found] == [
        ("c.js", 1, 14, Severity.CRITICAL),
        ("b.js", 3, 3, Severity.HIGH),
        ("a.vue", 6, 5, Severity.LOW),
    ]


def test_a_secret_is_never_repeated():
    key = "ghp_" + "a1B2" * 10
    found = review({"a.js": f"use('{key}');"})
    assert found
    assert all(key not in finding.message for finding in found)


@pytest.mark.parametrize(
    ("path", "piece"),
    [
        ("a.js", "("),
        ("a.js", "var a;"),
        ("a.js", "'SELECT ' + a + "),
        ("a.js", "`"),
        ("a.js", "`${"),
        ("a.js", "const [a = ["),
        ("a.jsx", "x.map((a) => <p>"),
        ("a.js", 'password: "'),
        ("a.js", "\n"),
        ("a.vue", "{{a}}"),
        ("a.vue", "<p :a='b'>"),
        ("a.html", "<"),
        ("a.py", "import a\n"),
        ("a.sql", "("),
        ("a.json", "["),
    ],
)
def test_a_review_ends_soon_whatever_is_repeated(path, piece):
    started = time.perf_counter()
    review({path: (piece * 2**17)[: 2**17]})
    assert time.perf_counter() - started < 30  # a few seconds at most, on an idle core


def test_files_that_there_is_no_time_for_are_said(monkeypatch):
    monkeypatch.setattr("graphs.app_builder.review.LONGEST_S", 0.0)
    assert rules("a.js", "eval(b);") == {"not-reviewed"}


def test_a_flood_of_findings_is_cut():
    assert len(review({"a.js": "debugger;\n" * 5_000})) == MOST_FINDINGS + 1


def test_what_is_nested_without_end_is_reviewed_all_the_same():
    files = {
        "a.py": "(" * 10_000,
        "a.js": "a(" * 20_000,
        "b.sql": "SELECT " + "(" * 3_000,
        "c.vue": "<p>" * 3_000,
    }
    assert {f.path for f in review(files)} >= {"a.py", "a.js", "b.sql"}
