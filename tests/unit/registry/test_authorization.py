"""A registry believes nothing of what an API host says about whose things are."""

import unittest

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image
from glance_py.domain.member import Member
from glance_py.domain.metadef import Namespace, Tag
from glance_py.registry import authorization, protocol
from tests.unit.registry.fakes import ADMIN, HOST, IMAGES, NAMESPACES, caller, fake_repositories

ME = caller("p1")


class AuthorizationCase(unittest.TestCase):
    def setUp(self):
        self.calls = []
        self.commands = authorization.authorized_commands(fake_repositories(self.calls))

    def do(self, command, ctx, /, **arguments):
        return self.commands[command](ctx, **arguments)

    def refused(self, error, command, ctx, /, **arguments):
        self.assertRaises(error, self.do, command, ctx, **arguments)
        self.assertEqual([], self.calls)


class ImagesTest(AuthorizationCase):
    def test_visible(self):
        for image_id in ("mine", "public", "shared"):
            self.assertEqual(image_id, self.do("images.get", ME, image_id=image_id).id)
        self.refused(errors.ImageNotFound, "images.get", ME, image_id="theirs")
        self.refused(errors.ImageNotFound, "images.get", caller(None), image_id="mine")
        for ctx in (ADMIN, HOST):
            self.assertEqual("theirs", self.do("images.get", ctx, image_id="theirs").id)

    def test_invisible_images_are_not_found(self):
        """Who guesses an id learns nothing, whatever it asks for."""
        image = IMAGES["theirs"]
        for name, arguments in (
            ("images.update", {"image": image, "change": ImageChange()}),
            ("images.delete", {"image": image}),
            ("members.create", {"image_id": "theirs", "member_id": "p1"}),
            ("members.find", {"image_id": "theirs"}),
            ("members.delete", {"member": Member("theirs", "p3")}),
        ):
            self.refused(errors.ImageNotFound, name, ME, **arguments)

    def test_a_change_of_what_is_not_ones_own(self):
        forged = Image("public", owner="p1")
        self.refused(errors.Forbidden, "images.update", ME, image=forged, change=ImageChange())
        self.refused(errors.Forbidden, "images.delete", ME, image=forged)
        self.refused(errors.Forbidden, "members.create", ME, image_id="shared", member_id="p4")
        self.refused(errors.Forbidden, "members.delete", ME, member=Member("shared", "p3"))

    def test_a_change_of_ones_own(self):
        self.do("images.update", ME, image=IMAGES["mine"], change=ImageChange())
        self.do("images.delete", ME, image=IMAGES["mine"])
        self.do("members.create", ME, image_id="mine", member_id="p3")
        self.do("members.delete", ME, member=Member("mine", "p3"))
        self.assertEqual(
            ["images.update", "images.delete", "members.create", "members.delete"], self.calls
        )

    def test_only_an_administrator_changes_the_owner(self):
        away = ImageChange(fields={"owner": "p2"})
        for ctx in (ME, HOST):
            self.refused(errors.Forbidden, "images.update", ctx, image=IMAGES["mine"], change=away)
        self.do(
            "images.update", ME, image=IMAGES["mine"], change=ImageChange(fields={"owner": "p1"})
        )
        self.do("images.update", ADMIN, image=IMAGES["mine"], change=away)

    def test_images_are_made_for_oneself(self):
        self.refused(errors.Forbidden, "images.create", ME, image=Image("n", owner="p2"))
        self.refused(errors.Forbidden, "images.create", HOST, image=Image("n", owner="p2"))
        self.do("images.create", ME, image=Image("n", owner="p1"))
        self.do("images.create", ADMIN, image=Image("n", owner="p2"))

    def test_the_service_changes_but_does_not_delete(self):
        """Background work never deletes an image; a stolen host shall not, either."""
        self.refused(errors.Forbidden, "images.delete", HOST, image=IMAGES["theirs"])
        self.do("images.update", HOST, image=IMAGES["theirs"], change=ImageChange())

    def test_members_see_themselves_only(self):
        self.assertEqual([Member("shared", "p1")], self.do("members.find", ME, image_id="shared"))
        self.assertEqual(2, len(self.do("members.find", ME, image_id="mine")))
        self.assertEqual(2, len(self.do("members.find", ADMIN, image_id="theirs")))

    def test_only_the_member_accepts(self):
        self.refused(
            errors.Forbidden, "members.update", ME, member=Member("mine", "p3"), status="accepted"
        )
        self.do("members.update", ME, member=Member("shared", "p1"), status="accepted")


