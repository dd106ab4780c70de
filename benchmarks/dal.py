#!/usr/bin/env python3
"""Measures the DAL: CPU time and elapsed time of each operation on a database.

    benchmarks/dal.py [--url URL] [--count N]

Without --url a temporary SQLite database is used.  In an empty database the schema and N images
are created (20 properties, 5 tags, 2 locations, one in five public, all of project p1); a database
with images is used without changes.  Do not use it on a database with data that you need.  CPU time
is that of this process, without the database server.
"""

import argparse
import datetime
import tempfile
import time
import uuid

from glance_py.context import RequestContext
from glance_py.db import migrations, tables
from glance_py.db.database import Database
from glance_py.db.engine import create_engine
from glance_py.db.repositories import sql_repositories
from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.query import Filter, ImageQuery

EPOCH = datetime.datetime(2020, 1, 1)
NAMESPACE = uuid.UUID("8a0b54a5-98c5-4a2e-8a3f-1d2ff4f4d0a1")
OWNER = RequestContext(project_id="p1")
STRANGER = RequestContext(project_id="stranger")
ADMIN = RequestContext(project_id="admin", is_admin=True)
SORT_BY_NAME = (("name", "asc"), ("created_at", "asc"), ("id", "asc"))


def image_id(number):
    return str(uuid.uuid5(NAMESPACE, str(number)))


def seed(database, count):
    """Create ``count`` images in an empty database, with ``created_at`` one second apart."""
    for start in range(0, count, 500):
        numbers = range(start, min(start + 500, count))
        database.write(lambda connection, numbers=numbers: insert(connection, numbers))


def insert(connection, numbers):
    def rows(one):
        return [
            dict(created_at=when, updated_at=when, deleted=False, **row)
            for n in numbers
            for when in [EPOCH + datetime.timedelta(seconds=n)]
            for row in one(n)
        ]

    connection.execute(
        tables.images.insert(),
        rows(
            lambda n: [
                {
                    "id": image_id(n),
                    "name": f"image-{n}",
                    "status": "active",
                    "owner": "p1",
                    "size": n,
                    "min_disk": 0,
                    "min_ram": 0,
                    "protected": False,
                    "os_hidden": False,
                    "visibility": "shared" if n % 5 else "public",
                }
            ]
        ),
    )
    connection.execute(
        tables.image_properties.insert(),
        rows(
            lambda n: [
                {"image_id": image_id(n), "name": f"p{k}", "value": f"v{n % (7 + k)}"}
                for k in range(20)
            ]
        ),
    )
    connection.execute(
        tables.image_tags.insert(),
        rows(lambda n: [{"image_id": image_id(n), "value": f"t{n % (10**k)}"} for k in range(5)]),
    )
    connection.execute(
        tables.image_locations.insert(),
        rows(
            lambda n: [
                {
                    "image_id": image_id(n),
                    "value": f"file:///{s}/{n}",
                    "status": "active",
                    "meta_data": f'{{"store": "{s}"}}',
                }
                for s in ("fast", "slow")
            ]
        ),
    )


def measure(name, operation, repeat):
    """Print CPU and elapsed time of one call in milliseconds, the mean of ``repeat`` calls."""
    operation()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(repeat):
        operation()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{name:28} {cpu / repeat * 1000:9.3f} {wall / repeat * 1000:9.3f}")


def reads(images, count):
    numbers = iter(range(10**9))
    middle = image_id(count // 2)

    def show():
        images.get(OWNER, image_id(next(numbers) % count))

    def missing():
        try:
            images.get(OWNER, "none")
        except errors.ImageNotFound:
            pass

    yield "show", show, 300
    yield "missing", missing, 300
    for name, ctx, query, repeat in (
        ("list 20", OWNER, ImageQuery(limit=20), 50),
        ("list 20, admin", ADMIN, ImageQuery(limit=20), 50),
        ("list 20, stranger", STRANGER, ImageQuery(limit=20), 50),
        ("list 20, deep", OWNER, ImageQuery(limit=20, marker=middle), 50),
        ("list 20, by tag", OWNER, ImageQuery(limit=20, tags=("t3",)), 10),
        ("list 20, by property", OWNER, ImageQuery(limit=20, properties=(("p3", "v3"),)), 10),
        ("list 20, by size", OWNER, ImageQuery(limit=20, filters=(Filter("size", "gte", 9),)), 20),
        ("list 20, sorted by name", OWNER, ImageQuery(limit=20, sort=SORT_BY_NAME), 5),
        ("list 20, no share", STRANGER, ImageQuery(limit=20, visibility="shared"), 20),
        ("list 1000", OWNER, ImageQuery(limit=1000), 5),
    ):
        yield name, lambda ctx=ctx, query=query: images.list(ctx, query), repeat


def writes(images, repeat=100):
    created = []

    def create():
        created.append(
            images.create(
                OWNER,
                Image(
                    str(uuid.uuid4()),
                    owner="p1",
                    tags=list("abcde"),
                    properties={f"p{k}": "v" for k in range(20)},
                    locations=[Location("file:///x")],
                ),
            )
        )

    yield "create", create, repeat
    to_update = iter(created)
    change = ImageChange(
        fields={"name": "n"}, set_properties={"p1": "w", "new": "v"}, add_tags=("f",)
    )
    yield "update", lambda: images.update(OWNER, next(to_update), change), repeat - 1
    to_delete = iter(created)
    yield "delete", lambda: images.delete(OWNER, next(to_delete)), repeat - 1


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url")
    parser.add_argument("--count", type=int, default=2000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        database = Database(create_engine(arguments.url or f"sqlite:///{directory}/bench.sqlite"))
        migrations.upgrade(database)
        images = sql_repositories(database).images
        if not images.list(ADMIN, ImageQuery(limit=1)).images:
            seed(database, arguments.count)
        print(f"{'':28} {'CPU ms':>9} {'time ms':>9}")
        for part in (reads(images, arguments.count), writes(images)):
            for name, operation, repeat in part:
                measure(name, operation, repeat)
        database.dispose()


if __name__ == "__main__":
    main()
