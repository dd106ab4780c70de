"""The flavor keystone, with a Keystone that is away, hangs, or does not know this service."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import unittest
from unittest import mock

from oslo_config import cfg

from glance_py import app, config, limits, pipeline
from glance_py.middleware import health, keystone, probe
from tests.functional import service
from tests.functional.client import AppClient
from tests.functional.keystone import FakeKeystone

#: Seconds: many times what the time limits allow; what hangs takes for ever.
SOON = 60


class KeystoneCase(unittest.TestCase):
    def setUp(self) -> None:
        self.keystone = FakeKeystone(self)
        self.enterContext(
            mock.patch.dict(keystone.DEFAULTS, http_connect_timeout=1, http_request_max_retries=0)
        )
        self.enterContext(mock.patch.object(probe, "RESULT_TTL", 0.0))
        self.enterContext(mock.patch.object(health, "IDENTITY_RESULT_TTL", 0.0))

    def conf(self, section: str, options: str = "") -> cfg.ConfigOpts:
        """A service's configuration that ends with ``section``."""
        made, self.directory = self.enterContext(service.configured(options, behind_registry=False))
        with open(made.config_file[0], "a") as file:
            file.write(f"flavor = keystone\n{section}")
        return config.load(["--config-file", made.config_file[0]], conf=cfg.ConfigOpts())

    def start(self, section: str | None = None, options: str = "") -> None:
        section = self.keystone.section() if section is None else section
        self.app = app.build(self.conf(section, options))

    def get(self, token: str = "u:p1:member", path: str = "/v2/images"):
        return AppClient(self.app, token).call("GET", path)

    def ready(self):
        return AppClient(self.app, "").call("GET", "/healthcheck/ready")

    @contextlib.contextmanager
    def soon(self):
        start = time.monotonic()
        yield
        self.assertLess(time.monotonic() - start, SOON)


class OutageTest(KeystoneCase):
    def test_a_keystone_that_is_well(self) -> None:
        self.start()
        self.assertEqual(200, self.get().status_int)
        self.assertEqual(401, self.get("nonsense").status_int)
        self.assertEqual(401, self.get("").status_int)
        self.assertEqual(200, self.ready().status_int, self.ready().text)

    def check_unavailable(self, token: str) -> None:
        with self.soon(), self.assertLogs(keystone.LOG, "ERROR"):
            answer = self.get(token)
        self.assertEqual((503, "5"), (answer.status_int, answer.headers["Retry-After"]))
        self.assertRegex(answer.headers["X-Openstack-Request-Id"], "^req-")

    def test_refused_connections(self) -> None:
        self.start()
        self.assertEqual(200, self.get().status_int)
        self.keystone.stop()
        self.check_unavailable("new:p1:member")
        self.assertEqual(200, self.get().status_int, "what was checked before still counts")
        self.assertEqual(401, self.get("").status_int)
        with self.soon():
            answer = self.ready()
        self.assertEqual(503, answer.status_int)
        self.assertIn("Keystone gives this service no token", answer.text)

    def test_a_keystone_that_hangs(self) -> None:
        self.start()
        self.keystone.hangs = True
        self.check_unavailable("new:p1:member")
        with self.soon():
            self.assertEqual(503, self.ready().status_int)

    def test_nobody_waits_for_what_others_waited_for(self) -> None:
        """After three failures in a row Keystone is not asked for a while."""
        self.start()
        self.keystone.hangs = True
        for number in range(3):
            self.check_unavailable(f"{number}:p1:member")
        asked = len(self.keystone.requests)
        for number in range(20):
            self.assertEqual(503, self.get(f"more{number}:p1:member").status_int)
        self.assertEqual(asked, len(self.keystone.requests))

    def test_a_wrong_password_of_the_service(self) -> None:
        """It is not the callers who are refused, and readiness says so."""
        self.start(self.keystone.section(password="wrong"))
        with self.assertLogs(keystone.LOG, "ERROR") as logs:
            self.assertEqual(503, self.get().status_int)
        self.assertIn("[keystone_authtoken]", logs.output[0])
        self.assertIn("Keystone gives this service no token", self.ready().text)

    def test_the_look_at_keystone_is_remembered(self) -> None:
        self.start()
        with mock.patch.object(health, "IDENTITY_RESULT_TTL", 60.0):
            for _ in range(5):
                self.assertEqual(200, self.ready().status_int)
        self.assertEqual(1, self.keystone.requests.count(("POST", "/v3/auth/tokens")))

    def test_service_tokens(self) -> None:
        self.start()
        self.assertEqual(
            200,
            AppClient(self.app, "u:p1:member")
            .call("GET", "/v2/images", X_Service_Token="nova:service:service")
            .status_int,
        )
        self.keystone.stop()
        with self.assertLogs(keystone.LOG, "ERROR"):
            self.assertEqual(
                503,
                AppClient(self.app, "u:p1:member")
                .call("GET", "/v2/images", X_Service_Token="new:service:service")
                .status_int,
            )

    def test_time_limits_unless_the_operator_sets_others(self) -> None:
        self.enterContext(mock.patch.dict(keystone.DEFAULTS, http_connect_timeout=5))
        conf = self.conf(self.keystone.section() + "http_request_max_retries = 7\n")
        app.build(conf)
        self.assertEqual(
            (5, 7),
            (
                conf.keystone_authtoken.http_connect_timeout,
                conf.keystone_authtoken.http_request_max_retries,
            ),
        )


