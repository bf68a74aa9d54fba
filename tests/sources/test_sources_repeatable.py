"""Which queries return the same rows for the same files on every run."""

import pytest

from segctl.engine.duckdb import DuckEngine
from segctl.sources.query import walk_tree
from segctl.sources.repeatable import is_repeatable

SAME = [
    "select identity from 'a.csv'",
    "select distinct lower(trim(email)) as identity from 'a.csv' where email like '%@%'",
    "select a.identity from 'a.csv' a join 'b.parquet' b using (identity) order by 1",
    "select identity from read_csv('a.csv', header = true) where day::date <= $as_of::date - 180",
    "with x as (select identity, sum(n::int) as s from 'a.csv' group by all) from x",
    "select identity from 'a.csv' qualify rank() over (order by n desc) <= 10",
    "select identity from 'a.csv' union all select identity from 'b.csv'",
    "select case when x in (1, 2) then 'a' end as identity from (values (1)) as t(x)",
    "select identity from 'a.csv' where exists (select 1 from 'b.csv' b where b.x = identity)",
    "select identity from 'a.csv' where extract(year from day::timestamp) = 2026",
]

OTHER = [
    "select identity from 'a.csv' where random() < 0.5",
    "select uuid() as identity",
    "select identity from 'a.csv' where until > current_date",
    "select identity from 'a.csv' where until > now()",
    "select identity from 'a.csv' where until > CURRENT_TIMESTAMP",
    "select identity from 'a.csv' where until > today()",
    "select identity from 'a.csv' where age(day::timestamp) < interval 1 year",
    "select identity from 'a.csv' where day::date > ago(interval 1 year)",
    "select identity from 'a.csv' limit 10",
    "select identity from 'a.csv' limit 10%",
    "(select identity from 'a.csv' limit 1) union all select identity from 'b.csv'",
    "select identity from 'a.csv' using sample 10%",
    "select identity from 'a.csv' tablesample 10 rows",
    "select distinct on (x) identity from 'a.csv'",
    "select first(identity) as identity from 'a.csv' group by x",
    "select any_value(identity) as identity from 'a.csv'",
    "select identity from 'a.csv' qualify row_number() over (partition by x) = 1",
    "select identity from 'a.csv' qualify sum(x::int) over (order by y rows 1 preceding) > 1",
    "select identity from 'a.csv' where day::timestamptz > '2026-01-01'",
    "select identity from 'a.csv' positional join 'b.csv'",
    "select list_filter([identity], lambda x: random() > x)[1] as identity from 'a.csv'",
    "select identity from (select identity, nextval('s') as n from 'a.csv')",
]


@pytest.mark.parametrize("sql", SAME)
def test_a_repeatable_query_is_recognised(engine: DuckEngine, sql: str) -> None:
    assert check(engine, sql)


@pytest.mark.parametrize("sql", OTHER)
def test_a_query_that_may_return_other_rows_is_not_repeatable(engine: DuckEngine, sql: str) -> None:
    assert not check(engine, sql)


def check(engine: DuckEngine, sql: str) -> bool:
    return is_repeatable(walk_tree(engine.parse_select(sql)["statements"][0]["node"]))
