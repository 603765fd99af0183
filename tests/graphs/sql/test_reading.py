"""Where only reading was asked for, what does more is refused, and so is what may do more."""

import random
from typing import get_args

import pytest

from core.sql import Dialect
from graphs.sql_assist.check import check
from graphs.sql_assist.harmless import HARMLESS
from graphs.sql_assist.tables import Tables
from models.starter_chat.corpus import _sql_question
from tests.graphs.sql.starter import codes

CHANGES = [
    "DELETE FROM users",
    "UPDATE users SET name = 'x'",
    "INSERT INTO users (id) VALUES (1)",
    "DROP TABLE users",
    "TRUNCATE users",
    "CREATE TABLE x (id int)",
    "COPY users TO '/tmp/users'",
    "COPY users TO PROGRAM 'sh'",
    "SELECT * INTO copied FROM users",
    "WITH gone AS (DELETE FROM users RETURNING id) SELECT id FROM gone",
    "SELECT id FROM users WHERE id IN (SELECT id FROM users FOR UPDATE)",
    "SELECT * FROM users FOR UPDATE",
    "SELECT * FROM users FOR KEY SHARE SKIP LOCKED",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT \"pg_read_file\"('/etc/passwd')",
    "SELECT pg_catalog.pg_read_file('/etc/passwd')",
    "SELECT COALESCE(LOWER(CAST(lo_import('/etc/passwd') AS text)), '') FROM users",
    "SELECT EXISTS(SELECT 1 FROM users WHERE pg_sleep(1000) IS NULL)",
    "SELECT * FROM users, LATERAL pg_ls_dir(users.name)",
    "SELECT * FROM ROWS FROM (pg_ls_dir('/'))",
    "SELECT * FROM dblink('host=evil', 'SELECT 1') AS t(a int)",
    "SELECT * FROM ts_stat('DELETE FROM users')",
    "SELECT pg_logical_emit_message(true, 'a', 'b')",
    "SELECT schema_to_xml('public', true, false, '')",
    "SELECT nextval('users_id_seq')",
    "SELECT id OPERATOR(public.+) 1 FROM users",
    "SELECT evil.lower(name) FROM users",
    "SELECT my_own(name) FROM users",
]
REACHES = [
    ("duckdb", "SELECT * FROM read_text('/etc/passwd')"),
    ("duckdb", "SELECT * FROM read_csv('a.csv')"),
    ("duckdb", "SELECT * FROM '/etc/passwd'"),
    ("duckdb", 'FROM "people.csv"'),
    ("duckdb", "SELECT * FROM people.csv"),
    ("duckdb", "SELECT * FROM people POSITIONAL JOIN 'https://a/b.parquet'"),
    ("duckdb", "SELECT ('/etc/passwd').read_text()"),
    ("duckdb", "SELECT * FROM query('DELETE FROM t')"),
    ("duckdb", "SELECT * FROM glob('*')"),
    ("duckdb", "SELECT getenv('HOME')"),
    ("duckdb", "COPY t TO 'x.csv'"),
    ("clickhouse", "SELECT * FROM file('a.csv')"),
    ("clickhouse", "SELECT * FROM url('http://a', CSV, 'a String')"),
    ("clickhouse", "SELECT * FROM remote('host', db.t)"),
    ("clickhouse", "SELECT sleep(3)"),
    ("clickhouse", "SELECT file('a')"),
    ("oracle", "SELECT utl_http.request('http://a') FROM dual"),
    ("oracle", "SELECT httpuritype('http://a').getclob() FROM dual"),
    ("oracle", "SELECT dbms_xmlgen.getxml('SELECT 1 FROM dual') FROM dual"),
    ("oracle", "SELECT * FROM TABLE(pkg.rows(1))"),
    ("oracle", "SELECT * FROM people@elsewhere"),
    ("oracle", "SELECT ids.NEXTVAL FROM dual"),
    ("bigquery", "SELECT * FROM EXTERNAL_QUERY('c', 'DELETE FROM t')"),
    ("bigquery", "SELECT * FROM ML.PREDICT(MODEL m, TABLE t)"),
    ("bigquery", "SELECT shop.run(1)"),
    ("tsql", "SELECT * FROM OPENQUERY(linked, 'DELETE FROM t')"),
    ("tsql", "SELECT * FROM linked.shop.dbo.people"),
    ("tsql", "SELECT * FROM people WITH (UPDLOCK)"),
    ("tsql", "SELECT * FROM people WITH (NOLOCK, TABLOCKX)"),
    ("tsql", "SELECT NEXT VALUE FOR ids"),
    ("tsql", "SELECT * INTO #copied FROM people"),
    ("tsql", "SELECT dbo.run(1)"),
    ("spark", "SELECT reflect('java.lang.Runtime', 'getRuntime')"),
    ("spark", "SELECT java_method('java.lang.System', 'exit', 1)"),
    ("spark", "SELECT TRANSFORM(a) USING 'sh' AS (b) FROM t"),
    ("spark", "SELECT * FROM csv.`/etc/passwd`"),
    ("databricks", "SELECT * FROM json.`people.json`"),
    ("databricks", "SELECT * FROM read_files('/')"),
    ("databricks", "SELECT secret('a', 'b')"),
    ("sqlite", "SELECT writefile('a', 'b')"),
    ("sqlite", "SELECT readfile('a')"),
    ("sqlite", "SELECT load_extension('a')"),
    ("sqlite", "SELECT edit('a')"),
    ("mysql", "SELECT LOAD_FILE('/etc/passwd')"),
    ("mysql", "SELECT GET_LOCK('a', 10)"),
    ("mysql", "SELECT BENCHMARK(1000000000, SHA2('a', 512))"),
    ("mysql", "SELECT 1 INTO @a"),
    ("mysql", "SELECT @a := 1"),
    ("mysql", "SELECT * FROM people LOCK IN SHARE MODE"),
    ("snowflake", "SELECT * FROM @stage/people.csv"),
    ("snowflake", "SELECT * FROM 's3://bucket/people'"),
    ("snowflake", "SELECT SYSTEM$CANCEL_ALL_QUERIES(1)"),
    ("snowflake", "SELECT * FROM IDENTIFIER('people')"),
    ("snowflake", "SELECT ids.nextval"),
    ("trino", "SELECT * FROM TABLE(shop.system.query(query => 'DELETE FROM t'))"),
]
HARMLESS_QUERIES = [
    (
        "postgres",
        "SELECT to_char(age(a), 'YYYY'), string_agg(b, ',') FROM t GROUP BY 1, a",
    ),
    (
        "postgres",
        "SELECT e->>'a' FROM t, jsonb_array_elements(b) e, generate_series(1, 3), unnest(c) AS u",
    ),
    ("postgres", "SELECT pg_catalog.lower(name), regexp_replace(name, 'a', 'b') FROM people"),
    ("postgres", "SELECT a.b FROM (VALUES (1)) AS a(b) FETCH FIRST 3 ROWS ONLY"),
    ("redshift", "SELECT LISTAGG(name, ',') WITHIN GROUP (ORDER BY name), GETDATE() FROM people"),
    ("mysql", "SELECT DATE_FORMAT(a, '%Y'), IFNULL(b, 0), GROUP_CONCAT(c) FROM t GROUP BY 1, 2"),
    ("mysql", "SELECT /*+ INDEX(people by_name) */ JSON_UNQUOTE(a->'$.b') FROM people"),
    ("sqlite", "SELECT strftime('%Y', a), printf('%d', b), value FROM t, json_each(t.c)"),
    ("tsql", "SELECT TOP 5 ISNULL(a, 0), DATEADD(day, 1, b) FROM t WITH (NOLOCK)"),
    ("tsql", "SELECT value FROM t CROSS APPLY STRING_SPLIT(a, ',')"),
    ("oracle", "SELECT NVL(a, 0), TO_CHAR(b, 'YYYY'), ADD_MONTHS(b, 1) FROM t WHERE ROWNUM < 5"),
    ("oracle", "SELECT * FROM XMLTABLE('x' PASSING y)"),
    ("bigquery", "SELECT SAFE.SUBSTR(a, 1), FORMAT_DATE('%Y', b) FROM `my-project.shop.people_*`"),
    (
        "bigquery",
        "SELECT x FROM t, UNNEST(t.y) AS x QUALIFY ROW_NUMBER() OVER (ORDER BY x) = 1",
    ),
    (
        "snowflake",
        "SELECT f.value:a::int, IFF(b, 2, 3) FROM t, LATERAL FLATTEN(input => t.c) f",
    ),
    ("spark", "SELECT collect_list(a), max(y) FROM shop.people LATERAL VIEW explode(c) x AS y"),
    ("databricks", "SELECT from_json(a, 'b INT'), date_format(c, 'yyyy') FROM main.shop.people"),
    ("hive", "SELECT a, concat_ws(',', collect_set(c)) FROM t GROUP BY a"),
    ("trino", "SELECT from_unixtime(a), element_at(b, 1) FROM t CROSS JOIN UNNEST(c) AS x(d)"),
    ("presto", "SELECT json_extract_scalar(a, '$.b'), date_parse(c, '%Y') FROM hive.shop.people"),
    ("duckdb", "SELECT list_transform([1], x -> x + 1), name.upper() FROM shop.people, range(3)"),
    ("duckdb", "FROM people SELECT strftime(a, '%Y'), COLUMNS('b.*')"),
    (
        "clickhouse",
        "SELECT a, uniqExact(b), sumIf(c, d), quantile(0.9)(c) FROM t GROUP BY a",
    ),
    ("clickhouse", "SELECT arrayJoin(a), multiIf(b, 1, 2) FROM t FINAL, numbers(10)"),
]


