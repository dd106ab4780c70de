"""The filter of URLs: lists, forms of hosts, kinds of addresses."""

from __future__ import annotations

import unittest

from oslo_config import cfg

from glance_py import config
from glance_py.domain import errors
from glance_py.safe_http import UriFilter, service_endpoints
from glance_py.settings import UriFilterSettings
from tests.unit import factories


def made(answers: dict[str, list[str]] | None = None, **options) -> UriFilter:
    """A filter with these options and a resolver that knows these names."""
    conf = factories.make_conf()
    for name, group in (("worker_self_reference_url", None), ("connection", "database")):
        if name in options:
            conf.set_override(name, options.pop(name), group=group)

    def resolve(host: str, port: int) -> list[str]:
        if host in (answers or {}):
            return answers[host]
        if ":" in host or host.replace(".", "").isdigit():
            return [host]
        raise OSError("no such name")

    return UriFilter(UriFilterSettings(**options), lambda: service_endpoints(conf), resolve)


class Kinds(unittest.TestCase):
    """Every address is judged by what kind of place it leads to."""

    REFUSED = (
        "127.0.0.1",
        "127.8.8.8",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[fe80::1]",
        "[fe80::5efe:808:808]",
        "0.0.0.0",
        "0.1.2.3",
        "[::]",
        "[::ffff:0.0.0.0]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::7f00:1]",
        # Prefixes of 48, 56 and 64 bits for local NAT64, with and without a suffix.
        "[64:ff9b:1:7f00:0:100::]",
        "[64:ff9b:1:a9fe:a9:fe00::]",
        "[64:ff9b:1:7f00:0:100:808:808]",
        "[64:ff9b:1:7f:0:1::]",
        "[64:ff9b:1:0:7f:0:100:0]",
        "[64:ff9b:1::]",
        "[fec0::1]",
        "[feff::1]",
        "[2002:7f00:1::]",
        "[2002:a9fe:a9fe::1]",
        "[2001:0:808:808:0:0:80ff:fffe]",
        "[2001:0:7f00:1::]",
        "[2001:db8::5efe:7f00:1]",
        "[2001:db8::200:5efe:a9fe:a9fe]",
        "224.0.0.1",
        "239.1.1.1",
        "[ff02::1]",
        "240.0.0.1",
        "255.255.255.255",
    )
    PASSING = (
        "8.8.8.8",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "[fd00::1]",
        "[2a00:1450::1]",
        "[64:ff9b::808:808]",
        "[64:ff9b:1::808:808]",
        "[64:ff9b:1:808:8:800::]",
        "[::ffff:8.8.8.8]",
        "[2002:808:808::1]",
    )

    def test_refused(self):
        for host in self.REFUSED:
            with self.subTest(host), self.assertRaises(errors.Invalid):
                made().check(f"http://{host}/image")

    def test_refused_behind_a_name(self):
        for host in self.REFUSED:
            judge = made({"images.example.org": ["8.8.8.8", host.strip("[]")]})
            with self.subTest(host), self.assertRaises(errors.Invalid):
                judge.check("http://images.example.org/image")

    def test_passing(self):
        for host in self.PASSING:
            with self.subTest(host):
                target = made().check(f"https://{host}/image")
                self.assertEqual(1, len(target.addresses))

    def test_private_addresses_pass_unless_the_operator_says_no(self):
        judge = made({"mirror": ["10.1.1.1"]}, deny_private_addresses=True)
        for host in ("10.0.0.1", "[fd00::1]", "100.64.0.1", "[::ffff:192.168.0.1]", "mirror"):
            with self.subTest(host), self.assertRaisesRegex(errors.Invalid, "private"):
                judge.check(f"http://{host}/")
        self.assertEqual(("8.8.8.8",), judge.check("http://8.8.8.8/").addresses)

    def test_a_host_that_the_operator_names_is_trusted(self):
        judge = made(
            {"localhost": ["127.0.0.1"]},
            allowed_hosts=["localhost", "127.0.0.1"],
            deny_private_addresses=True,
        )
        for host in ("localhost", "LOCALHOST.", "127.0.0.1", "[::ffff:127.0.0.1]"):
            with self.subTest(host):
                judge.check(f"http://{host}/")
        with self.assertRaises(errors.Invalid):
            judge.check("http://8.8.8.8/")


