"""The command glance-cache-manage: lists and changes the contents of one host's image cache.

It sends the cache calls of the Image API (v2.14 and later) to a host, because each host has a cache
of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, Self

#: Seconds to wait for data of an answer.
TIMEOUT = 60


class CacheCommandError(Exception):
    """The command failed; the message is printed."""


class CacheClient:
    """Sends the cache calls to one host.

    :param url: without a path.
    :param token: sent with each call; None sends none.
    :param insecure: do not check the certificate of the host.
    """

    def __init__(self, url: str, token: str | None, insecure: bool) -> None:
        self._url = url
        self._token = token
        self._tls = ssl.create_default_context()
        if insecure:
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE

    def call(self, method: str, path: str, **headers: str) -> Any:
        """Send one call.

        :param path: what follows ``/v2/cache``.
        :param headers: with underscores instead of hyphens in their names.
        :returns: the parsed JSON of the answer; None when it has no body.
        :raises CacheCommandError: the host refused the call or does not answer.
        """
        request = urllib.request.Request(f"{self._url}/v2/cache{path}", method=method)
        request.add_header("Accept", "application/json")
        if self._token:
            request.add_header("X-Auth-Token", self._token)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT, context=self._tls) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            raise CacheCommandError(_error_message(error)) from None
        except OSError as error:
            raise CacheCommandError(
                f"{self._url} does not answer: {getattr(error, 'reason', error)}"
            ) from None
        return json.loads(body) if body else None


def _error_message(error: urllib.error.HTTPError) -> str:
    try:
        return f"{error.code}: {json.loads(error.read())['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}"


@dataclasses.dataclass(frozen=True, slots=True)
class CacheManageOptions:
    """The arguments of a command; ``image_id`` is "" for a command without one."""

    image_id: str
    json: bool
    verbose: bool
    force: bool

    @classmethod
    def from_namespace(cls, found: argparse.Namespace) -> Self:
        """What the parser found."""
        return cls(getattr(found, "image_id", ""), found.json, found.verbose, found.force)


def list_cached(cache: CacheClient, options: CacheManageOptions) -> None:
    """List the images in the cache."""
    images = cache.call("GET", "")["cached_images"]
    if options.json:
        print(json.dumps(images, indent=2))
        return
    rows = [
        (
            image["image_id"],
            _format_time(image["last_accessed"]),
            _format_time(image["last_modified"]),
            image["size"],
            image["hits"],
        )
        for image in images
    ]
    _print_table(("ID", "Last Accessed (UTC)", "Last Modified (UTC)", "Size", "Hits"), rows)


def list_queued(cache: CacheClient, options: CacheManageOptions) -> None:
    """List the images that are queued to be fetched."""
    queued = cache.call("GET", "")["queued_images"]
    if options.json:
        print(json.dumps(queued, indent=2))
    else:
        _print_table(("ID",), [(image_id,) for image_id in queued])


def queue_image(cache: CacheClient, options: CacheManageOptions) -> None:
    """Queue an image to be fetched into the cache."""
    cache.call("PUT", "/" + _quote(options.image_id))
    _print_verbose(options, f"Queued image {options.image_id} for caching")


def delete_cached_image(cache: CacheClient, options: CacheManageOptions) -> None:
    """Remove an image from the cache."""
    _confirm(options, f"Delete cached image {options.image_id}?")
    cache.call("DELETE", "/" + _quote(options.image_id))
    _print_verbose(options, f"Deleted cached image {options.image_id}")


def delete_all_cached_images(cache: CacheClient, options: CacheManageOptions) -> None:
    """Remove all images from the cache."""
    _confirm(options, "Delete all cached images?")
    cache.call("DELETE", "", x_image_cache_clear_target="cache")
    _print_verbose(options, "Deleted all cached images")


def delete_queued_image(cache: CacheClient, options: CacheManageOptions) -> None:
    """Remove an image from the queue."""
    _confirm(options, f"Delete queued image {options.image_id}?")
    if options.image_id not in cache.call("GET", "")["queued_images"]:
        raise CacheCommandError(f"Image {options.image_id} is not queued.")
    cache.call("DELETE", "/" + _quote(options.image_id))
    _print_verbose(options, f"Deleted queued image {options.image_id}")


def delete_all_queued_images(cache: CacheClient, options: CacheManageOptions) -> None:
    """Remove all images from the queue."""
    _confirm(options, "Delete all queued images?")
    cache.call("DELETE", "", x_image_cache_clear_target="queue")
    _print_verbose(options, "Deleted all queued images")


#: Name of a command -> its function, and whether it takes the id of an image.
COMMANDS: dict[str, tuple[Callable[[CacheClient, CacheManageOptions], None], bool]] = {
    "list-cached": (list_cached, False),
    "list-queued": (list_queued, False),
    "queue-image": (queue_image, True),
    "delete-cached-image": (delete_cached_image, True),
    "delete-all-cached-images": (delete_all_cached_images, False),
    "delete-queued-image": (delete_queued_image, True),
    "delete-all-queued-images": (delete_all_queued_images, False),
}


def _quote(image_id: str) -> str:
    return urllib.parse.quote(image_id, safe="")


def _format_time(seconds: float) -> str:
    if not seconds:
        return "N/A"
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%dT%H:%M:%S}"


def _print_table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    from prettytable import PrettyTable

    table = PrettyTable(list(names))
    table.align = "l"
    table.add_rows([list(row) for row in rows])
    print(table)


def _confirm(options: CacheManageOptions, question: str) -> None:
    if options.force:
        return
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise CacheCommandError("Nothing was deleted; --force skips the question.")


def _print_verbose(options: CacheManageOptions, text: str) -> None:
    if options.verbose:
        print(text)


def _parser() -> argparse.ArgumentParser:
    get_variable = os.environ.get
    parser = argparse.ArgumentParser(prog="glance-cache-manage", description=__doc__)
    add = parser.add_argument
    add("-v", "--verbose", action="store_true", help="print what was done")
    add("-d", "--debug", action="store_true", help="show the traceback of an error")
    add(
        "-H",
        "--host",
        default="0.0.0.0",  # noqa: S104 - to connect to this host
        help="address or URL of the host (default: this host)",
    )
    add("-p", "--port", type=int, default=9292, help="its port (default: 9292)")
    add("-k", "--insecure", action="store_true", help="do not check the certificate of the host")
    add("-f", "--force", action="store_true", help="ask no questions")
    add("--json", action="store_true", help="print lists as JSON")
    add(
        "-S",
        "--os-auth-strategy",
        default=get_variable("OS_AUTH_STRATEGY"),
        help="keystone or noauth (default: keystone when there is an --os-auth-url)",
    )
    add(
        "--os-auth-token",
        default=get_variable("OS_AUTH_TOKEN"),
        help="an existing token, used instead of a password",
    )
    for name in (
        "auth-url",
        "username",
        "password",
        "project-name",
        "project-id",
        "user-domain-name",
        "user-domain-id",
        "project-domain-name",
        "project-domain-id",
        "cacert",
    ):
        variable = f"OS_{name.upper().replace('-', '_')}"
        add(f"--os-{name}", default=get_variable(variable), help=f"default: {variable}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (function, takes_id) in COMMANDS.items():
        command = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        if takes_id:
            command.add_argument("image_id")
    return parser


def _token(options: argparse.Namespace) -> str | None:
    """The token to send; None without authentication.

    :raises CacheCommandError: Keystone refuses the credentials or does not answer.
    """
    if options.os_auth_strategy == "noauth":
        return None
    if options.os_auth_token or not options.os_auth_url:
        given: str | None = options.os_auth_token
        return given
    from keystoneauth1 import exceptions, session
    from keystoneauth1.identity import generic

    names = (
        "auth_url",
        "username",
        "password",
        "project_name",
        "project_id",
        "user_domain_name",
        "user_domain_id",
        "project_domain_name",
        "project_domain_id",
    )
    password = generic.Password(
        **{name: getattr(options, f"os_{name}") for name in names}, default_domain_id="default"
    )
    verify = False if options.insecure else options.os_cacert or True
    try:
        return session.Session(auth=password, verify=verify).get_token()
    except exceptions.ClientException as error:
        raise CacheCommandError(f"Keystone gave no token: {error}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    :param argv: its arguments; None for those of the process.
    :returns: the exit code.
    """
    found = _parser().parse_args(argv)
    url = found.host if "://" in found.host else f"http://{found.host}:{found.port}"
    function, _ = COMMANDS[found.command]
    try:
        client = CacheClient(url.rstrip("/"), _token(found), found.insecure)
        function(client, CacheManageOptions.from_namespace(found))
    except CacheCommandError as error:
        if found.debug:
            raise
        print(f"glance-cache-manage: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
