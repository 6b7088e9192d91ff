# Asks DuckDB the questions of ask.go, on the parts of a trail, and checks its answers.
# Arguments: a glob of the parts, a file of generate.Facts. Prints one JSON object.
import json
import sys
import time

import duckdb

parts, facts = sys.argv[1], json.load(open(sys.argv[2]))
db = duckdb.connect()
db.execute("SET threads = 1")
db.execute("SET enable_progress_bar = false")
db.execute("SET TimeZone = 'UTC'")
db.execute(f"CREATE VIEW t AS SELECT * FROM read_parquet('{parts}', union_by_name = true)")
deleted, hot = facts["Deleted"], facts["Hot"]

questions = {
    "who deleted X": (
        "SELECT \"user\" FROM t WHERE verb = 'delete' AND name = ?",
        [deleted["Name"]],
        lambda rows: [r[0] for r in rows] == [facts["DeletedBy"]],
    ),
    "one auditID": (
        "SELECT epoch_us(time), \"user\", verb, resource, namespace, name, code, bodies FROM t WHERE audit_id = CAST(? AS UUID)",
        [facts["MiddleID"]],
        lambda rows: len(rows) == 1,
    ),
    "history of an object, 1,000 bodies": (
        "SELECT epoch_us(time), \"user\", bodies FROM t WHERE resource = ? AND namespace = ? AND name = ? ORDER BY time",
        [hot["Resource"], hot["Namespace"], hot["Name"]],
        lambda rows: len(rows) == facts["HotEvents"],
    ),
    "top 20 of (user, verb, resource)": (
        "SELECT \"user\", verb, resource, count(*) AS n FROM t GROUP BY ALL ORDER BY n DESC LIMIT 20",
        [],
        lambda rows: [r[3] for r in rows] == [g["Events"] for g in facts["Top"]],
    ),
    "histogram of the day by minute": (
        "SELECT epoch_us(time) // 60000000 AS m, count(*) FROM t GROUP BY m ORDER BY m",
        [],
        lambda rows: [r[1] for r in rows] == facts["Minutes"],
    ),
    "403s by user": (
        "SELECT \"user\", count(*) AS n FROM t WHERE code = 403 GROUP BY ALL ORDER BY n DESC",
        [],
        lambda rows: [r[1] for r in rows] == [g["Events"] for g in facts["Forbidden"]],
    ),
    "last 50 events": (
        "SELECT epoch_us(time), \"user\", verb, resource, namespace, name, code, bodies FROM t ORDER BY time DESC LIMIT 50",
        [],
        lambda rows: len(rows) == len(facts["Last"]),
    ),
    "substring in all bodies": (
        "SELECT count(*) FROM t WHERE contains(decode(bodies), ?)",
        [facts["Needle"]],
        lambda rows: rows[0][0] == facts["NeedleEvents"],
    ),
}

times = {}
for name, (sql, args, right) in questions.items():
    took, ok = [], True
    while len(took) < 4 and sum(took) < 20:
        start = time.process_time()
        try:
            ok = right(db.execute(sql, args).fetchall()) and ok
        except duckdb.Error as err:
            print(f"bench: duckdb: {name}: {err}", file=sys.stderr)
            break
        took.append(time.process_time() - start)
    if not took:
        continue
    warm = sorted(took[1:] or took)
    times[name] = {"Seconds": warm[len(warm) // 2], "Right": ok}
print(json.dumps({"Version": duckdb.__version__, "Times": times}))
