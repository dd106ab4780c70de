#!/usr/bin/env python3
"""Measures pages of lists with 200,000 images: time, rows read, access paths.

    benchmarks/large_catalogue.py --url URL [--count N] [--only TEXT] [--indexes]

URL names a database on PostgreSQL or MariaDB.  In an empty database the schema and N images are
created (20 properties, 5 tags, 1 or 2 locations); a database with images is used without changes.
Do not use it on a database with data that you need.  Add ?local_infile=1 to MariaDB's URL to fill
it.

--indexes first adds the indexes of 'glance-manage db indexes --add'.  If these exist, the exit code
is 1 when one of the queries that must not scan a table does.
"""

import argparse
import contextlib
import datetime
import functools
import hashlib
import json
import statistics
import sys
import tempfile
import time
import uuid

import sqlalchemy as sa

from glance_py.context import RequestContext
from glance_py.db import indexes, list_query, migrations, rows, tables, usage
from glance_py.db.database import Database
from glance_py.db.engine import create_engine
from glance_py.db.repositories import sql_repositories
from glance_py.domain.image import Image, Location
from glance_py.domain.query import Filter, ImageQuery

EPOCH = datetime.datetime(2020, 1, 1)
NAMESPACE = uuid.UUID("4b1f8e2e-7d64-4a0e-9a3c-7e0f1f5a6c11")
#: A query that reads more rows than this has scanned a table or an index: more than the widest
#: window of a list has.
SCAN, WALK = 1000, list_query.MAX_WINDOW_SIZE + 1
#: Parts of the names of queries that may scan a table.
EXEMPT = ("two properties", "status queued", "disk_format", "larger than", "sorted by size")
#: The number of deleted images, one in twenty-one.
DELETED = 21
DISTROS = (
    "debian",
    "ubuntu",
    "fedora",
    "centos",
    "alpine",
    "arch",
    "suse",
    "rocky",
    "freebsd",
    "windows",
)


# --- The catalogue ---------------------------------------------------------------------------


@functools.cache
def image_id(number):
    return str(uuid.uuid5(NAMESPACE, str(number)))


def owner(number):
    """Half of the images belong to one project, most others to twenty, some to two thousand."""
    if number % 2:
        return "big"
    return f"small-{number % 4001}" if number % 10 == 0 else f"middle-{number // 2 % 20}"


def visibility(number):
    if number % 100 == 4:
        return "public"
    if number % 200 == 6:
        return "community"
    return "shared" if number % 3 else "private"


def disk_format(number):
    if number % 10_000 == 17:
        return "iso"
    return "raw" if number % 4 else "qcow2"


def status(number):
    if number % 5000 == 33:
        return "queued"
    return "deactivated" if number % 1000 == 55 else "active"


def common_columns(table, number):
    """The columns of each row that belongs to image ``number``."""
    when = EPOCH + datetime.timedelta(seconds=number)
    gone = number % DELETED == 0
    return {
        "id" if table is tables.images else "image_id": image_id(number),
        "created_at": when,
        "deleted": gone,
        "deleted_at": when if gone else None,
        "updated_at": when + datetime.timedelta(seconds=number * 7919 % 99991),
    }


def image(number):
    digest = hashlib.sha512(image_id(number).encode()).hexdigest()
    yield {
        "name": f"image-{number * 7919 % 99991:06}",
        "size": (number * 31 % 1000 + 1) << 20,
        "virtual_size": None,
        "status": status(number),
        "disk_format": disk_format(number),
        "container_format": "bare",
        "checksum": digest[:32],
        "owner": owner(number),
        "min_disk": number % 40,
        "min_ram": 512,
        "protected": False,
        "visibility": visibility(number),
        "os_hidden": False,
        "os_hash_algo": "sha512",
        "os_hash_value": digest,
    }


