"""The Cinder driver passes the contract of drivers with a Cinder in memory and volumes in files."""

import importlib
import io
import os
import sys
import tempfile
import types
import unittest
from unittest import mock

from keystoneauth1 import exceptions
from oslo_concurrency import lockutils, processutils

from glance_store_py import errors
from glance_store_py.drivers import cinder, cinder_api, cinder_attachment
from glance_store_py.drivers.cinder_api import VolumeClient, VolumeStateConflict
from glance_store_py.drivers.cinder_device import open_device
from glance_store_py.drivers.cinder_options import OPTIONS, CinderSettings
from glance_store_py.location import parse
from glance_store_py.process import PerProcess
from glance_store_py.testing import DriverContract, settings
from tests.unit.glance_store_py.drivers.fake_ceph import Cluster
from tests.unit.glance_store_py.drivers.fake_cinder import GIB, FakeCinder, FileAttachments
from tests.unit.glance_store_py.test_process import in_child

ACCOUNT = {
    "cinder_store_auth_address": "http://keystone/",
    "cinder_store_user_name": "glance",
    "cinder_store_password": "secret",
    "cinder_store_project_name": "service",
}


class CinderCase(DriverContract):
    capabilities = cinder.CinderDriver.capabilities
    options: dict = {}

    @classmethod
    def applies(cls, name, case):
        # The state is in the memory of this process: there is no other writer to kill.
        return "killed" not in name and super().applies(name, case)

    def make_driver(self):
        directory = self.enterContext(tempfile.TemporaryDirectory())
        lockutils.set_defaults(directory)
        made = cinder.CinderDriver(settings(OPTIONS, **ACCOUNT, **self.options), "contract")
        self.cinder, self.connected = FakeCinder(), []
        made._volumes._adapter = PerProcess(lambda: self.cinder)
        made._volumes.deferred._retry_interval = 0.01
        made._attachments = FileAttachments(made._settings, made._volumes)
        made._attachments.cinder, made._attachments.directory = self.cinder, directory
        made._attachments.connected = self.connected
        self.enterContext(mock.patch.object(importlib, "import_module"))
        self.enterContext(mock.patch.object(cinder_api, "POLL_SECONDS", (0, 0)))
        self.enterContext(mock.patch.object(cinder_attachment, "FIRST_RETRY_DELAY", 0))
        return made

    def leftovers(self):
        return [volume["name"] for volume in self.cinder.volumes.values()]


class TestCinder(CinderCase, unittest.TestCase):
    def tearDown(self):
        self.assertEqual([], self.connected)
        self.assertEqual({}, self.cinder.attached)
        super().tearDown()