class ServiceTest(AuthorizationCase):
    def test_what_has_no_caller_is_the_service_s_own(self):
        for command in protocol.COMMANDS.values():
            if not command.takes_context and command.name != "ping":
                arguments = dict.fromkeys(command.parameters)
                self.refused(errors.Forbidden, command.name, ME, **arguments)
                self.do(command.name, HOST, **arguments)
                self.do(command.name, ADMIN, **arguments)
                self.calls.clear()

    def test_a_token_beside_the_caller_s_is_no_account(self):
        """It says where a request comes from, not on whose account it is asked."""
        self.assertTrue(authorization.is_api_host(ME))
        self.assertFalse(authorization.is_service_request(ME))

    def test_who_is_an_api_host(self):
        self.assertTrue(authorization.is_api_host(HOST))
        self.assertFalse(authorization.is_api_host(caller(service_roles=[])))
        self.assertFalse(
            authorization.is_api_host(caller("p", "admin", service_roles=None, is_admin=True))
        )
        self.assertTrue(
            authorization.is_api_host(caller(user_id=None, service_roles=None, is_admin=True))
        )


class NamespacesTest(AuthorizationCase):
    def test_visible(self):
        for name in ("mine", "public"):
            self.assertEqual(name, self.do("namespaces.get", ME, name=name).name)
        for operation in ("get", "resolve"):
            self.refused(errors.NamespaceNotFound, f"namespaces.{operation}", ME, name="theirs")

    def test_what_is_changed(self):
        after = Namespace("x", "p1")
        self.refused(
            errors.Forbidden, "namespaces.update", ME, namespace=NAMESPACES["public"], after=after
        )
        self.refused(errors.Forbidden, "namespaces.delete", ME, namespace=NAMESPACES["public"])
        self.refused(errors.Forbidden, "namespaces.create", ME, namespace=Namespace("y", "p2"))
        self.refused(
            errors.Forbidden,
            "namespaces.update",
            ME,
            namespace=NAMESPACES["mine"],
            after=Namespace("x", "p2"),
        )
        self.do("namespaces.update", ME, namespace=NAMESPACES["mine"], after=after)
        self.do("namespaces.delete", ADMIN, namespace=NAMESPACES["theirs"])

    def test_name_and_number_must_belong_together(self):
        """Rows are found by their number: a name of one's own must not lead to another's."""
        forged = Namespace("mine", "p1", id=2)
        for name, arguments in (
            ("namespaces.delete", {}),
            ("namespaces.update", {"after": forged}),
            ("definitions.list", {"kind": Tag}),
            ("definitions.clear", {"kind": Tag}),
            ("definitions.create", {"definition": Tag("t")}),
        ):
            self.refused(errors.NamespaceNotFound, name, ME, namespace=forged, **arguments)

    def test_what_lies_in_a_namespace(self):
        public, mine = NAMESPACES["public"], NAMESPACES["mine"]
        for operation, arguments in (
            ("create", {"definition": Tag("t")}),
            ("clear", {"kind": Tag}),
            ("create_all", {"kind": Tag, "definitions": [], "append": True}),
            ("update", {"name": "t", "after": Tag("u")}),
            ("delete", {"kind": Tag, "name": "t"}),
        ):
            name = f"definitions.{operation}"
            self.refused(errors.Forbidden, name, ME, namespace=public, **arguments)
            self.do(name, ME, namespace=mine, **arguments)
            self.calls.clear()
        self.do("definitions.list", ME, namespace=public, kind=Tag)
        self.do("definitions.get", ME, namespace=public, kind=Tag, name="t")
