"""glance-manage: metadata definitions from files into the database and back."""

import contextlib
import io
import json
import os
import pathlib
import tempfile
import unittest
import warnings

from glance_py.cmd import manage, metadefs
from glance_py.db import engine, metadef_bulk
from glance_py.db.database import Database

SHIPPED = pathlib.Path(metadefs.__file__).parents[1] / "etc" / "metadefs"


def plain(document):
    """A file's document, whatever the order of its lists and what goes without saying."""
    document = {
        "visibility": "private",
        "owner": metadefs.DEFAULT_OWNER,
        "protected": False,
        **document,
    }
    for key in ("objects", "resource_type_associations"):
        document[key] = sorted(document.get(key, ()), key=lambda each: each["name"])
    return {key: value for key, value in document.items() if value not in ([], {})}


class ManageCase(unittest.TestCase):
    def setUp(self):
        # oslo.log does not close the file of the call before.
        self.enterContext(warnings.catch_warnings())
        warnings.simplefilter("ignore", ResourceWarning)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.file = self.directory / "glance-api.conf"
        self.source = self.directory / "source"
        url = f"sqlite:///{directory.name}/x.sqlite"
        self.file.write_text(
            f"[DEFAULT]\nmetadata_source_path = {self.source}\n[database]\nconnection = {url}\n"
        )
        self.database = Database(engine.create_engine(url))
        self.addCleanup(self.database.dispose)
        self.run_tool("db", "sync")

    def run_tool(self, *words):
        """(exit code, output, errors) of one call."""
        output, complaints = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(complaints):
            try:
                code = manage.main(
                    ["--config-file", str(self.file), "--log-file", "/dev/null", *words]
                )
            except SystemExit as end:
                code = end.code
        return code, output.getvalue(), complaints.getvalue()

    def write(self, name, document):
        self.source.mkdir(exist_ok=True)
        text = document if isinstance(document, str) else json.dumps(document)
        (self.source / name).write_text(text)

    def namespaces(self):
        return {each.name: each for each in metadef_bulk.export_namespaces(self.database)}

    def assert_round_trip(self, source):
        """What is loaded from ``source`` is exported as it was."""
        self.assertEqual(0, self.run_tool("db", "load_metadefs", "--path", str(source))[0])
        target = self.directory / "target"
        self.assertEqual(0, self.run_tool("db", "export_metadefs", "--path", str(target))[0])
        files = [
            {
                document["namespace"]: plain(document)
                for document in (
                    json.loads(path.read_text()) for path in pathlib.Path(where).glob("*.json")
                )
            }
            for where in (source, target)
        ]
        self.assertEqual(*files)
        self.assertTrue(files[0])


