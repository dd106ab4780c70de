"""The files in etc/ are what the generators write, as far as this service's own options go.

What libraries say about theirs changes with their versions.  ``make samples``
writes the files anew.
"""

from __future__ import annotations

import io
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

from oslo_config import cfg, generator

from glance_py import config
from glance_py.layers.property_rules import PropertyProtections
from glance_py.policies.enforcer import Enforcer
from glance_py.settings import FormatSettings, PropertyProtectionSettings
from glance_py.wire.image import image_resource
from tests.unit.factories import make_conf

ETC = pathlib.Path(__file__).resolve().parents[2] / "etc"
PLANS = sorted((ETC / "oslo-config-generator").glob("glance-*.conf"))


#: What a deployment with Keystone has, without its section keystone_authtoken.
CREDENTIALS = """\
auth_type = password
auth_url = http://keystone/v3
username = glance
password = p
user_domain_name = Default
"""
GOOD = f"""\
[DEFAULT]
enabled_backends = fast:file
transport_url = rabbit://u:p@host:5672/
use_keystone_limits = true
[glance_store]
default_backend = fast
[fast]
filesystem_store_datadir = /srv/glance
[database]
connection = sqlite:////var/lib/glance/glance.sqlite
[cache]
enabled = true
[cors]
allowed_origin = http://dashboard
[oslo_policy]
enforce_scope = true
enforce_new_defaults = true
[oslo_middleware]
enable_proxy_headers_parsing = true
[oslo_messaging_notifications]
driver = messagingv2
[oslo_limit]
system_scope = all
endpoint_id = e
{CREDENTIALS}
[service_user]
project_name = service
project_domain_name = Default
{CREDENTIALS}
"""


def plan(path: pathlib.Path) -> tuple[pathlib.Path, list[str]]:
    """Where a plan of the generator leads, and the namespaces in it."""
    text = path.read_text()
    [output] = re.findall("^output_file = (.*)$", text, re.M)
    return ETC.parent / output, re.findall("^namespace = (.*)$", text, re.M)


def generated(namespaces: list[str]) -> str:
    options = cfg.ConfigOpts()
    generator.register_cli_opts(options)
    options(
        [f"--namespace={name}" for name in namespaces] + ["--wrap-width=80"],
        default_config_files=[],
        default_config_dirs=[],
    )
    written = io.StringIO()
    generator.generate(options, written)
    return written.getvalue()


class SamplesTest(unittest.TestCase):
    def test_options(self):
        """Every option of this service stands in its sample as the generator writes it."""
        self.assertEqual(6, len(PLANS))
        for path in PLANS:
            output, namespaces = plan(path)
            sample = output.read_text()
            own = generated([name for name in namespaces if name.startswith("glance.")])
            for paragraph in own.split("\n\n"):
                self.assertTrue(
                    paragraph.strip() in sample,
                    f"{output.name} is out of date (make samples): {paragraph}",
                )

    def test_options_are_valid(self):
        """oslo-config-validator knows every option of the sample, once they are switched on."""
        output, namespaces = plan(ETC / "oslo-config-generator/glance-api.conf")
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write(re.sub(r"(?m)^#(\w+ =)", r"\1", output.read_text()))
            file.flush()
            done = subprocess.run(
                [
                    sys.executable,
                    "-W",
                    "ignore",
                    "-m",
                    "oslo_config.validator",
                    f"--input-file={file.name}",
                    *(f"--namespace={name}" for name in namespaces),
                ],
                capture_output=True,
                text=True,
                check=False,
            )
        self.assertEqual(0, done.returncode, done.stderr[-2000:])

    def test_the_documented_validation_accepts_a_good_file(self):
        """Options that keystoneauth reads and those of old files included."""
        text = (ETC.parent / "doc/source/admin/configuration.md").read_text()
        [command] = re.findall(r"oslo-config-validator (?:.*\\\n)*.*", text)
        words = command.replace("\\\n", " ").split()[1:]
        keystone = re.findall(r"\[keystone_authtoken\]\n(?:[\w#].*\n)+", text)[0]
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write(GOOD + keystone)
            file.flush()
            words[words.index("--input-file") + 1] = file.name
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-m", "oslo_config.validator", *words],
                capture_output=True,
                text=True,
                check=False,
            )
        self.assertEqual(0, done.returncode, done.stderr[-2000:])

    def test_each_option_belongs_to_a_sample(self):
        sample = (ETC / "glance-api.conf").read_text()
        for _group, options in config.list_opts():
            for option in options:
                self.assertTrue(f"\n#{option.dest} =" in sample, option.name)

    def test_property_protections(self):
        for form in ("roles", "policies"):
            options = make_conf(
                property_protection_file=str(ETC / f"property-protections-{form}.conf"),
                property_protection_rule_format=form,
            )
            PropertyProtections(PropertyProtectionSettings.from_conf(options), Enforcer(options))

    def test_image_schema(self):
        resource = image_resource(FormatSettings(), str(ETC / "schema-image.json"))
        names = {field.name for field in resource}
        self.assertLess(set(json.loads((ETC / "schema-image.json").read_text())), names)


if __name__ == "__main__":
    unittest.main()
