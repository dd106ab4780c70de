"""Paste files that operators have: old names, their own filters, several files."""

from __future__ import annotations

import os
import pathlib
import tempfile
import unittest

from glance_py import pipeline
from glance_py.middleware.factory_deps import FactoryDependencies, needs_dependencies
from glance_py.pipeline import PipelineError
from tests.unit.middleware.wsgi_helpers import RecordingApp, call, factory_dependencies, options

OLD = """\
[composite:glance-api]
paste.composite_factory = glance.api:root_app_factory
/: empty
[app:empty]
paste.app_factory = tests.unit.test_pipeline:app_factory
"""

#: A pipeline with one filter, which a test adds; the application is the service's.
FILTERED = """\
[DEFAULT]
place = everywhere
[composite:glance-api]
paste.composite_factory = glance_py.pipeline:pipeline_factory
default = filter end
[app:end]
paste.app_factory = glance_py.app:api_factory
[filter:filter]
"""


def app_factory(global_conf, **local_conf):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"here"]

    return app


def own_filter(global_conf, **local_conf):
    """A filter of an operator: knows nothing of this service."""

    def make_filter(app):
        def filtered(environ, start_response):
            environ["own"] = {**global_conf, **local_conf}
            return app(environ, start_response)

        return filtered

    return make_filter


def own_filter_app(app, global_conf, **local_conf):
    """The other kind of filter factory that Paste knows."""
    return own_filter(global_conf, **local_conf)(app)


class OurFilter:
    """A filter that is given what the process has built."""

    def __init__(self, app, deps, local_conf) -> None:
        self.app, self.deps, self.local_conf = app, deps, local_conf

    @classmethod
    @needs_dependencies
    def factory(cls, deps: FactoryDependencies, global_conf, /, **local_conf):
        return lambda app: cls(app, deps, {**global_conf, **local_conf})

    def __call__(self, environ, start_response):
        environ["ours"] = self
        return self.app(environ, start_response)


@needs_dependencies
def our_factory(deps: FactoryDependencies, global_conf, /, **local_conf):
    """A filter factory of this service that is a function."""
    return OurFilter.factory(deps, global_conf, **local_conf)


class Subclass(OurFilter):
    """An operator's subclass of a filter of this service."""


class PipelineCase(unittest.TestCase):
    def setUp(self) -> None:
        self.directory = self.enterContext(tempfile.TemporaryDirectory())

    def deps(self, text: str, flavor: str | None = None, **given) -> FactoryDependencies:
        self.path = os.path.join(self.directory, "paste.ini")
        pathlib.Path(self.path).write_text(text)
        conf = options()
        conf.set_override("config_file", self.path, "paste_deploy")
        conf.set_override("flavor", flavor, "paste_deploy")
        return factory_dependencies(conf, **given)


class TestOldFiles(PipelineCase):
    def test_factories_of_the_original_are_understood(self):
        deps = self.deps(OLD)
        with self.assertLogs("glance_py.pipeline", "WARNING") as log:
            app = pipeline.load(deps)
        self.assertEqual([b"here"], app({"PATH_INFO": "/"}, lambda *_: None))
        self.assertIn(self.path, log.output[0])
        self.assertIn("[composite:glance-api]", log.output[0])
        self.assertIn(
            "paste.composite_factory = glance_py.pipeline:root_app_factory", log.output[0]
        )

    def test_files_of_today_are_taken_without_a_word(self):
        text = OLD.replace("glance.api:root", "glance_py.pipeline:root")
        with self.assertNoLogs("glance_py.pipeline", "WARNING"):
            pipeline.load(self.deps(text))

    def test_an_error_names_file_and_section(self):
        deps = self.deps(OLD, "no-such")
        with self.assertRaises(PipelineError) as caught, self.assertLogs("glance_py.pipeline"):
            pipeline.load(deps)
        self.assertIn(self.path, str(caught.exception))
        self.assertIn("glance-api-no-such", str(caught.exception))

    def test_a_path_without_an_application(self):
        text = OLD.replace("/: empty", "/here: empty").replace("glance.api:", "glance_py.pipeline:")
        app = pipeline.load(self.deps(text))
        self.assertEqual((404, b""), call(app, "/there")[::2])
        self.assertEqual(b"here", call(app, "/here/it/is")[2])


