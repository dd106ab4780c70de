"""The policy layers: which rule is asked for which operation, and what a refusal looks like."""

import unittest

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.member import Member
from glance_py.domain.ports import Download, Upload
from glance_py.domain.query import ImageQuery, Page
from glance_py.layers.policy import MemberPolicyProxy, PolicyProxy, rules_for_change
from glance_py.policies.enforcer import Enforcer
from tests.unit.factories import make_caller, make_conf, make_member
from tests.unit.layers.fake import Images, Members, deps


class RulesOfAChangeTest(unittest.TestCase):
    def assert_rules(self, expected, **change):
        self.assertEqual(expected, rules_for_change(ImageChange(**change)))

    def test_plain_changes(self):
        self.assert_rules([])
        self.assert_rules(["modify_image"], fields={"name": "x"})
        self.assert_rules(["modify_image"], set_properties={"a": "b"})
        self.assert_rules(["modify_image"], remove_properties={"a"})
        self.assert_rules(["modify_image"], tags=[])
        self.assert_rules(["modify_image"], add_tags=("t",))

    def test_locations_have_rules_of_their_own(self):
        location = Location("file:///x")
        self.assert_rules(["set_image_location"], add_locations=(location,))
        self.assert_rules(
            ["set_image_location"],
            add_locations=(location,),
            fields={"checksum": "c", "os_hash_algo": "sha512"},
        )
        self.assert_rules(["set_image_location"], update_locations=(location,))
        self.assert_rules(["delete_image_location"], remove_locations=(location,))
        self.assert_rules(
            ["set_image_location", "modify_image"], add_locations=(location,), fields={"name": "x"}
        )


class Paged(Images):
    """Lists by id; what is ``gone`` was deleted since it was listed."""

    def __init__(self, images, gone=()):
        super().__init__(*images)
        self.gone, self.asked = gone, []

    def list(self, ctx, query):
        self.asked.append(query)
        if query.marker in self.gone:
            raise errors.MarkerNotFound(query.marker)
        found = [each for each in self.images.values() if each.id > (query.marker or "")]
        found = found[: query.limit]
        return Page(found, full=len(found) == query.limit)


class PolicyProxyTest(unittest.TestCase):
    def setUp(self):
        self.private = Image(id="private", owner="p1", visibility="private")
        self.community = Image(id="community", owner="p1", visibility="community")
        self.inner = Images(self.private, self.community)
        enforcer = Enforcer(make_conf())
        self.layer = PolicyProxy.build(self.inner, deps(enforcer=enforcer))

    def test_show(self):
        self.assertEqual("private", self.layer.get(make_member(), "private").id)
        with self.assertRaises(errors.ImageNotFound):
            self.layer.get(make_member("p2"), "private")

    def test_a_list_holds_what_may_be_seen_and_still_knows_that_it_was_full(self):
        page = self.layer.list(make_member("p2"), ImageQuery())
        self.assertEqual(["community"], [image.id for image in page.images])
        self.assertTrue(page.full)

    def test_a_list_goes_on_behind_pages_of_which_all_is_hidden(self):
        inner = Paged(
            [
                Image(f"{n:04}", owner="p2" if n > 2500 else "p1", visibility="private")
                for n in range(2600)
            ]
        )
        layer = PolicyProxy.build(inner, deps(enforcer=Enforcer(make_conf())))
        page = layer.list(make_member("p2"), ImageQuery(limit=2))
        self.assertEqual(["2501", "2502"], [image.id for image in page.images])
        self.assertTrue(page.full)
        self.assertLess(len(inner.asked), 15)  # it reads more and more at once
        page = layer.list(make_member("p2"), ImageQuery(limit=2, marker="2598"))
        self.assertEqual((["2599"], False), ([image.id for image in page.images], page.full))
        page = layer.list(make_member("p3"), ImageQuery(limit=25))
        self.assertEqual(([], False), (page.images, page.full))

    def test_a_list_goes_on_though_the_last_image_was_deleted_meanwhile(self):
        inner = Paged(
            [
                Image(f"{n}", owner="p2" if n == 9 else "p1", visibility="private")
                for n in range(10)
            ],
            gone={"4"},
        )
        layer = PolicyProxy.build(inner, deps(enforcer=Enforcer(make_conf())))
        page = layer.list(make_member("p2"), ImageQuery(limit=5))
        self.assertEqual(["9"], [image.id for image in page.images])

    def test_who_may_not_list_reaches_nothing(self):
        with self.assertRaises(errors.PolicyForbids):
            self.layer.list(make_caller(), ImageQuery())
        self.assertEqual([], self.inner.calls)

    def test_a_system_token_is_refused(self):
        system = make_caller("admin", "reader", project=None, system_scope="all")
        with self.assertRaises(errors.PolicyForbids):
            self.layer.list(system, ImageQuery())
        with self.assertRaises(errors.ImageNotFound):
            self.layer.get(system, "community")

    def test_create(self):
        self.layer.create(make_member(), Image(id="n", owner="p1"))
        self.layer.create(make_member(), Image(id="n", owner="p1", visibility="community"))
        self.layer.create(make_caller("admin"), Image(id="n", owner="p9", visibility="public"))
        for ctx, image in (
            (make_caller("reader"), Image(id="n", owner="p1")),
            (make_member(), Image(id="n", owner="p1", visibility="public")),
        ):
            with self.assertRaises(errors.PolicyForbids):
                self.layer.create(ctx, image)
        with self.assertRaises(errors.Forbidden) as raised:
            self.layer.create(make_member(), Image(id="n", owner="p2"))
        self.assertIn("'p2'", str(raised.exception))

    def test_who_sees_is_forbidden_and_who_does_not_finds_nothing(self):
        upload, wanted = Upload(source=[]), Download()
        change = ImageChange(fields={"name": "x"})
        for operation, arguments in (
            ("update", (change,)),
            ("delete", ()),
            ("upload", (upload,)),
            ("stage", (upload,)),
            ("set_status", ("deactivated",)),
        ):
            with self.subTest(operation):
                act = getattr(self.layer, operation)
                with self.assertRaises(errors.PolicyForbids):
                    act(make_member("p2"), self.community, *arguments)
                with self.assertRaises(errors.ImageNotFound):
                    act(make_caller(), self.community, *arguments)
                act(make_member(), self.community, *arguments)
        self.assertIsNotNone(self.layer.download(make_member("p2"), self.community, wanted))
        with self.assertRaises(errors.PolicyForbids):
            self.layer.download(make_caller("reader"), self.community, wanted)

    def test_publicize(self):
        public = ImageChange(fields={"visibility": "public"})
        with self.assertRaises(errors.PolicyForbids) as raised:
            self.layer.update(make_member(), self.private, public)
        self.assertEqual(("publicize_image",), raised.exception.args)
        self.layer.update(make_caller("admin"), self.private, public)

    def test_every_verb_has_an_opinion(self):
        self.assertEqual({"resolve"}, set(PolicyProxy.operations) - set(PolicyProxy.overrides()))


