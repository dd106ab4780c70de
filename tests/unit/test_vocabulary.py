"""Words that the project no longer uses, and class names that would be ambiguous.

``doc/source/contributor/glossary.md`` lists the terms that took their place.
"""

from __future__ import annotations

import ast
import collections
import pathlib
import re
import unittest
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]

#: Names that were replaced by the terms of the field; they stand nowhere.
RETIRED_NAMES = """
    AddressProxy AnnouncingProxy ADMITTED BadRules CALLER_LAYERS CachedImageRecords
    CentralBooks ClaimRecords DataDamaged Deed DefinitionVerbs DripCase FINDS_REMAINS
    FakeStaged Filler FormatRefused GOODBYE IMAGE_VERBS ImageRecords ImageVerbs
    ImpossibleChange InlineBackground LastCopy LocalBooks MEMBER_VERBS MarkerHidden
    MemberRecords MemberVerbs NamespaceVerbs OnlyOne PendingRecords PunctualHTTP
    PunctualHTTPS RELIEFS Rulebook SHELVES Settle Shelf SqliteBooks StoreInUse TASK_VERBS
    TaskAbandoned TaskFinished TaskRecords TaskVerbs Told UNDEAD UNFORESEEN
    UploadTargetGone UsageRecords WORK_LAYERS WORK_VERBS XattrBooks are_images
    build_services deed depth_under discard_attempts drawer entrust entrusted fate
    giveback judge_readers let_go museum naming_failures never_theirs of_image
    on_behalf_of onion open_books open_records or_null recovery_of remains_of set_judge
    sprung sql_records staging_room store_judge take_back throw_away unknown_caller veiled
    verbs wait_beyond wait_verdict xattr_books
""".split()  # noqa: SIM905 - readable as a text

#: Words that hide which component does what, and the metaphors of earlier versions.
RETIRED_PROSE = """
    anybody everybody nobody somebody whoever room rooms shelf shelves
""".split()  # noqa: SIM905 - readable as a text

CODE = ("glance_py", "glance_store_py", "tests", "benchmarks")
PACKAGES = ("glance_py", "glance_store_py")


def files(*places: str) -> Iterator[pathlib.Path]:
    for place in places:
        path = ROOT / place
        if path.is_file():
            yield path
        for suffix in ("*.py", "*.md"):
            yield from sorted(path.rglob(suffix))


#: A text of an API response; it does not change for the sake of a word.
ON_THE_WIRE = "not enough room in the store"


def found(words: list[str], *places: str) -> list[str]:
    """``file:line: word`` for each of the words in text files of the places."""
    pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(words)})(?![\w-])")
    return [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path in files(*places)
        if path != pathlib.Path(__file__).resolve()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for match in pattern.finditer(line.replace(ON_THE_WIRE, ""))
    ]


class VocabularyTest(unittest.TestCase):
    maxDiff = None

    def test_retired_names_stand_nowhere(self) -> None:
        self.assertEqual([], found(RETIRED_NAMES, *CODE, "doc/source", "README.md"))

    def test_retired_words_stand_in_no_text_of_the_packages_and_their_documentation(self) -> None:
        places = (*PACKAGES, "doc/source", "README.md", "CONTRIBUTING.md")
        words = [*RETIRED_PROSE, *(word.capitalize() for word in RETIRED_PROSE)]
        self.assertEqual([], found(words, *places))

    def test_the_search_finds(self) -> None:
        self.assertTrue(found(["unittest"], "tests/unit"))

    def test_no_two_classes_have_the_same_name(self) -> None:
        defined = collections.defaultdict(list)
        for path in files(*PACKAGES):
            if path.suffix == ".py":
                for node in ast.walk(ast.parse(path.read_text())):
                    if isinstance(node, ast.ClassDef):
                        defined[node.name].append(str(path.relative_to(ROOT)))
        self.assertEqual({}, {name: at for name, at in defined.items() if len(at) > 1})


if __name__ == "__main__":
    unittest.main()