class TestFilters(PipelineCase):
    """Filters of operators and of this service, in every way in which a paste file names them."""

    def ask(self, section: str, **files: str) -> dict:
        """The WSGI environment at the end of the pipeline with a filter of this section."""
        for name, text in files.items():
            pathlib.Path(self.directory, f"{name}.ini").write_text(text)
        end = RecordingApp()
        self.built = self.deps(FILTERED + section, application=end)
        self.assertEqual((200, b"end"), call(pipeline.load(self.built))[::2])
        return end.environ

    def test_a_filter_of_an_operator(self):
        for kind, name in (("filter", "own_filter"), ("filter_app", "own_filter_app")):
            environ = self.ask(
                f"paste.{kind}_factory = tests.unit.test_pipeline:{name}\ncolour = blue"
            )
            self.assertEqual("blue", environ["own"]["colour"])
            self.assertEqual("everywhere", environ["own"]["place"])
            self.assertTrue(all(type(value) is str for value in environ["own"].values()))

    def assert_ours(self, environ: dict, colour: str) -> None:
        ours = environ["ours"]
        self.assertIs(self.built, ours.deps)
        self.assertEqual(colour, ours.local_conf["colour"])

    def test_a_filter_of_the_service(self):
        """Also one whose options have the names of the factory's parameters."""
        for name in ("OurFilter", "Subclass"):
            environ = self.ask(
                f"paste.filter_factory = tests.unit.test_pipeline:{name}.factory\n"
                "colour = red\ndeps = 1\nglobal_conf = 2\n"
            )
            self.assert_ours(environ, "red")
            self.assertEqual("1", environ["ours"].local_conf["deps"])
            self.assertEqual(name, type(environ["ours"]).__name__)

    def test_a_filter_by_reference(self):
        """To a function, a section of the same file, or another file."""
        named = "paste.filter_factory = tests.unit.test_pipeline:OurFilter.factory\n"
        self.assert_ours(
            self.ask("use = call:tests.unit.test_pipeline:our_factory\ncolour = red"), "red"
        )
        self.assert_ours(
            self.ask(f"use = base\ncolour = green\n[filter:base]\n{named}colour = red"), "green"
        )
        for uri in ("config:other.ini#base", f"config:{self.directory}/other.ini#base"):
            other = f"[filter:base]\n{named}colour = red\n"
            self.assert_ours(self.ask(f"use = {uri}", other=other), "red")
        other = f"[filter:main]\n{named}colour = blue\n"
        self.assert_ours(self.ask("use = config:other.ini", other=other), "blue")

    def test_a_pipeline_of_another_file(self):
        """Its sections are loaded as those of the first file are; names of Glance too."""
        other = OLD.replace("empty\n", "end\n").replace("[app:empty]", "[app:end]")
        other = other.replace(
            "tests.unit.test_pipeline:app_factory", "glance.api.v2.router:API.factory"
        )
        pathlib.Path(self.directory, "other.ini").write_text(other)
        end = RecordingApp()
        deps = self.deps(
            "[composite:glance-api]\n"
            "paste.composite_factory = glance_py.pipeline:root_app_factory\n"
            "/: config:other.ini#glance-api\n",
            application=end,
        )
        with self.assertLogs("glance_py.pipeline", "WARNING"):
            app = pipeline.load(deps)
        self.assertEqual(b"end", call(app)[2])

    def test_a_file_that_is_missing(self):
        with self.assertRaisesRegex(PipelineError, "paste.ini: section 'glance-api'.*nowhere.ini"):
            pipeline.load(self.deps("[composite:glance-api]\nuse = config:nowhere.ini\n"))
        with self.assertRaisesRegex(PipelineError, "paste.ini: .*no section headers"):
            pipeline.load(self.deps("use = nothing"))