class PreferTest(unittest.TestCase):
    def test_to_choose_a_store_is_a_rule_of_its_own(self):
        class Rules:
            asked = []

            def enforce_image(self, ctx, rule, image):
                self.asked.append(rule)

        layer = PolicyProxy.build(Images(), deps(enforcer=Rules()))
        layer.download(make_member(), Image(id="i"), Download())
        layer.download(make_member(), Image(id="i"), Download(prefer=("fast",)))
        self.assertEqual(["download_image", "download_image", "download_from_store"], Rules.asked)


class MemberPolicyTest(unittest.TestCase):
    def setUp(self):
        self.image = Image(id="i", owner="p1", visibility="shared")
        self.as_member = Image(id="i", owner="p1", visibility="shared", caller_membership="p2")
        self.share = Member("i", "p2")
        self.layer = MemberPolicyProxy.build(
            Members(self.share), deps(enforcer=Enforcer(make_conf()))
        )

    def test_list_and_show(self):
        self.assertEqual([self.share], self.layer.list(make_member(), self.image))
        self.assertEqual([self.share], self.layer.list(make_member("p2"), self.as_member))
        self.assertEqual(self.share, self.layer.get(make_caller("reader"), self.image, "p2"))
        with self.assertRaises(errors.MemberNotFound):
            self.layer.get(make_member("p3"), self.image, "p2")
        with self.assertRaises(errors.Forbidden):
            self.layer.list(make_member("p3"), self.image)

    def test_only_the_member_decides(self):
        self.assertEqual(
            "accepted",
            self.layer.update(make_member("p2"), self.as_member, self.share, "accepted").status,
        )
        for ctx, image in (
            (make_member("p1"), self.image),
            (make_caller("reader", project="p2"), self.as_member),
        ):
            with self.assertRaises(errors.PolicyForbids):
                self.layer.update(ctx, image, self.share, "accepted")

    def test_only_the_owner_shares(self):
        self.layer.create(make_member(), self.image, "p3")
        with self.assertRaises(errors.PolicyForbids):
            self.layer.create(make_caller("reader"), self.image, "p4")
        with self.assertRaises(errors.PolicyForbids):
            self.layer.delete(make_member("p2"), self.as_member, self.share)
        self.layer.delete(make_member(), self.image, self.share)
