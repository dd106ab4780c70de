"""Notifications: what is sent, and that a broker never holds up a request.

The test with a real RabbitMQ is skipped when none answers on this machine,
unless GLANCE_TEST_REQUIRE_SERVICES=1 makes its absence a failure.
"""

import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
import uuid

from glance_py.notifications.notifier import _QUEUE_SIZE, LOG, Notifier, configured_drivers
from glance_py.settings import NotificationSettings
from tests.unit.factories import make_conf
from tests.waiting import eventually

BROKER = os.environ.get("GLANCE_TEST_RABBITMQ", "127.0.0.1:5672")


class NotifierCase(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def notifier(self, text: str, open_sender=None, **values) -> Notifier:
        conf = make_conf(self.directory, {"glance-api.conf": text}, **values)
        notifier = Notifier(conf, NotificationSettings.from_conf(conf), open_sender)
        self.addCleanup(notifier.close, 0.1)
        return notifier


class SwitchTest(NotifierCase):
    def test_without_a_driver_nothing_is_enabled(self):
        self.assertFalse(self.notifier("").enabled)
        self.assertFalse(
            self.notifier(
                "[oslo_messaging_notifications]\ndriver =\ntransport_url = rabbit://x/\n"
            ).enabled
        )

    def test_without_a_driver_the_library_is_not_imported(self):
        code = (
            "import sys\n"
            "from tests.unit.factories import make_conf\n"
            "from glance_py.notifications.notifier import Notifier\n"
            "from glance_py.settings import NotificationSettings\n"
            "Notifier(make_conf(), NotificationSettings()).info('image.create', {})\n"
            "sys.exit('oslo_messaging' in sys.modules)\n"
        )
        self.assertEqual(
            0, subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False).returncode
        )

    def test_several_drivers(self):
        options = make_conf(
            self.directory,
            {"glance-api.conf": "[oslo_messaging_notifications]\ndriver = log\ndriver = noop\n"},
        )
        self.assertEqual(["log", "noop"], configured_drivers(options))

    def test_disabled_notifications(self):
        notifier = self.notifier(
            "[oslo_messaging_notifications]\ndriver = noop\n",
            disabled_notifications=["image.create", "task", "image.member"],
        )
        self.assertFalse(notifier.is_enabled("image.create"))
        self.assertFalse(notifier.is_enabled("task.run"))
        self.assertTrue(notifier.is_enabled("image.update"))
        # wire: only what stands before the first dot names a group.
        self.assertTrue(notifier.is_enabled("image.member.create"))

    def test_names_that_disable_nothing_are_logged_at_start(self):
        with self.assertLogs(LOG, "WARNING") as logs:
            self.notifier(
                "[oslo_messaging_notifications]\ndriver = noop\n",
                disabled_notifications=["image.create", "image.member", "imgae", "metadef_tag"],
            )
        self.assertEqual(1, len(logs.output))
        self.assertIn("there is no notification image.member, imgae; it is", logs.output[0])
        with self.assertNoLogs(LOG):
            self.notifier(
                "[oslo_messaging_notifications]\ndriver = noop\n",
                disabled_notifications=["image", "task.run", "metadef_namespace.delete_tags"],
            )
            self.notifier("", disabled_notifications=["nothing"])


class SendTest(NotifierCase):
    def test_message(self):
        notifier = self.notifier(
            "[DEFAULT]\ndefault_publisher_id = image.here\n"
            "[oslo_messaging_notifications]\ndriver = log\n"
        )
        with self.assertLogs("oslo.messaging.notification", "INFO") as logs:
            notifier.info("image.create", {"id": "i"})
            notifier.error("image.upload", "no room")
            notifier.close()
        first, second = [json.loads(record.getMessage()) for record in logs.records]
        self.assertEqual(
            ("image.create", "INFO", "image.here", {"id": "i"}),
            (first["event_type"], first["priority"], first["publisher_id"], first["payload"]),
        )
        self.assertEqual(
            ("image.upload", "ERROR", "no room"),
            (second["event_type"], second["priority"], second["payload"]),
        )

    def test_a_child_process_sends_for_itself(self):
        sent = queue.SimpleQueue()

        class Sender:
            def info(self, context, event, payload):
                sent.put(os.getpid())

        notifier = self.notifier("[oslo_messaging_notifications]\ndriver = noop\n", Sender)
        notifier.info("image.create", {})
        # Nothing is under way, such as the import of a module, when the process is forked.
        self.assertEqual(os.getpid(), sent.get(timeout=60))
        child = os.fork()
        if child == 0:
            try:
                notifier.info("image.create", {})
                ok = sent.get(timeout=60) == os.getpid()
                thread = notifier._queue.get().thread
                notifier.close(60)
                os._exit(0 if ok and not thread.is_alive() else 1)
            finally:
                os._exit(2)
        self.assertEqual(0, os.waitpid(child, 0)[1])

    def test_a_broker_that_never_answers(self):
        """Requests go on at full speed, losses are counted, the end is not held up."""
        stuck = threading.Event()
        self.addCleanup(stuck.set)

        class Sender:
            def info(self, context, event, payload):
                stuck.wait()

        notifier = self.notifier("[oslo_messaging_notifications]\ndriver = noop\n", Sender)
        with self.assertLogs(LOG, "ERROR") as logs:
            # Who waited for the broker would wait for ever.
            for _ in range(_QUEUE_SIZE + 500):
                notifier.info("image.create", {})
            notifier.close(0.2)
        self.assertLessEqual(len(logs.output), 3, "one complaint now and two at the end")

    def test_a_failing_broker(self):
        sent = []

        class Sender:
            def info(self, context, event, payload):
                if event == "bad":
                    raise OSError("connection refused")
                sent.append(event)

        notifier = self.notifier("[oslo_messaging_notifications]\ndriver = noop\n", Sender)
        with self.assertLogs(LOG, "ERROR"):
            notifier.info("bad", {})
            notifier.info("good", {})
            notifier.close()
        self.assertEqual(["good"], sent)


class RabbitMQTest(NotifierCase):
    """A message arrives where consumers of notifications look for it."""

    def setUp(self):
        super().setUp()
        host, _, port = BROKER.partition(":")
        try:
            socket.create_connection((host, int(port)), 2).close()
        except OSError:
            if os.environ.get("GLANCE_TEST_REQUIRE_SERVICES") == "1":
                raise
            self.skipTest(f"no RabbitMQ at {BROKER}")

    def test_exchange_and_topic(self):
        import kombu

        topic = f"test-{uuid.uuid4().hex}"
        url = f"guest:guest@{BROKER}/"
        queue = kombu.Queue(
            f"{topic}.info",
            kombu.Exchange("glance", "topic", durable=False),
            routing_key=f"{topic}.info",
            durable=False,
            auto_delete=False,
        )
        notifier = self.notifier(
            f"[oslo_messaging_notifications]\ndriver = messagingv2\n"
            f"transport_url = rabbit://{url}\ntopics = {topic}\n"
        )
        with kombu.Connection(f"amqp://{url}") as connection:
            bound = queue(connection.default_channel)
            bound.declare()
            self.addCleanup(self.drop, url, queue)
            notifier.info("image.create", {"id": "i"})
            message = eventually(lambda: bound.get(no_ack=True))
        envelope = json.loads(message.body)
        body = json.loads(envelope["oslo.message"])
        self.assertEqual(("image.create", {"id": "i"}), (body["event_type"], body["payload"]))

    @staticmethod
    def drop(url, queue):
        import kombu

        with kombu.Connection(f"amqp://{url}") as connection:
            queue(connection.default_channel).delete()
