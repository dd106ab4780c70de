"""Paste files that operators have: understood, and told how they are written today."""

import pathlib
import tempfile
import unittest

from glance_py import pipeline
from glance_py.pipeline import PipelineError

OLD = """\
[composite:glance-api]
paste.composite_factory = glance.api:root_app_factory
/: empty
[app:empty]
paste.app_factory = tests.unit.test_pipeline:app_factory
"""


def app_factory(global_conf, **local_conf):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"here"]

    return app


class Conf:
    """As much of the configuration as is asked."""

    def __init__(self, path, flavor=None):
        self.paste_deploy = self
        self.config_file, self.flavor, self._path = path, flavor, path

    def find_file(self, name):
        return name if pathlib.Path(name).exists() else None


class TestOldFiles(unittest.TestCase):
    def conf(self, text, flavor=None):
        directory = self.enterContext(tempfile.TemporaryDirectory())
        path = f"{directory}/paste.ini"
        pathlib.Path(path).write_text(text)
        return Conf(path, flavor)

    def test_factories_of_the_original_are_understood(self):
        conf = self.conf(OLD)
        with self.assertLogs("glance_py.pipeline", "WARNING") as log:
            app = pipeline.load(conf)
        self.assertEqual([b"here"], app({"PATH_INFO": "/"}, lambda *_: None))
        self.assertIn(conf.config_file, log.output[0])
        self.assertIn("[composite:glance-api]", log.output[0])
        self.assertIn(
            "paste.composite_factory = glance_py.pipeline:root_app_factory", log.output[0]
        )

    def test_files_of_today_are_taken_without_a_word(self):
        text = OLD.replace("glance.api:root", "glance_py.pipeline:root")
        with self.assertNoLogs("glance_py.pipeline", "WARNING"):
            pipeline.load(self.conf(text))

    def test_an_error_names_file_and_section(self):
        conf = self.conf(OLD, "no-such")
        with self.assertRaises(PipelineError) as caught, self.assertLogs("glance_py.pipeline"):
            pipeline.load(conf)
        self.assertIn(conf.config_file, str(caught.exception))
        self.assertIn("glance-api-no-such", str(caught.exception))
