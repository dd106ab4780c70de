"""Names of properties that differ in case, accents or blanks: two, or one and an error."""

import uuid

import sqlalchemy as sa

from glance_py.db.tables import image_properties
from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.claim import IMPORT, ClaimRelease, ClaimRequest
from glance_py.domain.image import Image
from glance_py.domain.property_names import SERVICE_PROPERTIES, fold, is_reserved
from tests.contract.dal.backends import caller

TASK, HOST = "os_glance_import_task", "os_glance_stage_host"


class PropertyNameCases:
    def create(self, **properties):
        return self.repositories.images.create(
            caller("p"), Image(str(uuid.uuid4()), owner="p", properties=properties)
        )

    def properties(self, image):
        return self.repositories.images.get(caller("p"), image.id).properties

    def update(self, image, **change):
        return self.repositories.images.update(caller("p"), image, ImageChange(**change))

    def test_another_spelling_never_writes_over_a_property(self):
        for name in ("Code", "code ", "códe", "CODE"):
            image = self.create(code="1")
            with self.subTest(name):
                try:
                    self.update(image, fields={"name": "n"}, set_properties={name: "2"})
                except errors.Conflict:
                    self.assertEqual({"code": "1"}, self.properties(image))
                    self.assertIsNone(self.repositories.images.get(caller("p"), image.id).name)
                else:
                    self.assertEqual({"code": "1", name: "2"}, self.properties(image))

    def test_two_spellings_in_one_request(self):
        image_id = str(uuid.uuid4())
        both = {"code": "1", "Code": "2"}
        try:
            image = self.repositories.images.create(
                None, Image(image_id, owner="p", properties=both)
            )
        except errors.Conflict:
            self.assertRaises(errors.ImageNotFound, self.repositories.images.get, None, image_id)
        else:
            self.assertEqual(both, self.properties(image))

    def test_a_property_that_was_removed_comes_back_in_another_spelling(self):
        image = self.create(code="1")
        gone = self.update(image, remove_properties={"code"})
        self.update(gone, set_properties={"Code": "2"})
        self.assertEqual({"Code": "2"}, self.properties(image))

    def test_a_name_is_respelled_in_one_change(self):
        image = self.create(code="1")
        self.update(image, remove_properties={"code"}, set_properties={"Code": "2"})
        self.assertEqual({"Code": "2"}, self.properties(image))

    def test_the_same_spelling_is_written_as_ever(self):
        image = self.create(Code="1", other="x")
        self.update(image, set_properties={"Code": "2"})
        self.update(image, set_properties={"Code": "2"})
        self.assertEqual({"Code": "2", "other": "x"}, self.properties(image))

    def respell(self, image, name, value):
        """What a release that did not look at spellings may have left."""
        self.execute(
            image_properties.insert(),
            {
                "image_id": image.id,
                "name": name.upper(),
                "value": value,
                "created_at": image.created_at,
                "deleted": False,
            },
        )

    def test_the_service_writes_its_own_names_whatever_is_there(self):
        image = self.create()
        self.respell(image, HOST, "http://evil.example.org")
        self.update(image, set_properties={HOST: "http://worker"})
        self.assertEqual("http://worker", self.properties(image)[HOST])

    def test_a_misspelled_lock_locks_nothing(self):
        image = self.create()
        self.respell(image, TASK, "nobody")
        self.update(image, acquire=ClaimRequest("a", IMPORT, task_id="t"))
        self.assertEqual("t", self.properties(image)[TASK])
        self.repositories.claims.release(image.id, "a", ClaimRelease())
        self.assertRaises(
            errors.ImportActive,
            self.update,
            image,
            acquire=ClaimRequest("b", IMPORT, task_id="other"),
        )


class CollationCases:
    """What the server itself holds equal, for every collation that it knows for Unicode."""

    def collations(self):
        """The language-neutral ones, which are defaults somewhere."""
        known = {
            name
            for (name,) in self.execute(
                sa.text(
                    "SELECT collation_name FROM information_schema.collations "
                    "WHERE collation_name IN ('utf8mb4_general_ci', 'utf8mb4_unicode_ci', "
                    "'utf8mb4_unicode_520_ci', 'utf8mb4_0900_ai_ci')"
                )
            )
        }
        return sorted(known)

    def test_what_equals_a_letter_of_the_reserved_prefix_is_reserved(self):
        letters = "os_glance"
        characters = [
            chr(number)
            for number in range(1, 0x10000)
            if not 0xD800 <= number < 0xE000 and not 0xE000 <= number < 0xF900
        ]
        # Letters as combining marks: the transaction refuses those, see below.
        characters = [
            each
            for each in characters
            if not 0x300 <= ord(each) < 0x370
            and not 0x1AB0 <= ord(each) < 0x1B00
            and not 0x1DC0 <= ord(each) < 0x1E00
        ]
        with self.database.engine.connect() as connection:
            connection.exec_driver_sql(
                "CREATE TEMPORARY TABLE letters (letter VARCHAR(4)) CHARACTER SET utf8mb4"
            )
            for start in range(0, len(characters), 5000):
                connection.exec_driver_sql(
                    "INSERT INTO letters VALUES "
                    + ", ".join(
                        f"(_utf8mb4 x'{each.encode().hex()}')"
                        for each in characters[start : start + 5000]
                    )
                )
            for collation in self.collations():
                for place, letter in enumerate(letters):
                    equal = [
                        each
                        for (each,) in connection.exec_driver_sql(
                            f"SELECT letter FROM letters WHERE letter COLLATE {collation} = "
                            f"'{letter}'"
                        )
                    ]
                    missed = [
                        each
                        for each in equal
                        if not is_reserved(letters[:place] + each + letters[place + 1 :])
                    ]
                    self.assertEqual([], missed, (collation, letter))
                    self.assertLess(1 if letter != "_" else 0, len(equal))
                ignored = [
                    each
                    for (each,) in connection.exec_driver_sql(
                        f"SELECT letter FROM letters WHERE CONCAT('o', letter, 's') "
                        f"COLLATE {collation} = 'os'"
                    )
                ]
                self.assertEqual(
                    [], [each for each in ignored if fold(f"o{each}s") != "os"], collation
                )

    def test_what_folding_misses_the_transaction_refuses(self):
        """With a collation of which this program knows nothing: i and j are one letter."""
        for table, column, length in (
            ("properties", "name", 255),
            ("tags", "value", 255),
            ("members", "member", 255),
        ):
            self.execute(
                sa.text(
                    f"ALTER TABLE image_{table} MODIFY {column} VARCHAR({length}) "
                    "CHARACTER SET utf8mb4 COLLATE utf8mb4_roman_ci NOT NULL"
                )
            )
        for column in ("value", "meta_data"):
            self.execute(
                sa.text(
                    f"ALTER TABLE image_locations MODIFY {column} TEXT "
                    "CHARACTER SET utf8mb4 COLLATE utf8mb4_roman_ci"
                )
            )
        self.execute(
            sa.text(
                "ALTER TABLE image_properties MODIFY value TEXT "
                "CHARACTER SET utf8mb4 COLLATE utf8mb4_roman_ci"
            )
        )
        name = "os_glance_jmport_task"
        image = self.create()
        # Such a name does not get past the wire; this is about what stands behind it.
        self.assertNotIn(name, SERVICE_PROPERTIES)
        self.assertRaises(errors.ReservedAttribute, self.update, image, set_properties={name: "t"})
        self.assertRaises(errors.Conflict, self.create, jar="1", iar="2")
        self.assertEqual({}, self.properties(image))