class Forms(unittest.TestCase):
    """A host has one form, so that no two readers of a URL see different hosts."""

    def test_other_spellings_of_addresses_are_refused(self):
        for host in (
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "127.1",
            "127.0.1",
            "1.2.3.4.5",
            "0x",
            "[::1%25lo]",
            "[fe80::1%lo]",
            "127.0.0.1.nip.0x1",
        ):
            with self.subTest(host), self.assertRaises(errors.Invalid):
                made({host: ["8.8.8.8"]}).check(f"http://{host}/")

    def test_the_port_that_is_judged_is_the_one_that_is_used(self):
        judge = made(allowed_ports=[], disallowed_ports=[22])
        for port in ("0000065558", "000022", "0000000443", "65558", "00022", "22", "65536"):
            with self.subTest(port), self.assertRaisesRegex(errors.Invalid, "port"):
                judge.check(f"http://8.8.8.8:{port}/")
        self.assertEqual(443, judge.check("http://8.8.8.8:00443/").port)
        self.assertEqual(80, judge.check("http://8.8.8.8:/").port)

    def test_unicode_digits_are_digits(self):
        with self.assertRaisesRegex(errors.Invalid, "loopback"):
            made().check("http://１２７.0.0.１/")

    def test_what_parsers_disagree_about_is_refused(self):
        for url in (
            "http://8.8.8.8\\@127.0.0.1/",
            "http://a@b@8.8.8.8/",
            "http://8.8.8.8 /",
            "http://8.8.8.8/\r\nHost: x",
            "http:/8.8.8.8/",
            "http:8.8.8.8",
            "//8.8.8.8/",
            "http://",
            "http:///image",
            "http://8.8.8.8:99999/",
            "http://8.8.8.8:0/",
            "http://8.8.8.8:x/",
            "http://[8.8.8.8]/",
            "http://%31%32%37.0.0.1/",
            "http://-bad-/",
            "http://8.8.8.8\t/",
            "",
            "file:///etc/passwd",
            "http://8.8.8.8\x7f/",
        ):
            with self.subTest(url), self.assertRaises(errors.Invalid):
                made().check(url)

    def test_the_parts_of_a_target(self):
        target = made({"images.example.org": ["8.8.8.8", "2a00::1"]}, allowed_ports=[8080]).check(
            "HTTPS://u%40x:secret@Images.Example.ORG.:8080/a b%20ü?q=1#part".replace(" ", "")
        )
        self.assertEqual(("https", "images.example.org", 8080), target.origin)
        self.assertEqual(("8.8.8.8", "2a00::1"), target.addresses)
        self.assertEqual("/ab%20%C3%BC?q=1", target.path)
        self.assertEqual("images.example.org:8080", target.authority)
        self.assertNotIn("secret", repr(target))

    def test_a_name_without_an_address(self):
        with self.assertRaisesRegex(errors.Invalid, "no address"):
            made().check("http://nowhere.example.org/")
        with self.assertRaisesRegex(errors.Invalid, "no address"):
            made({"empty": []}).check("http://empty/")


class Lists(unittest.TestCase):
    """An allow list that names something decides alone; else the deny list does."""

    def test_schemes(self):
        with self.assertRaisesRegex(errors.Invalid, "scheme http"):
            made(allowed_schemes=["https"]).check("http://8.8.8.8/")
        with self.assertRaisesRegex(errors.Invalid, "scheme http"):
            made(allowed_schemes=[], disallowed_schemes=["HTTP"]).check("http://8.8.8.8/")
        made(allowed_schemes=["http"], disallowed_schemes=["http"]).check("http://8.8.8.8/")

    def test_nothing_but_http_is_ever_asked(self):
        for scheme in ("ftp", "file", "gopher", "data"):
            with self.subTest(scheme), self.assertRaisesRegex(errors.Invalid, "scheme"):
                made(allowed_schemes=[]).check(f"{scheme}://8.8.8.8/")

    def test_ports(self):
        for url in ("http://8.8.8.8:22/", "http://8.8.8.8:5000/"):
            with self.subTest(url), self.assertRaisesRegex(errors.Invalid, "port"):
                made().check(url)
        made(allowed_ports=[], disallowed_ports=[22]).check("http://8.8.8.8:5000/")
        with self.assertRaisesRegex(errors.Invalid, "port"):
            made(allowed_ports=[], disallowed_ports=[22]).check("http://8.8.8.8:22/")

    def test_a_port_that_is_not_named_is_not_judged(self):
        self.assertEqual(443, made(allowed_ports=[8080]).check("https://8.8.8.8/").port)

    def test_hosts_by_name_and_address(self):
        judge = made(
            {"evil.example.org": ["8.8.8.8"], "alias.example.org": ["10.0.0.1"]},
            disallowed_hosts=["evil.example.org", "10.0.0.1"],
        )
        for host in (
            "evil.example.org",
            "EVIL.example.org.",
            "10.0.0.1",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "alias.example.org",
            "[2002:a00:1::1]",
        ):
            with self.subTest(host), self.assertRaisesRegex(errors.Invalid, "not allowed"):
                judge.check(f"http://{host}/")
        judge.check("http://10.0.0.2/")

    def test_an_allow_list_makes_the_deny_list_idle(self):
        made(allowed_hosts=["10.0.0.1"], disallowed_hosts=["10.0.0.1"]).check("http://10.0.0.1/")