class TestVolumes(CinderCase, unittest.TestCase):
    """What is particular to volumes."""

    options = {"cinder_volume_type": "fast"}

    @classmethod
    def applies(cls, name, case):
        return name not in dir(DriverContract)

    @property
    def volume(self):
        (volume,) = self.cinder.volumes.values()
        return volume

    def test_a_volume_has_its_metadata_and_is_read_only(self):
        caller = types.SimpleNamespace(project_id="theirs")
        self.store.add(self.image_id, [b"data"], 4, caller)
        self.assertEqual(
            {"glance_image_id": self.image_id, "image_owner": "theirs", "image_size": "4"},
            self.volume["metadata"],
        )
        self.assertEqual(
            ("fast", 1, True),
            tuple(self.volume[name] for name in ("volume_type", "size", "readonly")),
        )

    def test_a_volume_without_a_size_in_its_metadata_is_the_image(self):
        location = parse(self.store.add(self.image_id, [b"data"]).url)
        del self.volume["metadata"]["image_size"]
        self.assertEqual(GIB, self.store.size(location))

    def test_unfinished_volumes_are_found_and_detached(self):
        location = parse(self.store.add(self.image_id, [b"data"]).url)
        self.volume["metadata"][cinder.UNFINISHED_KEY] = "mark"
        connection = self.cinder.request(
            "/attachments",
            "POST",
            {"attachment": {"volume_uuid": self.volume["id"], "connector": {}, "mode": "rw"}},
        ).json()["attachment"]["connection_info"]
        self.connected.append(connection["volume"])
        self.assertEqual([location], self.store.find_partial(self.image_id))
        self.store.delete(location)
        self.assertEqual(([], {}, {}), (self.connected, self.cinder.attached, self.cinder.volumes))

    def test_a_volume_in_use_is_not_removed(self):
        location = parse(self.store.add(self.image_id, [b"data"]).url)
        self.volume["status"] = "in-use"
        self.assertRaises(errors.InUseByStore, self.store.delete, location)

    def test_a_missing_volume_type_is_named(self):
        with mock.patch.object(
            self.store.driver._volumes,
            "_settings",
            CinderSettings.read(settings(OPTIONS, cinder_volume_type="missing")),
        ):
            self.assertRaisesRegex(
                errors.BadStoreConfiguration, "missing", self.store.add, self.image_id, [b"data"]
            )

    def test_attaching_is_tried_again_while_the_volume_is_attached_elsewhere(self):
        self.cinder.failures["POST /attachments"] = [exceptions.BadRequest()] * 4
        self.store.add(self.image_id, [b"data"])
        self.assertEqual([], self.cinder.failures["POST /attachments"])

    def test_a_volume_that_cannot_be_connected_is_removed(self):
        with (
            mock.patch.object(FileAttachments, "_connector", side_effect=ValueError),
            self.assertLogs("glance_store_py", "ERROR"),
        ):
            self.assertRaisesRegex(
                errors.GlanceStoreError, "cannot be connected", self.store.add, "id", [b"data"]
            )
        self.assertEqual({}, self.cinder.volumes)

    def test_health(self):
        self.store.health_check()
        self.cinder.failures["GET /volumes"] = [exceptions.Unauthorized()]
        self.assertRaises(errors.StoreForbidden, self.store.health_check)

    def test_packages_that_are_missing_are_named(self):
        self.store.driver.configure_add()
        with mock.patch.object(importlib, "import_module", side_effect=ImportError("no")):
            self.assertRaisesRegex(
                errors.BadStoreConfiguration, "os_brick", self.store.driver.configure_add
            )


