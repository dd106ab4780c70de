"""Which plugins run, in which order, and what the small ones do."""

from __future__ import annotations

import os
import types
import unittest
from unittest import mock

from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.importing import flow, plugins
from glance_py.importing.job import ImportJob
from glance_py.importing.plugins.base import ImportPlugin, StagedImage
from glance_py.importing.plugins.decompression import ImageDecompression
from glance_py.importing.plugins.inject_metadata import InjectImageMetadata
from glance_py.importing.plugins.no_op import NoOp
from tests.unit import factories
from tests.unit.importing.fakes import CALLER, ID, World, copy, direct


class LoadTest(unittest.TestCase):
    def load(self, *names: str) -> list[tuple[str, type]]:
        loaded = plugins.load(names, factories.make_conf())
        return [(name, type(plugin)) for name, plugin in loaded]

    def test_in_order(self) -> None:
        self.assertEqual([], self.load())
        self.assertEqual(
            [("inject_image_metadata", InjectImageMetadata), ("no_op", NoOp)],
            self.load("inject_image_metadata", "", "no_op"),
        )

    def test_a_plugin_that_is_not_installed(self) -> None:
        with self.assertRaisesRegex(ValueError, "image_import_plugins: there is no plugin 'x'"):
            self.load("no_op", "x")

    def test_a_plugin_that_must_run_after_another(self) -> None:
        """The order is checked before any plugin is built: qemu-img may be missing."""
        with (
            mock.patch("shutil.which", return_value=None),
            self.assertRaisesRegex(
                ValueError, "image_decompression must come before image_conversion"
            ),
        ):
            self.load("image_conversion", "image_decompression")
        with mock.patch("shutil.which", return_value="/qemu-img"):
            self.assertEqual(
                ["image_decompression", "image_conversion"],
                [name for name, _ in self.load("image_decompression", "image_conversion")],
            )
            self.assertEqual(
                ["image_conversion", "no_op"],
                [name for name, _ in self.load("image_conversion", "no_op")],
            )

    def test_a_plugin_that_cannot_be_built(self) -> None:
        with (
            mock.patch("shutil.which", return_value=None),
            self.assertRaisesRegex(ValueError, "needs qemu-img"),
        ):
            self.load("image_conversion")

    def test_a_plugin_of_an_operator_needs_no_base_class(self) -> None:
        class Own:
            def __init__(self, conf) -> None:
                self.conf = conf

        with mock.patch.object(plugins, "_load_class", lambda name: Own):
            self.assertEqual([("own", Own)], self.load("own"))


class Recorder(ImportPlugin):
    """Remembers the data that it was given, and may refuse or change it."""

    def __init__(self, act=lambda staged: None) -> None:
        self.act = act
        self.seen: list[bytes] = []

    def process(self, staged: StagedImage) -> None:
        with open(staged.path, "rb") as file:
            self.seen.append(file.read())
        self.act(staged)


