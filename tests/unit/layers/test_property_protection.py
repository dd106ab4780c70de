"""Property protections: rules files, what is hidden, what is refused."""

import tempfile
import unittest

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image
from glance_py.domain.ports import Upload
from glance_py.domain.query import ImageQuery
from glance_py.layers.property_protection import PropertyProtectionProxy
from glance_py.layers.property_rules import InvalidPropertyRules, PropertyProtections
from glance_py.policies.enforcer import Enforcer
from glance_py.settings import PropertyProtectionSettings
from tests.unit.factories import make_caller, make_conf, make_member
from tests.unit.layers.fake import Images, deps


def section(name: str, create: str, read: str, update: str, delete: str) -> str:
    return f"[{name}]\ncreate = {create}\nread = {read}\nupdate = {update}\ndelete = {delete}\n"


ROLES = (
    section("^own_.*", "admin,Member", "admin,member,reader", "admin,member", "!")
    + section("secret", "admin,member", "admin", "admin", "admin")
    + section("^free_.*", *"@@@@")
    + section("^never_.*", *"!!!!")
    + section("^fixed_.*", "member", "member", "!", "!")
    + section(".*", "admin", "admin", "admin", "admin")
)


class ProtectionsCase(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def protections(self, rules: str, form: str = "roles", policies: str = "{}"):
        options = make_conf(
            self.directory,
            {
                "glance-api.conf": "",
                "policy.yaml": policies,
                "rules.conf": rules,
            },
            property_protection_file="rules.conf",
            property_protection_rule_format=form,
        )
        return PropertyProtections(PropertyProtectionSettings.from_conf(options), Enforcer(options))


class RulesFileTest(ProtectionsCase):
    def test_first_match_decides_anywhere_in_the_name(self):
        rules = self.protections(
            section("strict", "admin", "admin", "admin", "admin") + section("str", *"@@@@")
        )
        self.assertFalse(rules.allows(make_member(), "a_strict_one", "read"))
        self.assertTrue(rules.allows(make_member(), "a_string", "read"))

    def test_what_no_section_matches_nobody_may(self):
        rules = self.protections(section("^a$", *"@@@@"))
        for operation in ("create", "read", "update", "delete"):
            self.assertFalse(rules.allows(make_caller("admin"), "b", operation))

    def test_roles_ignore_case_and_include_those_of_the_service(self):
        rules = self.protections(ROLES)
        self.assertTrue(rules.allows(make_caller("MEMBER"), "own_x", "create"))
        self.assertTrue(rules.allows(make_caller(service_roles=["admin"]), "secret", "read"))
        self.assertFalse(rules.allows(make_caller("other"), "own_x", "create"))

    def test_an_administrator_is_not_above_the_rules(self):
        self.assertFalse(self.protections(ROLES).allows(make_caller("admin"), "never_x", "read"))

    def test_names_of_the_service_are_never_protected(self):
        rules = self.protections(section("os_glance_.*", *"!!!!") + section(".*", *"!!!!"))
        self.assertTrue(rules.allows(make_member(), "os_glance_import_task", "read"))

    def test_a_rule_holds_for_every_spelling_that_a_database_may_hold_equal(self):
        rules = self.protections(
            section("^billing_.*", *["admin"] * 4)
            + section("^Größe$", *["admin"] * 4)
            + section(".*", *"@@@@")
        )
        for name in (
            "billing_code",
            "Billing_Code",
            "BILLING_CODE",
            "bílling_code",
            "billing_",
            "ｂilling_code",
            "billing\u200b_code",
            "billıng_code",
            "Größe",
            "grosse",
            "GRÖSSE",
            "größe ",
        ):
            for operation in ("create", "read", "update", "delete"):
                with self.subTest(name, operation=operation):
                    self.assertFalse(rules.allows(make_member(), name, operation))
                    self.assertTrue(rules.allows(make_caller("admin"), name, operation))
        for name in ("bill", "rebilling_code", "grösser"):
            self.assertTrue(rules.allows(make_member(), name, "create"), name)

    def test_another_spelling_gives_no_right_that_the_name_itself_has_not(self):
        rules = self.protections(section("^[a-z_]+$", *"@@@@") + section("^(?!OS)", *["admin"] * 4))
        self.assertTrue(rules.allows(make_member(), "free", "update"))
        self.assertFalse(rules.allows(make_member(), "Free", "update"))
        self.assertTrue(rules.allows(make_caller("admin"), "Free", "update"))
        self.assertFalse(rules.allows(make_caller("admin"), "OS_X", "update"))

    def test_a_name_of_the_service_in_disguise_is_not_free(self):
        rules = self.protections(section(".*", *"!!!!"))
        self.assertFalse(rules.allows(make_caller("admin"), "OS_GLANCE_stage_host", "create"))

    def test_policies(self):
        rules = self.protections(
            section("^lab_", "writers", "lab", "!", "@"),
            "policies",
            '"writers": "role:writer"\n"lab": "rule:writers or role:member"',
        )
        self.assertTrue(rules.allows(make_caller("writer"), "lab_x", "create"))
        self.assertFalse(rules.allows(make_member(), "lab_x", "create"))
        self.assertTrue(rules.allows(make_member(), "lab_x", "read"))
        self.assertFalse(rules.allows(make_caller("writer"), "lab_x", "update"))
        self.assertTrue(rules.allows(make_caller(), "lab_x", "delete"))

    def test_what_makes_no_sense_stops_the_start(self):
        for text, form in (
            ("[a]\ncreate = x\nread = x\nupdate = x\n", "roles"),
            (section("a(", *"@@@@"), "roles"),
            (section("a", "@,!", "@", "@", "@"), "roles"),
            (section("a", "x,y", "@", "@", "@"), "policies"),
            ("create = x", "roles"),
        ):
            with self.subTest(text), self.assertRaises(InvalidPropertyRules):
                self.protections(text, form)

    def test_a_missing_file_stops_the_start(self):
        options = make_conf(self.directory, property_protection_file="nowhere.conf")
        with self.assertRaises(InvalidPropertyRules):
            PropertyProtections(PropertyProtectionSettings.from_conf(options), None)


class ProxyTest(ProtectionsCase):
    def setUp(self):
        super().setUp()
        self.image = Image(
            id="i", properties={"own_a": "1", "secret": "2", "free_b": "3", "fixed_a": "4"}
        )
        self.inner = Images(self.image)
        self.layer = PropertyProtectionProxy.build(
            self.inner, deps(protections=self.protections(ROLES))
        )

    def test_left_out_when_there_are_no_rules(self):
        self.assertIs(self.inner, PropertyProtectionProxy.build(self.inner, deps()))

    def test_what_may_not_be_read_is_not_there(self):
        visible = {"own_a": "1", "free_b": "3", "fixed_a": "4"}
        self.assertEqual(visible, self.layer.get(make_member(), "i").properties)
        page = self.layer.list(make_member(), ImageQuery())
        self.assertEqual(visible, page.images[0].properties)
        self.assertTrue(page.full)
        self.assertEqual(
            {"own_a": "1", "secret": "2", "free_b": "3"},
            self.layer.get(make_caller("admin"), "i").properties,
        )

    def test_create(self):
        made = self.layer.create(
            make_member(), Image(id="n", properties={"own_a": "1", "secret": "2"})
        )
        self.assertEqual({"own_a": "1"}, made.properties)
        with self.assertRaises(errors.ReservedAttribute) as raised:
            self.layer.create(make_member(), Image(id="n", properties={"never_x": "1"}))
        self.assertEqual("Attribute 'never_x' is reserved.", str(raised.exception))

    def test_update_does_not_lose_what_is_hidden(self):
        image = self.layer.get(make_member(), "i")
        updated = self.layer.update(
            make_member(), image, ImageChange(set_properties={"own_a": "9"})
        )
        self.assertEqual({"own_a": "9", "free_b": "3", "fixed_a": "4"}, updated.properties)
        _, seen_below, _ = self.inner.calls[-1]
        self.assertEqual(self.image.properties, seen_below.properties)

    def test_update_is_judged_by_what_the_caller_sees(self):
        image = self.layer.get(make_member(), "i")
        # To write an unseen property is to create it, which a member may.
        self.layer.update(make_member(), image, ImageChange(set_properties={"secret": "9"}))
        self.layer.update(make_member(), image, ImageChange(set_properties={"fixed_b": "1"}))
        for change in (
            ImageChange(set_properties={"never_x": "1"}),
            ImageChange(set_properties={"fixed_a": "1"}),
            ImageChange(set_properties={"other": "1"}),
            ImageChange(remove_properties={"own_a"}),
        ):
            with self.assertRaises(errors.ReservedAttribute):
                self.layer.update(make_member(), image, change)
        self.layer.update(make_member(), image, ImageChange(remove_properties={"free_b"}))

    def test_the_layers_below_see_the_whole_image(self):
        image = self.layer.get(make_member(), "i")
        self.layer.upload(make_member(), image, Upload(source=[]))
        self.layer.stage(make_member(), image, Upload(source=[]))
        self.layer.delete(make_member(), image)
        self.layer.download(make_member(), image, None)
        self.layer.set_status(make_member(), image, "deactivated")
        self.layer.import_(make_member(), image, None)
        self.assertEqual(
            ["upload", "stage", "delete", "download", "set_status", "import"], self.inner.operations
        )
        for call in self.inner.calls:
            self.assertEqual(self.image.properties, call[1].properties, call[0])