class TestMetadefs(ManageCase):
    def test_what_ships_with_the_service_is_loaded_when_there_is_nothing_else(self):
        code, text, _ = self.run_tool("db", "load_metadefs")
        self.assertEqual(0, code)
        count = len(list(SHIPPED.glob("*.json")))
        self.assertIn(f"[{count}/{count}]", text)
        self.assertEqual(count, len(self.namespaces()))
        self.assertIn("skipped", self.run_tool("db", "load_metadefs")[1])

    def test_what_ships_with_the_service_goes_round(self):
        self.assert_round_trip(SHIPPED)

    @unittest.skipUnless(
        os.environ.get("GLANCE_REFERENCE_METADEFS"), "GLANCE_REFERENCE_METADEFS names no directory"
    )
    def test_the_definitions_of_the_original_service_go_round(self):
        self.assert_round_trip(os.environ["GLANCE_REFERENCE_METADEFS"])

    def test_existing_namespaces(self):
        def load(*words, **document):
            self.write("n.json", {"namespace": "N", **document})
            code, text, complaint = self.run_tool("db", "load_metadefs", *words)
            self.assertEqual((0, ""), (code, complaint))
            return text.rpartition(" ")[2].strip(), self.namespaces()["N"]

        tags = {"tags": [{"name": "a"}]}
        self.assertEqual(
            ("loaded", "admin"), (lambda done, found: (done, found.owner))(*load(**tags))
        )
        more = {"display_name": "new", "tags": [{"name": "b"}], "owner": "p1"}
        for words, done, name, held in (
            ((), "skipped", None, 1),
            (("--merge",), "merged", None, 2),
            (("--merge", "--prefer_new"), "merged", "new", 2),
            (("--merge", "--overwrite"), "overwritten", "new", 1),
        ):
            was, found = load(*words, **more)
            [those] = found.contents.values()
            self.assertEqual((done, name, held), (was, found.display_name, len(those)))

    def test_old_spelling_takes_words_in_order(self):
        self.write("n.json", {"namespace": "N"})
        path = str(self.source)
        self.assertEqual(0, self.run_tool("db_load_metadefs", path)[0])
        self.write("n.json", {"namespace": "N", "description": "d"})
        self.assertEqual(0, self.run_tool("db_load_metadefs", path, "True", "True")[0])
        self.assertEqual("d", self.namespaces()["N"].description)
        self.assertEqual(0, self.run_tool("db_export_metadefs", path)[0])
        self.assertEqual("d", json.loads((self.source / "N.json").read_text())["description"])
        self.assertEqual(0, self.run_tool("db_unload_metadefs")[0])
        self.assertEqual({}, self.namespaces())

    def test_contradicting_words(self):
        for words in (
            ("--overwrite",),
            ("--prefer_new",),
            ("--merge", "--overwrite", "--prefer_new"),
        ):
            code, _text, complaint = self.run_tool("db", "load_metadefs", *words)
            self.assertEqual(1, code)
            self.assertIn("--overwrite", complaint)

    def test_a_wrong_file_is_named_with_what_is_wrong_and_stops_no_other(self):
        wrong = {
            "a.json": ("{", "not JSON"),
            "b.json": ("[]", "object"),
            "c.json": ({"display_name": "x"}, "'namespace'"),
            "d.json": ({"namespace": "D", "properties": {"p": {"title": "P"}}}, "'type'"),
            "e.json": ({"namespace": "E", "visibility": "x"}, "visibility"),
            "f.json": ({"namespace": "F", "tags": [{"name": "t"}] * 2}, "t"),
        }
        for name, (document, _said) in wrong.items():
            self.write(name, document)
        self.write("z.json", {"namespace": "Z"})
        code, text, complaint = self.run_tool("db", "load_metadefs")
        self.assertEqual((1, "[7/7] z.json: Z loaded\n"), (code, text))
        lines = complaint.splitlines()
        self.assertEqual("glance-manage: 6 of 7 files were not loaded.", lines.pop())
        for line, (name, (_document, said)) in zip(lines, wrong.items(), strict=True):
            self.assertIn(name, line)
            self.assertIn(said, line)

    def test_one_file_alone_and_paths_that_lead_nowhere(self):
        self.write("n.json", {"namespace": "N"})
        code, text, _ = self.run_tool("db", "load_metadefs", "--path", str(self.source / "n.json"))
        self.assertEqual((0, "[1/1] n.json: N loaded\n"), (code, text))
        empty = self.directory / "empty"
        empty.mkdir()
        for path in (empty, self.directory / "none"):
            code, _text, complaint = self.run_tool("db", "load_metadefs", "--path", str(path))
            self.assertEqual(1, code)
            self.assertIn(str(path), complaint)
        code, _text, complaint = self.run_tool("db", "export_metadefs", "--path", "/dev/null/x")
        self.assertEqual(1, code)
        self.assertNotIn("Traceback", complaint)

    def test_names_become_names_of_files(self):
        for number, name in enumerate(("OS::A/b", "os::a/B", "../x", "...", "日本")):
            self.write(f"{number}.json", {"namespace": name})
        self.run_tool("db", "load_metadefs")
        target = self.directory / "target"
        self.run_tool("db", "export_metadefs", "--path", str(target))
        names = sorted(os.listdir(target))
        self.assertEqual(5, len({name.lower() for name in names}), names)
        self.assertIn("OS__A_b.json", names)

    def test_unload_says_what_went(self):
        self.run_tool("db", "load_metadefs")
        code, text, _ = self.run_tool("db", "unload_metadefs")
        self.assertEqual(0, code)
        self.assertIn("metadef_namespaces: ", text)
        self.assertEqual({}, self.namespaces())


if __name__ == "__main__":
    unittest.main()
