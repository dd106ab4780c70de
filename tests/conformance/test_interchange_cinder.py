"""Volumes that the original service wrote this one reads and removes, and the other way round.

Needs a Cinder (``GLANCE_TEST_CINDER_KEYSTONE``, see ``tests/contract/store/test_cinder.py``),
os-brick in this environment and in that of the reference, and the rights to attach volumes.
"""

from __future__ import annotations

import tempfile

from glance_store_py.drivers import cinder
from glance_store_py.drivers.cinder_options import OPTIONS
from glance_store_py.testing import settings
from tests.conformance import reference
from tests.conformance.interchange import MIB, InterchangeCase
from tests.contract.store import servers
from tests.waiting import eventually

CONFIGURATION = """\
[DEFAULT]
enabled_backends = fast:file, slow:file, volumes:cinder
[volumes]
"""


class TestInterchange(InterchangeCase):
    sizes = (1, 3 * MIB + 17)
    stores = ("volumes",)

    def setUp(self) -> None:
        reference.command()
        account = servers.cinder_account()
        self.volumes = cinder.CinderDriver(settings(OPTIONS, **account), "volumes")._volumes
        self.assertEqual([], self.remaining_objects())
        directory = tempfile.TemporaryDirectory(prefix="interchange-")
        self.addCleanup(directory.cleanup)
        lines = [f"{option} = {value}" for option, value in account.items()]
        self.installation = reference.Installation(
            directory.name,
            f"sqlite:///{directory.name}/glance.sqlite",
            "fakeauth+nocache",
            CONFIGURATION + "\n".join(lines),
        )
        self.addCleanup(self.installation.stop)

    def remaining_objects(self) -> list[str]:
        return [volume["name"] for volume in self.volumes._list("volumes", {})]

    def wait_for_removal(self) -> None:
        """The original service does not wait until Cinder has removed a volume."""
        eventually(self.remaining_objects, lambda names: not names)

    def test_images_change_hands(self) -> None:
        self.installation.start_reference()
        theirs = self.upload_all()
        self.installation.stop_reference()
        self.installation.start_service()
        self.read_all(theirs)
        self.delete_all(theirs)
        self.assertEqual([], self.remaining_objects())
        ours = self.upload_all()
        self.read_all(ours)
        self.installation.stop_service()
        self.installation.start_reference()
        self.read_all(ours)
        self.delete_all(ours)
        self.wait_for_removal()
