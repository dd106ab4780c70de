"""Links between the documents of the project lead somewhere."""

from __future__ import annotations

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = (*ROOT.glob("*.md"), *(ROOT / "doc" / "source").rglob("*.md"))

#: The target of a link, without a fragment; those with a scheme lead out of the project.
_LINK = re.compile(r"\]\((?!\w+:|#)([^)#]+)")
#: Files that are named in `code` by their path from the root.
_PATH = re.compile(r"`((?:glance_py|glance_store_py|tests|etc|doc|benchmarks)/[\w./-]*\w/?)`")


class DocumentsTest(unittest.TestCase):
    def test_links_lead_to_files(self) -> None:
        broken = [
            f"{document.relative_to(ROOT)}: {target}"
            for document in DOCUMENTS
            for target in _LINK.findall(document.read_text())
            if not (document.parent / target).exists()
        ]
        self.assertEqual([], broken)

    def test_paths_that_are_named_exist(self) -> None:
        broken = [
            f"{document.relative_to(ROOT)}: {path}"
            for document in DOCUMENTS
            for path in _PATH.findall(document.read_text())
            if not (ROOT / path).exists()
        ]
        self.assertEqual([], broken)

    def test_there_are_documents(self) -> None:
        self.assertIn(ROOT / "CONTRIBUTING.md", DOCUMENTS)
        self.assertIn(ROOT / "doc/source/contributor/howto.md", DOCUMENTS)


if __name__ == "__main__":
    unittest.main()