class RunTest(unittest.TestCase):
    """Plugins between the arrival of the data and the first store."""

    def setUp(self) -> None:
        self.world = World(self)

    def run_import(self, *chosen: Recorder, request=None) -> None:
        self.world.stage()
        self.world.importer._plugins = [(f"p{n}", plugin) for n, plugin in enumerate(chosen)]
        self.world.start(request or direct())

    def test_each_changes_the_data_for_the_next(self) -> None:
        def replace(staged: StagedImage) -> None:
            path = f"{staged.path}.converted"
            with open(path, "wb") as file:
                file.write(b"new")
            staged.replace(path)
            staged.update_image(ImageChange(fields={"disk_format": "qcow2"}))
            staged.set_progress(f"Replaced by {staged.ctx.user_id}")
            self.assertEqual("qcow2", staged.image.disk_format)
            self.assertEqual(self.world.task.message, "")
            self.assertEqual([], list(self.world.stores.objects))

        first, second = Recorder(replace), Recorder()
        self.world.image("uploading")
        self.run_import(first, second)
        self.assertEqual(([b"data"], [b"new"]), (first.seen, second.seen))
        self.assertEqual([b"new"], list(self.world.stores.objects.values()))
        self.assertEqual(
            ("active", "qcow2"), (self.world.now().status, self.world.now().disk_format)
        )
        self.assertEqual([], self.world.staged())

    def test_a_refusal(self) -> None:
        def refuse(staged: StagedImage) -> None:
            raise errors.Invalid("no such format")

        second = Recorder()
        self.world.image("uploading")
        self.run_import(Recorder(refuse), second)
        self.assertEqual(
            ("failure", "no such format"), (self.world.task.status, self.world.task.message)
        )
        self.assertEqual(
            ("queued", [], {}), (self.world.now().status, second.seen, self.world.stores.objects)
        )

    def test_a_task_that_is_cancelled(self) -> None:
        def stop(staged: StagedImage) -> None:
            self.world.executor.stop(0)
            staged.raise_if_cancelled()

        def stop_quietly(staged: StagedImage) -> None:
            self.world.executor.stop(0)

        for act in (stop, stop_quietly):
            self.world = World(self)
            second = Recorder()
            self.world.image("uploading")
            self.run_import(Recorder(act), second)
            self.assertIn("was stopped", self.world.task.message)
            self.assertEqual([], second.seen)

    def test_not_for_copies(self) -> None:
        plugin = Recorder()
        self.world.image("active", ("one",))
        self.run_import(plugin, request=copy("two"))
        self.assertEqual((2, []), (len(self.world.now().locations), plugin.seen))

    def test_no_plugin_begins_when_the_task_is_cancelled(self) -> None:
        world = self.world
        world.image("importing")
        job = ImportJob(
            world.importer._job_deps,
            CALLER,
            world.now(),
            direct(),
            ["one"],
            world.running_task(),
            world.hold(),
        )
        job.running_task.cancel_reason = "stop"
        plugin = Recorder()
        world.stage()
        with self.assertRaisesRegex(errors.TaskCancelled, "stop"):
            flow.run(job, None, [("p", plugin)])
        self.assertEqual(([], "queued"), (plugin.seen, world.now().status))


class InjectionTest(unittest.TestCase):
    def changes(self, roles: tuple[str, ...] = ("member",), **options: object) -> list[ImageChange]:
        conf = factories.make_conf()
        for name, value in options.items():
            conf.set_override(name, value, "inject_metadata_properties")
        made: list[ImageChange] = []
        staged = types.SimpleNamespace(
            ctx=RequestContext(roles=list(roles)), update_image=made.append
        )
        InjectImageMetadata(conf).process(staged)
        return made

    def test_properties_of_the_operator(self) -> None:
        [change] = self.changes(inject={"a": "1", "b": "2"})
        self.assertEqual({"a": "1", "b": "2"}, change.set_properties)

    def test_names_of_the_service_are_left_out(self) -> None:
        names = (
            *("id", "tags", "locations", "location", "created_at", "updated_at", "deleted_at"),
            *("self", "file", "schema", "direct_url", "stores", "status", "checksum"),
            *("os_glance_x", "OS_Glance_x"),
        )
        [change] = self.changes(inject={"a": "1", **dict.fromkeys(names, "x")})
        self.assertEqual({"a": "1"}, change.set_properties)
        self.assertEqual([], self.changes(inject={"status": "active"}))
        self.assertEqual([], self.changes())

    def test_callers_that_are_ignored(self) -> None:
        self.assertEqual([], self.changes(("Admin",), inject={"a": "1"}))
        ignored = {"inject": {"a": "1"}, "ignore_user_roles": ["Reader"]}
        self.assertEqual([], self.changes(("member", "reader"), **ignored))
        self.assertEqual(1, len(self.changes(("admin",), **ignored)))
        self.assertEqual(1, len(self.changes((), **ignored)))


class NoOpTest(unittest.TestCase):
    def test_a_line_in_the_log(self) -> None:
        staged = types.SimpleNamespace(image=types.SimpleNamespace(id=ID))
        with self.assertLogs("glance_py.importing.plugins.no_op", "INFO") as logged:
            NoOp(factories.make_conf()).process(staged)
        self.assertIn(ID, logged.output[0])


class DecompressionOptionsTest(unittest.TestCase):
    def test_images_that_stay_packed(self) -> None:
        world = World(self)
        path = os.path.join(world.directory, "x")
        for head, container in ((b"\x1f\x8b\x08", "compressed"), (b"\x1f\x8b\x07", "bare")):
            with open(path, "wb") as file:
                file.write(head)
            staged = types.SimpleNamespace(
                path=path, image=types.SimpleNamespace(container_format=container)
            )
            ImageDecompression(factories.make_conf()).process(staged)


if __name__ == "__main__":
    unittest.main()
