"""Other spellings of protected and reserved names, which not every database tells apart."""

from __future__ import annotations

import contextlib
import json
import os
import unittest

from glance_py import app
from glance_py.db import migrations
from glance_py.db.database import open_database
from tests.contract.dal import backends
from tests.functional import service
from tests.functional.client import AppClient

RULES = """\
[^billing_.*]
create = admin
read = @
update = admin
delete = admin
[.*]
create = @
read = @
update = @
delete = @
"""


class NamesCase:
    def setUp(self) -> None:
        super().setUp()
        stack = self.enterContext(contextlib.ExitStack())
        conf, directory = stack.enter_context(
            service.configured(
                "property_protection_file = rules.conf\nenabled_import_methods = [glance-direct]\n",
                behind_registry=False,
            )
        )
        with open(os.path.join(directory, "rules.conf"), "w") as file:
            file.write(RULES)
        url = self.connection(stack)
        if url:
            conf.set_override("connection", url, "database")
            migrations.upgrade(open_database(conf))
        application = app.build(conf)
        self.ann = AppClient(application, "ann:p1:member")
        self.root = AppClient(application, "root:p:admin")

    def patch(self, who: AppClient, image_id: str, path: str, value: str) -> int:
        return who.patch(image_id, {"op": "add", "path": path, "value": value}).status_int

    def test_a_member_does_not_write_over_a_protected_property(self) -> None:
        image_id = self.ann.create()
        self.assertEqual(200, self.patch(self.root, image_id, "/billing_code", "right"))
        for path in ("/Billing_Code", "/BILLING_CODE", "/bílling_code", "/billing_codé"):
            with self.subTest(path):
                self.assertEqual(403, self.patch(self.ann, image_id, path, "forged"))
        image = self.ann.show(image_id)
        self.assertEqual(
            ["right"], [value for name, value in image.items() if name.lower().startswith("b")]
        )

    def test_a_member_does_not_write_properties_of_the_service(self) -> None:
        for name in ("OS_GLANCE_stage_host", "OS_GLANCE_import_task", "ös_glance_stage_host"):
            with self.subTest(name):
                image_id = self.ann.create()
                self.assertEqual(403, self.patch(self.ann, image_id, f"/{name}", "x"))
                self.assertEqual(
                    403,
                    self.ann.call(
                        "POST",
                        "/v2/images",
                        json.dumps({name: "x"}).encode(),
                        content_type="application/json",
                    ).status_int,
                )

    def test_what_is_not_protected_is_told_apart_or_refused(self) -> None:
        image_id = self.ann.create(code="1")
        status = self.patch(self.ann, image_id, "/Code", "2")
        image = self.ann.show(image_id)
        self.assertEqual(self.apart, (status, image["code"], image.get("Code")))


class TestSQLite(NamesCase, unittest.TestCase):
    apart = (200, "1", "2")

    def connection(self, stack: contextlib.ExitStack) -> None:
        """The one of the configuration."""


class TestMariaDB(NamesCase, unittest.TestCase):
    apart = (409, "1", None)

    def connection(self, stack: contextlib.ExitStack) -> str:
        scratch = type("Scratch", (backends.MariaDB,), {"skipException": unittest.SkipTest})
        url = scratch.make()
        stack.callback(scratch.drop)
        return url.render_as_string(hide_password=False)
