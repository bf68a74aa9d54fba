"""Every kind of manifest and source, from files to the service's members."""

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb

from tests.e2e.workshop import Workshop, findings_of, guids, identities, segment


def table(header: str, *rows: str) -> str:
    return "\n".join([header, *rows]) + "\n"


def parquet(path: Path, rows: str, columns: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as db:
        db.execute(f"COPY (SELECT * FROM (VALUES {rows}) AS t({columns})) TO '{path}'")


def done(shop: Workshop) -> None:
    """Apply, and assert that nothing is left and no rule was violated."""
    planned = shop.plan().requests
    shop.apply()
    sent = shop.service.requests
    assert (sent["create"], sent["update"]) == (planned.create, planned.update)
    shop.settled()


def test_inline_identities_and_guids_arrive_as_written(shop: Workshop) -> None:
    shop.declare(
        segment(
            "gold",
            spec="customerSegmentId: SEG-GOLD\n"
            "members:\n"
            "  - identities: [a@example.com, 0012345, NO, 190:20:30, +919812345678, 2024-01-02]\n"
            "  - guids: [a@example.com, __h1f]\n",
        )
    )
    done(shop)
    written = ("a@example.com", "0012345", "NO", "190:20:30", "+919812345678", "2024-01-02")
    assert shop.service.members("SEG-GOLD") == identities(*written) | guids(
        "a@example.com", "__h1f"
    )


def test_a_sqlite_file_fills_segments_and_its_errors_have_a_location(shop: Workshop) -> None:
    shop.write("crm.db", b"")
    with closing(sqlite3.connect(shop.root / "crm.db")) as db:
        db.executescript(
            "CREATE TABLE users (email TEXT, tier TEXT, n REAL); INSERT INTO users VALUES "
            "('a', 'gold', 1), ('b', 'silver', 2), ('a', 'gold', 1), ('c', 'lead', 3)"
        )
    shop.declare(
        segment("all", spec="members: [{sqlite: {path: crm.db, table: users, column: email}}]"),
        "apiVersion: segctl/v1\nkind: SegmentTable\nmetadata: {name: tiers}\nspec:\n"
        "  source: {sqlite: {path: crm.db, sql: 'SELECT email AS identity, tier FROM users'}}\n"
        "  segmentColumn: tier\n  otherValues: ignore\n"
        "  segments: {gold: {displayName: Gold}, silver: {displayName: Silver}}\n",
    )
    found = [finding.summary for finding in findings_of(shop.plan())]
    assert "segments.yaml:6:13: users of crm.db: 1 of 4 rows left out as duplicates" in found[-1]
    done(shop)
    assert shop.service.members("all") == identities("a", "b", "c")
    assert shop.service.members("gold") == identities("a")
    shop.declare(
        segment("all", spec="members: [{sqlite: {path: crm.db, table: users, column: n}}]")
    )
    ran = shop.run("plan")
    assert ran.code == 1
    assert 'segments.yaml:6:13: error: crm.db: column "n" has values of type' in ran.err


def test_a_command_fills_segments_and_its_failure_stops_the_plan(shop: Workshop) -> None:
    shop.write("export", '#!/bin/sh\ntouch ran; cat "$1.csv"; exit $(cat status)\n')
    (shop.root / "export").chmod(0o755)
    shop.write("gold.csv", table("email,tier", "a,gold", "b,silver", "a,gold"))
    shop.write("status", "0")
    shop.project("{allowCommands: [./export], variables: {who: {default: gold}}}")
    shop.declare(
        segment("all", spec="members: [{command: {run: [./export, '${var.who}'], column: email}}]"),
        "apiVersion: segctl/v1\nkind: SegmentTable\nmetadata: {name: tiers}\nspec:\n"
        "  source: {command: {run: [./export, gold], column: email}}\n"
        "  segmentColumn: tier\n"
        "  segments: {gold: {displayName: Gold}, silver: {displayName: Silver}}\n",
    )
    assert shop.run("validate").code == 0
    assert not (shop.root / "ran").exists()
    done(shop)
    assert shop.service.members("all") == identities("a", "b")
    assert shop.service.members("gold") == identities("a")
    shop.write("status", "3")
    ran = shop.run("plan")
    assert (ran.code, ran.out) == (1, "")
    said = "error: the command ./export exited with status 3, so its output is not used"
    assert ran.err.count(said) == 2
    assert f"segments.yaml:6:13: {said}" in ran.err


def test_folders_and_patterns_fill_segments_and_name_what_is_wrong(shop: Workshop) -> None:
    for day, tier, who in (("30", "gold", "old"), ("31", "gold", "new"), ("31", "07", "seven")):
        folder = f"m/day=2026-01-{day}/tier={tier}"
        shop.write(f"{folder}/a.csv.gz", gzip.compress(table("x,email", f"1,{who}").encode()))
        shop.write(f"{folder}/_SUCCESS", "")
    shop.declare(
        segment("all", spec="members: [{file: {path: m/**/*.csv.gz, column: email}}]"),
        "apiVersion: segctl/v1\nkind: SegmentTable\nmetadata: {name: tiers}\nspec:\n"
        "  source: {file: {path: m/, column: email, where: {day: '2026-01-31'}}}\n"
        "  segmentColumn: tier\n"
        "  segments: {gold: {displayName: Gold}, '07': {displayName: Seven}}\n",
    )
    done(shop)
    assert shop.service.members("all") == identities("old", "new", "seven")
    assert shop.service.members("gold") == identities("new")
    assert shop.service.members("07") == identities("seven")
    shop.write("m/day=2026-01-31/tier=gold/a.csv.gz", b"email\n")
    ran = shop.run("plan")
    assert ran.code == 1
    assert ran.err.count("m/day=2026-01-31/tier=gold/a.csv.gz: the file is not gzip") == 2


def test_the_rows_of_each_source_are_counted_where_something_changes(shop: Workshop) -> None:
    shop.write("a.txt", "a\nb\n")
    shop.write("b.csv", table("identity", "a", "c", "c", "null"))
    shop.declare(
        segment(
            "gold",
            spec="members:\n  - file: {path: a.txt}\n"
            "  - file: {path: b.csv, onInvalid: skip}\n  - identities: [d]\n",
        ),
        segment("empty", spec="members: [{identities: [x]}]\nexclude: [{file: {path: a.txt}}]"),
    )
    said = [finding.summary.split(": ", 1)[1] for finding in findings_of(shop.plan())]
    assert sorted(said) == [
        "a.txt: 2 rows, no duplicates",
        "a.txt: 2 rows, no duplicates",
        "b.csv: 1 of 4 rows left out as duplicates",
        (
            "b.csv: 1 of 4 rows left out as invalid: "
            "1 with a placeholder that the service refuses as an identity"
        ),
    ]
    shop.apply()
    assert [finding.code for finding in findings_of(shop.plan())] == [
        "duplicate-rows",
        "rows-skipped",
    ]


def test_an_unchanged_folder_is_not_read_and_every_change_is_noticed(
    shop: Workshop,
) -> None:
    shop.write("m/tier=gold/a.txt", "a\nb\n")
    shop.write("m/tier=silver/a.txt", "c\n")
    shop.declare(
        "apiVersion: segctl/v1\nkind: SegmentTable\nmetadata: {name: tiers}\nspec:\n"
        "  source: {file: {path: m/}}\n  segmentColumn: tier\n"
        "  segments: {gold: {displayName: Gold}, silver: {displayName: Silver}}\n",
    )
    done(shop)
    assert shop.plan().is_empty
    # The same bytes in another partition folder are different memberships.
    (shop.root / "m/tier=silver/a.txt").rename(shop.root / "m/tier=gold/b.txt")
    shop.write("m/tier=silver/c.txt", "d\n")
    shop.apply()
    shop.settled()
    assert shop.service.members("gold") == identities("a", "b", "c")
    assert shop.service.members("silver") == identities("d")
    shop.write("m/tier=silver/e.txt", "e\n")
    shop.apply()
    shop.settled()
    assert shop.service.members("silver") == identities("d", "e")


def test_each_form_of_file_fills_a_segment(shop: Workshop) -> None:
    shop.write("m/a.csv", table("id,email", "1,csv@example.com", '2,"two, quoted"'))
    shop.write("m/a.tsv", table("email\tid", "tsv@example.com\t1"))
    shop.write("m/a.jsonl", json.dumps({"email": "jsonl@example.com", "n": 1}) + "\n")
    shop.write("m/a.txt", "txt@example.com\n00004\n")
    parquet(shop.root / "m/a.parquet", "('parquet@example.com', 1)", "email, n")
    packed = gzip.compress(table("email", "gz@example.com").encode())
    shop.write("m/b.csv.gz", packed)
    shop.write("m/b.txt.gz", gzip.compress(b"gz-txt@example.com\n"))
    files = ["a.csv", "a.tsv", "a.jsonl", "a.txt", "a.parquet", "b.csv.gz", "b.txt.gz"]
    lines = "".join(f"  - file: {{path: m/{file}, column: email}}\n" for file in files)
    shop.declare(segment("files", spec=f"members:\n{lines}".replace("txt, column: email", "txt")))
    done(shop)
    assert shop.service.members("files") == identities(
        *(f"{kind}@example.com" for kind in ("csv", "tsv", "jsonl", "txt", "parquet", "gz")),
        "gz-txt@example.com",
        "two, quoted",
        "00004",
    )


def test_a_file_of_guids_fills_a_segment_with_guids(shop: Workshop) -> None:
    shop.write("m/devices.csv", table("device", "d1", "d2"))
    shop.declare(
        segment("apps", spec="members: [{file: {path: m/devices.csv, column: device, kind: guid}}]")
    )
    done(shop)
    assert shop.service.members("apps") == guids("d1", "d2")


def test_a_query_selects_by_a_bound_variable(shop: Workshop) -> None:
    shop.project("{variables: {as_of: {default: '1997-12-31'}}}")
    shop.write("t.csv", table("email,day", "old@example.com,1997-12-31", "new@example.com,1998-1"))
    sql = "select email as identity from 't.csv' where day = $as_of"
    shop.declare(segment("asked", spec=f'members: [{{query: {{sql: "{sql}"}}}}]'))
    done(shop)
    assert shop.service.members("asked") == identities("old@example.com")


def test_a_query_can_return_identities_and_guids(shop: Workshop) -> None:
    shop.write("t.csv", table("email,device", "a@example.com,", ",d1"))
    sql = "select nullif(email, '') as identity, nullif(device, '') as guid from 't.csv'"
    shop.declare(segment("both", spec=f'members: [{{query: {{sql: "{sql}"}}}}]'))
    done(shop)
    assert shop.service.members("both") == identities("a@example.com") | guids("d1")


def test_a_segment_table_fills_each_segment_from_a_file_or_a_query(shop: Workshop) -> None:
    shop.write("rfm.csv", table("identity,label", "a,champions", "b,at-risk", "c,champions"))
    tables = [
        ("one", "file: {path: rfm.csv}", "label", "champions"),
        ("two", "query: {sql: \"select identity, label as s from 'rfm.csv'\"}", "s", "at-risk"),
    ]
    shop.declare(
        *(
            f"apiVersion: segctl/v1\nkind: SegmentTable\nmetadata: {{name: {name}}}\nspec:\n"
            f"  source: {{{source}}}\n  segmentColumn: {column}\n  otherValues: ignore\n"
            f"  segments: {{{value}: {{displayName: The {value}, customerSegmentId: T-{value}}}}}\n"
            for name, source, column, value in tables
        )
    )
    done(shop)
    assert shop.service.everyone() == {
        "T-champions": identities("a", "c"),
        "T-at-risk": identities("b"),
    }


def test_a_membership_adds_to_the_sources_of_several_segments(shop: Workshop) -> None:
    shop.write(
        "people/council.yaml",
        "apiVersion: segctl/v1\nkind: Membership\nmetadata: {name: council}\n"
        "spec: {segments: [gold, council], members: [{identities: [x, y]}, {guids: [g]}]}\n",
    )
    shop.declare(segment("gold", "a"), segment("council"))
    done(shop)
    both = identities("x", "y") | guids("g")
    assert shop.service.everyone() == {"gold": both | identities("a"), "council": both}


def test_an_exclusion_beats_every_source_and_memberships_too(shop: Workshop) -> None:
    shop.write("opt-outs.txt", "out\ng-out\n")
    shop.write(
        "m.yaml",
        "apiVersion: segctl/v1\nkind: Membership\nmetadata: {name: m}\n"
        "spec: {segments: [gold, silver], members: [{identities: [out, in]}]}\n",
    )
    shop.declare(
        segment(
            "gold",
            "out",
            "a",
            spec="exclude: [{file: {path: opt-outs.txt}}, "
            "{file: {path: opt-outs.txt, kind: guid}}]",
        ),
        segment("silver", "b"),
    )
    done(shop)
    assert shop.service.everyone() == {
        "gold": identities("a", "in"),
        "silver": identities("b", "out", "in"),
    }


def test_an_unmanaged_segment_is_created_and_its_members_left_alone(shop: Workshop) -> None:
    shop.declare(segment("hands-off", spec="members: unmanaged"))
    done(shop)
    shop.service.segments["hands-off"].members |= identities("theirs")
    shop.settled()
    shop.declare()
    shop.apply()
    assert shop.service.members("hands-off") == identities("theirs")


def test_variables_fill_in_names_and_ids(shop: Workshop) -> None:
    shop.project("{variables: {stage: {default: dev}}}")
    shop.declare(segment("gold", "a", spec="customerSegmentId: GOLD-${var.stage}"))
    ran = shop.run("apply", "--auto-approve", "--var", "stage=prod")
    assert (ran.code, set(shop.service.segments)) == (0, {"GOLD-prod"})
    assert shop.run("plan", "--detailed-exitcode", SEGCTL_VAR_stage="prod").code == 0


def test_every_document_of_every_file_is_read(shop: Workshop) -> None:
    shop.declare(segment("a", "1"), segment("b", "2"))
    shop.write("deep/er/c.yml", segment("c", "3") + "---\nunrelated: document\n")
    shop.write("deep/.hidden/d.yaml", segment("d", "4"))
    done(shop)
    assert set(shop.service.segments) == {"a", "b", "c"}


def test_users_of_every_script_arrive_unchanged(shop: Workshop) -> None:
    odd = [
        "ñandú@example.com",
        "日本",
        "💙",
        "a\\b",
        "o'brien",
        'say "hi"',
        "Ab",
        "aB",
        "ab",
        "\u00e9",
        "e\u0301",
    ]
    shop.write("odd.jsonl", "".join(json.dumps({"identity": value}) + "\n" for value in odd))
    shop.declare(segment("odd", spec="members: [{file: {path: odd.jsonl}}]"))
    done(shop)
    assert shop.service.members("odd") == identities(*odd)
    assert len(shop.service.members("odd")) == len(odd)