class MistakeTest(KeystoneCase):
    """What can never work stops the start, with a sentence."""

    def test_sections(self) -> None:
        for section, words in (
            ("", "auth_type is not set"),
            (self.keystone.section().replace("= password", "= pasword", 1), "pasword"),
            (self.keystone.section().replace("auth_url =", "#auth_url ="), "auth[-_]url"),
        ):
            with (
                self.subTest(words),
                self.assertRaisesRegex(pipeline.PipelineError, rf"\[keystone_authtoken\].*{words}"),
            ):
                self.start(section)

    def test_the_command_says_it_on_standard_error(self) -> None:
        conf = self.conf(self.keystone.section().replace("= password", "= pasword", 1))
        done = subprocess.run(
            [
                sys.executable,
                "-W",
                "ignore",
                "-m",
                "glance_py.cmd.api",
                "--config-file",
                conf.config_file[0],
                "--log-file",
                os.path.join(self.directory, "log"),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(1, done.returncode)
        self.assertRegex(done.stderr, r"glance-api: .*\[keystone_authtoken\].*pasword")
        self.assertNotIn("Traceback", done.stderr)


class LimitsTest(KeystoneCase):
    """Unified limits when Keystone stops answering."""

    def setUp(self) -> None:
        super().setUp()
        from oslo_limit import limit, opts

        self.enterContext(mock.patch.object(limits, "TIMEOUT", 1))
        self.enterContext(mock.patch.object(limits, "MIN_CACHE_TTL", 0.0))
        self.enterContext(mock.patch.object(limit, "_SDK_CONNECTION", None))
        conf = self.conf(
            self.keystone.section() + self.keystone.section("oslo_limit") + "endpoint_id = e\n",
            "use_keystone_limits = true\n",
        )
        # The library reads the process-wide options, which other tests read, too.
        self.enterContext(mock.patch.object(limit, "CONF", conf))
        self.enterContext(mock.patch.object(opts, "CONF", conf))
        opts.register_opts(conf)
        self.app = app.build(conf)
        self.keystone.limits = {
            "image_count_total": 10,
            "image_size_total": 10,
            "image_stage_total": 10,
            "image_count_uploading": 10,
        }
        self.member = AppClient(self.app, "u:p1:member")

    def create(self):
        return self.member.call("POST", "/v2/images", b"{}", content_type="application/json")

    def test_limits(self) -> None:
        self.assertEqual(201, self.create().status_int)
        for away in (lambda: setattr(self.keystone, "hangs", True), self.keystone.stop):
            away()
            with self.soon(), self.assertLogs(limits.LOG, "ERROR"):
                answer = self.create()
            self.assertEqual((503, "5"), (answer.status_int, answer.headers["Retry-After"]))


if __name__ == "__main__":
    unittest.main()