class TestVolumeClient(unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.client = self.make()
        self.cinder = FakeCinder()
        self.client._adapter = PerProcess(lambda: self.cinder)
        self.enterContext(mock.patch.object(cinder_api, "POLL_SECONDS", (0, 0)))
        self.volume = self.client.create("name", 1, {})

    def make(self, **options):
        return VolumeClient(CinderSettings.read(settings(OPTIONS, **{**ACCOUNT, **options})))

    def test_a_state_is_waited_for(self):
        self.cinder.states = ["creating", "creating"]
        self.assertEqual("available", self.client.wait(self.volume, {"available"})["status"])
        self.cinder.states = ["creating", "error"]
        with self.assertLogs("glance_store_py", "ERROR"):
            self.assertRaises(errors.InUseByStore, self.client.wait, self.volume, {"available"})

    def test_a_state_that_takes_too_long(self):
        now = iter(range(0, 10_000, 200))
        self.cinder.states = ["creating"] * 10
        with mock.patch("time.monotonic", lambda: next(now)):
            self.assertRaises(errors.StoreTimeout, self.client.wait, self.volume, {"available"})
        self.assertEqual(8, len(self.cinder.states))

    def test_a_volume_that_is_not_extended_is_a_full_store(self):
        self.client.extend(self.volume, 2, "available")
        self.assertEqual(2, self.client.show(self.volume)["size"])
        for failures, states in (([exceptions.Conflict()], []), ([], ["error_extending"])):
            self.cinder.failures["POST /volumes"] = failures
            self.cinder.states = states
            self.assertRaises(errors.StorageFull, self.client.extend, self.volume, 3, "available")
        with mock.patch.object(self.client, "_volume_action"):
            self.assertRaises(errors.StorageFull, self.client.extend, self.volume, 9, "available")

    def test_errors_have_their_names(self):
        for raised, error in (
            (exceptions.NotFound, errors.StoreObjectNotFound),
            (exceptions.RequestEntityTooLarge, errors.StorageFull),
            (exceptions.BadRequest, VolumeStateConflict),
            (exceptions.Conflict, VolumeStateConflict),
            (exceptions.Unauthorized, errors.StoreForbidden),
            (exceptions.Forbidden, errors.StoreForbidden),
            (exceptions.ServiceUnavailable, errors.RemoteServiceUnavailable),
        ):
            self.cinder.failures["GET /volumes"] = [raised()]
            with self.subTest(raised=raised.__name__):
                self.assertRaises(error, self.client.show, self.volume)

    def test_a_volume_that_is_gone_while_it_is_removed_is_removed(self):
        self.client.delete(self.volume)
        self.assertEqual({}, self.cinder.volumes)

    def test_an_attachment_that_is_gone_is_deleted(self):
        self.client.detach("none")

    def test_the_session_has_the_settings_of_the_store(self):
        adapter = self.make(
            cinder_catalog_info="volumev3:cinder:internalURL",
            cinder_endpoint_template="http://c/v3/%(tenant)s",
            cinder_ca_certificates_file="/ca",
        )._connect()
        self.assertEqual(
            ("volumev3", "cinder", "internalURL", "http://c/v3/%(project_id)s", "/ca"),
            (
                adapter.service_type,
                adapter.service_name,
                adapter.interface,
                adapter.endpoint_override,
                adapter.session.verify,
            ),
        )
        insecure = self.make(cinder_api_insecure=True)._connect()
        self.assertFalse(insecure.session.verify)

    def test_an_application_credential_takes_the_place_of_a_user(self):
        plugin = self.make(
            cinder_store_application_credential_id="id",
            cinder_store_application_credential_secret="secret",
        )._auth()
        self.assertEqual("http://keystone/v3", plugin.auth_url)


class FakeBrick:
    """The modules of os-brick and oslo.privsep; ``calls`` has what was called of them."""

    def __init__(self):
        self.calls = []
        brick, privileged, initiator, connector, privsep, context = (
            types.ModuleType(name)
            for name in (
                "os_brick",
                "os_brick.privileged",
                "os_brick.initiator",
                "os_brick.initiator.connector",
                "oslo_privsep",
                "oslo_privsep.priv_context",
            )
        )
        brick.setup = lambda conf: self.calls.append("setup")
        brick.privileged, brick.initiator = privileged, initiator
        initiator.connector = connector
        client = types.SimpleNamespace(
            set_client_mode=lambda mode: self.calls.append(f"client mode {mode}")
        )
        privileged.default = privileged.brick_privsep_hide_output = client
        connector.get_connector_properties = lambda *args, **options: {"args": args, **options}
        connector.InitiatorConnector = types.SimpleNamespace(
            factory=lambda kind, helper, **options: (kind, helper, options)
        )
        context.init = lambda root_helper: self.calls.append(f"helper {' '.join(root_helper)}")
        privsep.priv_context = context
        self.modules = {
            each.__name__: each
            for each in (brick, privileged, initiator, connector, privsep, context)
        }


class TestHost(unittest.TestCase):
    """What the driver does with os-brick on this host."""

    def setUp(self):
        super().setUp()
        self.brick = FakeBrick()
        self.enterContext(mock.patch.dict(sys.modules, self.brick.modules))
        self.enterContext(
            mock.patch.object(cinder_attachment, "_BRICK", PerProcess(cinder_attachment._Brick))
        )
        lockutils.set_defaults(self.enterContext(tempfile.TemporaryDirectory()))
        self.settings = CinderSettings.read(
            settings(OPTIONS, cinder_use_multipath=True, cinder_enforce_multipath=True)
        )
        self.manager = cinder_attachment.AttachmentManager(self.settings, mock.Mock())
        self.helper = "sudo glance-rootwrap /etc/glance/rootwrap.conf"

    def test_it_is_set_up_once_in_a_process(self):
        with mock.patch("os.geteuid", return_value=1):
            cinder_attachment.prepare_process(self.settings)
            cinder_attachment.prepare_process(self.settings)
            self.assertEqual(["setup", f"helper {self.helper}"], self.brick.calls)

            def again():
                cinder_attachment.prepare_process(self.settings)
                return len(self.brick.calls)

            self.assertEqual("4", in_child(again))

    def test_root_needs_no_helper(self):
        with mock.patch("os.geteuid", return_value=0):
            cinder_attachment.prepare_process(self.settings)
        self.assertEqual(["setup", "client mode False", "client mode False"], self.brick.calls)

    def test_properties_of_the_host_are_read_once(self):
        first = self.manager._host_properties()
        self.assertIs(first, self.manager._host_properties())
        helper, host, multipath, enforce = first["args"]
        self.assertEqual((self.helper, True, True), (helper, multipath, enforce))
        self.assertEqual(first["host"], host)

    def test_a_share_is_mounted_under_the_configured_directory(self):
        connection = {}
        kind, helper, options = self.manager._connector("nfs", connection)
        self.assertEqual(("nfs", self.helper), (kind, helper))
        self.assertEqual({"conn": connection, "use_multipath": True}, options)
        self.assertEqual("/var/lib/glance/mnt", connection["mount_point_base"])
        self.manager._connector("iscsi", other := {})
        self.assertEqual({}, other)

    def test_a_device_of_root_is_given_to_the_service_for_a_while(self):
        commands = []
        with (
            mock.patch("os.access", return_value=False),
            mock.patch("os.stat", return_value=types.SimpleNamespace(st_uid=-1)),
            mock.patch.object(
                processutils, "execute", lambda *args, **options: commands.append(args)
            ),
        ):
            with self.manager._accessible("/dev/x"):
                self.assertEqual([("chown", str(os.getuid()), "/dev/x")], commands)
            self.assertEqual(("chown", "-1", "/dev/x"), commands[-1])
        with self.manager._accessible(object()):
            self.assertEqual(2, len(commands))

    def test_what_is_on_another_host_is_only_detached(self):
        volumes = self.manager._volumes
        volumes.attachments.return_value = [
            {"id": "a", "connection_info": {"attached_host": "far", "driver_volume_type": "iscsi"}},
            {"id": "b", "connection_info": None},
        ]
        with (
            mock.patch.object(self.manager, "_host_properties", return_value={"host": "here"}),
            mock.patch.object(self.manager, "_connector", side_effect=AssertionError),
        ):
            self.manager.force_detach("volume")
        self.assertEqual(["a", "b"], [call.args[0] for call in volumes.detach.call_args_list])


class TestDevices(unittest.TestCase):
    def test_an_rbd_volume_is_written_and_read_without_the_kernel(self):
        cluster = Cluster()
        with cluster.installed():
            cluster.rbd.RBD().create(None, "volume", 8, 20, False)

            class Handle(io.RawIOBase):
                rbd_image = cluster.rbd.Image(None, "volume")

            with open_device(Handle(), True) as device:
                device.write(b"data", 2)
            with open_device(Handle(), False) as device:
                reading = device.read(2, 6)
                self.assertEqual(b"data", next(reading))

    def test_a_file_that_ends_early_gives_less(self):
        path = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), "volume")
        with open(path, "wb") as file:
            file.write(b"data")
        with open_device(path, False) as device:
            self.assertEqual([b"ta"], list(device.read(2, 10)))


if __name__ == "__main__":
    unittest.main()