class OwnEndpoints(unittest.TestCase):
    """What only the service itself should talk to is no source of images."""

    NAMES = {
        "glance.example.org": ["10.0.0.7"],
        "alias.example.org": ["10.0.0.7"],
        "db.example.org": ["10.0.0.8"],
    }

    def test_the_worker_under_any_name(self):
        judge = made(
            self.NAMES,
            allowed_ports=[9292],
            worker_self_reference_url="http://glance.example.org:9292",
        )
        for host in ("glance.example.org", "alias.example.org", "10.0.0.7", "[::ffff:10.0.0.7]"):
            with self.subTest(host), self.assertRaisesRegex(errors.Invalid, "service itself"):
                judge.check(f"http://{host}:9292/v2/images")
        judge.check("http://10.0.0.7/on-another-port")

    def test_paths_tell_services_of_one_host_apart(self):
        judge = made(self.NAMES, worker_self_reference_url="http://glance.example.org/image/")
        for path in ("/image", "/image/v2/images", "/x/../image/v2", "/%69mage/v2", "//image/x"):
            with self.subTest(path), self.assertRaisesRegex(errors.Invalid, "service itself"):
                judge.check(f"http://10.0.0.7{path}")
        judge.check("http://10.0.0.7/images/cirros.img")

    def test_the_database(self):
        judge = made(
            self.NAMES, allowed_ports=[], connection="mysql+pymysql://u:p@db.example.org/g"
        )
        with self.assertRaisesRegex(errors.Invalid, "service itself"):
            judge.check("http://10.0.0.8:3306/")
        judge.check("http://10.0.0.8:3307/")

    def test_keystone_whose_options_come_late(self):
        conf = factories.make_conf()
        judge = UriFilter(
            UriFilterSettings(),
            lambda: service_endpoints(conf),
            lambda host, port: self.NAMES.get(host, [host]),
        )
        conf.register_opts(
            [cfg.StrOpt("www_authenticate_uri"), cfg.StrOpt("auth_url")], group="keystone_authtoken"
        )
        conf.set_override(
            "www_authenticate_uri", "http://alias.example.org/identity", group="keystone_authtoken"
        )
        with self.assertRaisesRegex(errors.Invalid, "service itself"):
            judge.check("http://glance.example.org/identity/v3/auth/tokens")
        judge.check("http://glance.example.org/image/v2/images/x/file")

    def test_a_host_that_the_operator_names_wins(self):
        made(
            self.NAMES,
            allowed_hosts=["glance.example.org"],
            allowed_ports=[9292],
            worker_self_reference_url="http://glance.example.org:9292",
        ).check("http://glance.example.org:9292/")


class Options(unittest.TestCase):
    def test_a_list_without_brackets_stops_the_start_and_is_named(self):
        import tempfile

        for name in ("allowed_hosts", "disallowed_hosts"):
            with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
                file.write(f"[import_filtering_opts]\n{name} = 127.0.0.1\n")
                file.flush()
                with self.assertRaisesRegex(
                    config.ConfigurationError, rf"import_filtering_opts.*{name}(?s:.*)\[first"
                ):
                    config.load(["--config-file", file.name], conf=cfg.ConfigOpts())