def properties(number):
    for k in range(17):
        yield {"name": f"bench_{k:02}", "value": f"value-{k}-{number % (7 + k)}"}
    yield {"name": "os_distro", "value": DISTROS[number // 3 % 10]}
    yield {"name": "build", "value": f"build-{number % 20_000}"}
    yield {"name": "serial", "value": f"serial-{number}"}


def tags(number):
    return (
        {"value": value}
        for value in (
            "all",
            f"ten-{number // 3 % 10}",
            f"hundred-{number % 100}",
            f"thousand-{number % 1000}",
            f"rare-{number % 20_000}",
        )
    )


def locations(number):
    for store in ("fast", "slow")[: 1 + number % 2]:
        yield {
            "value": f"file:///srv/{store}/{image_id(number)}",
            "status": "active",
            "meta_data": f'{{"store":"{store}"}}',
        }


def members(number):
    """3,000 images are shared with one project, and three of them with a second one."""
    if visibility(number) == "shared" and number % 44 == 1:
        yield {"member": "sees-many", "can_share": False, "status": "accepted"}
    if number in (44_045, 88_045, 132_089):
        yield {"member": "sees-three", "can_share": False, "status": "accepted"}


CONTENTS = (
    (tables.images, image),
    (tables.image_properties, properties),
    (tables.image_tags, tags),
    (tables.image_locations, locations),
    (tables.image_members, members),
)


# --- Filling a database ----------------------------------------------------------------------


def seed(database, count):
    """Create ``count`` images in an empty database, and additional deleted ones."""
    numbers = list(range(1, count * DELETED // (DELETED - 1) + 1))
    if database.dialect == "mysql":
        # InnoDB stores tables in the order of their primary keys.
        numbers.sort(key=image_id)
    for start in range(0, len(numbers), 10_000):
        part = numbers[start : start + 10_000]
        for table, rows_of in CONTENTS:
            found = [
                common_columns(table, number) | row for number in part for row in rows_of(number)
            ]
            if found:
                load(database, table, found)
    with database.engine.connect() as connection:
        connection.exec_driver_sql(
            "VACUUM ANALYZE"
            if database.dialect == "postgresql"
            else "ANALYZE TABLE " + ", ".join(table.name for table, _rows in CONTENTS)
        ).close()


def load(database, table, found):
    """Load rows by COPY or LOAD DATA, which accept the same text."""
    columns = ", ".join(found[0])
    with tempfile.NamedTemporaryFile("w+") as file, database.engine.connect() as connection:
        file.writelines("\t".join(map(to_copy_text, row.values())) + "\n" for row in found)
        file.seek(0)
        cursor = connection.connection.cursor()
        if database.dialect == "postgresql":
            cursor.copy_expert(f"COPY {table.name} ({columns}) FROM STDIN", file)
        else:
            cursor.execute("SET foreign_key_checks = 0, unique_checks = 0")
            cursor.execute(
                f"LOAD DATA LOCAL INFILE '{file.name}' INTO TABLE {table.name} ({columns})"
            )
        cursor.close()


def to_copy_text(value):
    if value is None:
        return "\\N"
    return str(int(value)) if isinstance(value, bool) else str(value)


# --- Queries ---------------------------------------------------------------------------------

BIG = RequestContext(project_id="big")
MIDDLE = RequestContext(project_id="middle-3")
SMALL = RequestContext(project_id="small-10")
STRANGER = RequestContext(project_id="stranger")
SEES_MANY = RequestContext(project_id="sees-many")
SEES_THREE = RequestContext(project_id="sees-three")
ADMIN = RequestContext(project_id="admin", is_admin=True)

LATEST = (("created_at", "desc"), ("id", "desc"))
CHANGED = (("updated_at", "desc"), *LATEST)
RECENT = EPOCH + datetime.timedelta(seconds=309_000)


def sort_by(key, direction="asc"):
    return ((key, direction), ("created_at", direction), ("id", direction))


def list_queries():
    """Yields (name, caller, query)."""
    for name, ctx in (
        ("half of the catalogue", BIG),
        ("a twentieth", MIDDLE),
        ("a few images", SMALL),
        ("no image", STRANGER),
        ("administrator", ADMIN),
    ):
        yield f"first page: {name}", ctx, {}
    for name, ctx in (
        ("half of the catalogue", BIG),
        ("a few images", SMALL),
        ("administrator", ADMIN),
    ):
        yield f"after 100,000: {name}", ctx, {"marker": True}
    yield "public", SMALL, {"visibility": "public"}
    yield "community", SMALL, {"visibility": "community"}
    yield "shared with me: 3,000", SEES_MANY, {"visibility": "shared"}
    yield "shared with me: 3", SEES_THREE, {"visibility": "shared"}
    yield "private: half of the catalogue", BIG, {"visibility": "private"}
    yield "of one owner, administrator", ADMIN, {"filters": (Filter("owner", "eq", "small-10"),)}
    for name, ctx in (("", BIG), (", a few images", SMALL), (", administrator", ADMIN)):
        for rarity, field in (("common", 0), ("rare", 1), ("no such", 2)):
            pair = (("os_distro", "arch"), ("build", "build-77"), ("build", "none"))[field]
            yield f"property, {rarity}{name}", ctx, {"properties": (pair,)}
            tag = ("ten-3", "rare-77", "none")[field]
            yield f"tag, {rarity}{name}", ctx, {"tags": (tag,)}
    yield "two properties", BIG, {"properties": (("os_distro", "arch"), ("bench_03", "value-3-4"))}
    yield (
        "property and tag, rare",
        BIG,
        {"properties": (("os_distro", "arch"),), "tags": ("rare-77",)},
    )
    for name, ctx in (("", BIG), (", administrator", ADMIN)):
        for field, value in (
            ("name", image_name(78_077)),
            ("checksum", checksum(78_077)),
            ("status", "active"),
            ("status", "queued"),
            ("disk_format", "iso"),
        ):
            shown = f" {value}" if field in ("status", "disk_format") else ""
            yield f"{field}{shown}{name}", ctx, {"filters": (Filter(field, "eq", value),)}
        yield f"larger than all{name}", ctx, {"filters": (Filter("size", "gte", 1001 << 20),)}
        yield (
            f"changed lately, last changed first{name}",
            ctx,
            {"filters": (Filter("updated_at", "gte", RECENT),), "sort": CHANGED},
        )
        yield (
            f"changed lately, last made first{name}",
            ctx,
            {"filters": (Filter("updated_at", "gte", RECENT),)},
        )
        for key in ("name", "size"):
            yield f"sorted by {key}{name}", ctx, {"sort": sort_by(key)}
        yield f"sorted by name, after 100,000{name}", ctx, {"sort": sort_by("name"), "marker": True}
    yield "sorted by name: a few images", SMALL, {"sort": sort_by("name")}
    yield "sorted by name: a twentieth", MIDDLE, {"sort": sort_by("name")}
    yield "sorted by name, last first", BIG, {"sort": sort_by("name", "desc")}


def image_name(number):
    return next(image(number))["name"]


def checksum(number):
    return next(image(number))["checksum"]


def fixed_queries():
    """Yields (name, statement, values) of the queries for quotas and for the rows of a page."""
    for resource, statement in usage._BY_RESOURCE.items():
        for owner in ("big", "middle-3", "small-10"):
            yield f"usage of {resource}: {owner}", statement, {"owner": owner}
    ids = [image_id(number) for number in range(100_000, 100_020)]
    yield "what belongs to 20 images", rows.SELECT_CHILDREN, {"ids": ids, "me": "big"}


# --- Measuring -------------------------------------------------------------------------------


@contextlib.contextmanager
def recorded_statements(connection):
    """Records the statements that ``connection`` executes inside the block."""
    done = []

    def note(conn, cursor, statement, parameters, context, executemany):
        done.append((statement, parameters))

    sa.event.listen(connection, "before_cursor_execute", note)
    yield done
    sa.event.remove(connection, "before_cursor_execute", note)


def measure_ms(work):
    """Median time of one call with a warm cache, in milliseconds."""
    times = [time_once_ms(work)]
    if times[0] > 1500:
        return times[0]
    times = []
    while len(times) < 5 and sum(times) < 1500:
        times.append(time_once_ms(work))
    return statistics.median(times)


def time_once_ms(work):
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def explain(connection, statement, values):
    """(rows read, blocks read, short plan, True for a scan) of one statement."""
    if connection.dialect.name == "postgresql":
        [plan] = connection.exec_driver_sql(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement, values
        ).scalar()
        steps = list(steps_of_postgresql(plan["Plan"]))
        pages = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
    else:
        plan = connection.exec_driver_sql("ANALYZE FORMAT=JSON " + statement, values).scalar()
        steps, pages = list(steps_of_mariadb(json.loads(plan))), None
    return (
        sum(step[0] for step in steps),
        pages,
        [step[1] for step in steps],
        any(step[2] and step[0] > (SCAN if step[1].startswith("ALL") else WALK) for step in steps),
    )


def steps_of_postgresql(node):
    """Yields (rows read, step, True for a walk from one end of an index), innermost step first."""
    for child in node.get("Plans", ()):
        yield from steps_of_postgresql(child)
    kind, loops = node["Node Type"], node["Actual Loops"]
    seen = node["Actual Rows"] + sum(
        node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck")
    )
    if "Sort" in kind:
        yield 0, f"sort {node['Actual Rows'] * loops}", False
    elif kind == "Bitmap Heap Scan":
        yield seen * loops, f"{node['Relation Name']} {seen * loops}", False
    elif "Scan" in kind and kind not in ("Subquery Scan", "CTE Scan"):
        where = node.get("Index Name") or f"ALL {node['Relation Name']}"
        if loops:
            yield seen * loops, f"{where} {seen * loops}", "Index Cond" not in node


def steps_of_mariadb(node):
    if isinstance(node, list):
        for child in node:
            yield from steps_of_mariadb(child)
    elif isinstance(node, dict):
        if "table_name" in node and not node["table_name"].startswith("<") and node.get("r_loops"):
            looked = round(node.get("r_rows", 0) * node["r_loops"])
            where = node.get("key") or f"ALL {node['table_name']}"
            yield looked, f"{where} {looked}", node["access_type"] in ("ALL", "index")
        for name, child in node.items():
            if name == "filesort":
                yield 0, f"sort {round(child.get('r_output_rows') or 0)}", False
            yield from steps_of_mariadb(child)


def report(name, milliseconds, looked, pages, steps, scans):
    """Print one line; returns True when a query scanned that must not."""
    blocks = "" if pages is None else f"{pages:8}"
    wrong = scans and not any(part in name for part in EXEMPT)
    mark = "SCAN " if wrong else ""
    print(f"{name:52} {milliseconds:9.1f} {looked:9}{blocks}  {mark}{'; '.join(steps)}", flush=True)
    return wrong


def page(database, name, ctx, wanted):
    query = ImageQuery(limit=20, **{**wanted, "marker": None})
    if wanted.get("marker"):
        deep = sa.select(tables.images.c.id).where(tables.images.c.deleted == sa.false())
        key, direction = query.sort[0]
        column = tables.images.c[key]
        deep = deep.order_by(column.asc() if direction == "asc" else column.desc()).offset(100_000)
        with database.engine.connect() as connection:
            marker = connection.scalar(deep.limit(1))
        # The marker must be visible to the caller; an administrator sees all images.
        query = ImageQuery(limit=20, **{**wanted, "marker": marker})
    after = None
    with database.engine.connect() as connection:
        if query.marker:
            after = connection.execute(
                list_query.marker_query(query.sort, True), {"marker": query.marker, "me": None}
            ).first()
        milliseconds = measure_ms(lambda: list_query.fetch_page(connection, ctx, query, after))
        with recorded_statements(connection) as done:
            list_query.fetch_page(connection, ctx, query, after)
        found = [explain(connection, *each) for each in done]
    pages = [each[1] for each in found]
    return report(
        name,
        milliseconds,
        sum(each[0] for each in found),
        None if None in pages else sum(pages),
        [" THEN ".join("; ".join(each[2]) for each in found)],
        any(each[3] for each in found),
    )


def number(database, name, statement, values):
    with database.engine.connect() as connection:
        milliseconds = measure_ms(lambda: connection.execute(statement, values).all())
        with recorded_statements(connection) as done:
            connection.execute(statement, values).all()
        return report(name, milliseconds, *explain(connection, *done[0]))


def creates(database, count=500):
    """Print the time to create an image with 20 properties, 5 tags and a location."""
    images, times = sql_repositories(database).images, []
    for n in range(count):
        # Random keys and values, like those of many users.
        made = Image(
            str(uuid.uuid4()),
            name=f"made-{uuid.uuid4()}",
            owner="maker",
            tags=[f"made-{n % 7}-{k}" for k in range(5)],
            properties={f"made_{k:02}": f"value-{uuid.uuid4()}" for k in range(20)},
            locations=[Location(f"file:///srv/made/{n}")],
        )
        times.append(time_once_ms(lambda made=made: images.create(ADMIN, made)))
    mine = sa.select(tables.images.c.id).where(tables.images.c.owner == "maker")
    with database.engine.connect() as connection:
        found = connection.scalars(mine).all()
        for table, _rows in reversed(CONTENTS):
            key = table.c.id if table is tables.images else table.c.image_id
            connection.execute(table.delete().where(key.in_(found)))
    print(
        f"{'create an image, median and mean of ' + str(count):52} "
        f"{statistics.median(times):9.2f} {statistics.mean(times):9.2f}",
        flush=True,
    )


def has_indexes(database):
    return all(
        found.state is indexes.IndexState.PRESENT for found in indexes.inspect_indexes(database)
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--only", default="", help="run only queries whose names contain this")
    parser.add_argument("--indexes", action="store_true", help="add the optional indexes first")
    arguments = parser.parse_args()
    database = Database(create_engine(arguments.url))
    migrations.upgrade(database)
    images = sql_repositories(database).images
    if not images.list(ADMIN, ImageQuery(limit=1)).images:
        seed(database, arguments.count)
    if arguments.indexes:
        for index in indexes.for_dialect(database.dialect):
            took = time_once_ms(
                lambda index=index: indexes.add(database, index, lambda progress: None)
            )
            print(f"{'build ' + index.name:52} {took:9.1f}", flush=True)
    fails_on_scan = has_indexes(database)
    scans = [
        page(database, name, ctx, wanted)
        for name, ctx, wanted in list_queries()
        if arguments.only in name
    ]
    scans += [
        number(database, name, statement, values)
        for name, statement, values in fixed_queries()
        if arguments.only in name
    ]
    if arguments.only in "create an image":
        creates(database)
    database.dispose()
    if fails_on_scan and any(scans):
        print(f"{sum(scans)} paths scan a table.", file=sys.stderr)
    return int(fails_on_scan and any(scans))


if __name__ == "__main__":
    sys.exit(main())
