"""Names of properties that a database may hold for one and the same."""

import unittest

from glance_py.domain.property_names import fold, is_reserved, spellings

#: Other spellings of the names of the service.
DISGUISED = (
    "OS_GLANCE_stage_host",
    "Os_Glance_import_task",
    "os_glance_import_task ",
    "os_glancé_x",
    "ös_glance_x",
    "øs_glance_x",
    "os_gŁance_x",
    "oß_glance_x",
    "ｏｓ＿ｇｌａｎｃｅ_x",
    "os_gla\u00adnce",
    "o\u0301s_glance_x",
    "\u200bos_glance_x",
    "os\x01_glance_x",
    "ºs_glance",
    "os_Ⓖlance_x",
    "oſ_glance_x",
    "os_ĝlance_x",
    "OS_GLANCEX",
)


class FoldTest(unittest.TestCase):
    def test_what_collations_ignore(self):
        for name, folded in (
            ("Billing_Code", "billing_code"),
            ("bílling_cöde ", "billing_code"),
            ("Straße", "strasse"),
            ("  x  ", "  x"),
            ("", ""),
            ("a b", "a b"),
            ("ΣΑΣ", "σασ"),
            ("x٣", "x3"),
            ("Œuvre", "oeuvre"),
        ):
            with self.subTest(name):
                self.assertEqual(folded, fold(name))

    def test_folding_is_final(self):
        for name in (*DISGUISED, "Billing_Code", "ǅ", "ﬁ", "ẞ", "İ", "ŉ", "ͅ"):
            with self.subTest(name):
                self.assertEqual(fold(name), fold(fold(name)))

    def test_a_sharp_s_is_one_or_two(self):
        self.assertEqual(("strasse", "strase"), spellings("Straße"))
        self.assertEqual(("x",), spellings("X"))

    def test_names_of_the_service_in_disguise(self):
        for name in ("os_glance_import_task", "os_glancex", *DISGUISED):
            with self.subTest(name):
                self.assertTrue(is_reserved(name))
        for name in (
            "os_type",
            "glance_os",
            "my_os_glance",
            "os-glance_x",
            " os_glance",
            "os_glanc",
        ):
            with self.subTest(name):
                self.assertFalse(is_reserved(name))