def faults(dialect, sql):
    return [f.code for f in check(sql, dialect, Tables(), writes=False).faults]


@pytest.mark.parametrize("sql", CHANGES)
def test_what_does_more_than_read_is_invalid_with_a_schema_and_without(sql):
    assert "not_read_only" in codes(sql, writes=False)
    assert "not_read_only" in faults("postgres", sql)


@pytest.mark.parametrize(("dialect", "sql"), REACHES)
def test_what_reaches_out_of_the_tables_is_invalid_in_every_dialect(dialect, sql):
    assert "not_read_only" in faults(dialect, sql)


@pytest.mark.parametrize(("dialect", "sql"), HARMLESS_QUERIES)
def test_everyday_queries_of_every_dialect_are_let_pass(dialect, sql):
    assert faults(dialect, sql) == []


def test_a_refusal_says_what_is_refused_and_where():
    (fault,) = check("SELECT a,\n run_it(b) FROM t", "postgres", Tables(), writes=False).faults
    assert "run_it() is not known to only read" in fault.message
    assert (fault.line, fault.column) == (2, 2)


def test_who_asks_for_writes_may_lock_and_call_the_functions_of_the_database():
    sql = "SELECT my_own(name) FROM users FOR UPDATE"
    assert codes(sql, writes=True) == []


def test_every_dialect_has_its_functions():
    assert set(HARMLESS) == set(get_args(Dialect))


def test_every_form_of_question_that_the_starter_model_learned_is_let_pass():
    for seed in range(150):
        _, sql, _, _ = _sql_question(random.Random(seed))
        assert "not_read_only" not in codes(sql, writes=False), sql
