"""The command glance-replicator: copies images between Image services, directly or by a directory.

It uses the Image API v2 of both services and keeps ids, properties and tags.  Images that are equal
on both sides are not copied, so that an interrupted run can be repeated.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Self

from glance_py.cmd.progress import ProgressBar
from glance_py.replication import ImageDocument, ImageSource, ReplicationError, copy, has_data
from glance_py.replication.directory import ImageDirectory
from glance_py.replication.server import ImageServer

#: Default of -D: names of attributes that are not copied.
DONT_REPLICATE = "created_at date deleted_at location updated_at"

#: Exit codes.
EXIT_OK, EXIT_FAILED, EXIT_DIFFERENT = 0, 1, 3


@dataclasses.dataclass(frozen=True, slots=True)
class ReplicatorOptions:
    """The arguments of all commands; the first four are "" for a command without them.

    ``chunksize`` in bytes; ``sourcetoken`` and ``targettoken`` replace ``token`` for one side.
    """

    server: str
    path: str
    fromserver: str
    toserver: str
    chunksize: int
    dontreplicate: str
    metaonly: bool
    token: str | None
    sourcetoken: str | None
    targettoken: str | None
    insecure: bool
    os_cacert: str | None
    json: bool
    progress: bool
    verbose: bool

    @classmethod
    def from_namespace(cls, found: argparse.Namespace) -> Self:
        """What the parser found."""
        names = [field.name for field in dataclasses.fields(cls)]
        values: dict[str, Any] = {name: getattr(found, name, "") for name in names}
        return cls(**values)


class ReplicatorCommand(NamedTuple):
    """A command: ``run`` returns the exit code, ``arguments`` are the names of its arguments."""

    run: Callable[[ReplicatorOptions], int]
    arguments: tuple[str, ...]


def size(options: ReplicatorOptions) -> int:
    """Print the number of images of a server and their total size in bytes."""
    images, total = 0, 0
    for image in _image_server(options, options.server, options.sourcetoken).images():
        if has_data(image):
            images, total = images + 1, total + (image["size"] or 0)
    if options.json:
        print(json.dumps({"images": images, "bytes": total}))
    else:
        print(f"Total size is {total} bytes ({_format_bytes(total)}) across {images} images")
    return EXIT_OK


def dump(options: ReplicatorOptions) -> int:
    """Copy the images of a server into a directory.

    Each image becomes a JSON file named by its id and a file <id>.img.  An interrupted
    download is resumed.
    """
    source = _image_server(options, options.server, options.sourcetoken)
    os.makedirs(options.path, exist_ok=True)
    target = ImageDirectory(options.path, options.chunksize)
    return _copy_each(
        options,
        source,
        lambda image, on_bytes: copy.to_directory(
            image, source, target, _copy_options(options), on_bytes
        ),
    )


def load(options: ReplicatorOptions) -> int:
    """Copy the images of a directory, which 'dump' wrote, to a server."""
    source = ImageDirectory(options.path, options.chunksize)
    target = _image_server(options, options.server, options.targettoken)
    return _copy_each(
        options,
        source,
        lambda image, on_bytes: copy.to_server(
            image, source, target, _copy_options(options), on_bytes
        ),
    )


def livecopy(options: ReplicatorOptions) -> int:
    """Copy the images of one server to another.

    The data passes through this process in chunks and is not stored.
    """
    source = _image_server(options, options.fromserver, options.sourcetoken)
    target = _image_server(options, options.toserver, options.targettoken)
    return _copy_each(
        options,
        source,
        lambda image, on_bytes: copy.to_server(
            image, source, target, _copy_options(options), on_bytes
        ),
    )


def compare(options: ReplicatorOptions) -> int:
    """Print what is missing or different on another server; the exit code is 3 if anything is."""
    source = _image_server(options, options.fromserver, options.sourcetoken)
    target = _image_server(options, options.toserver, options.targettoken)
    different = 0
    for image in source.images():
        lines = copy.compare(image, target, _copy_options(options))
        different += bool(lines)
        if options.json:
            print(
                json.dumps(
                    {"id": image["id"], "name": image.get("name"), "differences": lines},
                    ensure_ascii=False,
                )
            )
        else:
            for line in lines or (["is equal"] if options.verbose else []):
                print(f"{image['id']} ({image.get('name')}): {line}")
    return EXIT_DIFFERENT if different else EXIT_OK


COMMANDS: dict[str, ReplicatorCommand] = {
    "size": ReplicatorCommand(size, ("server",)),
    "dump": ReplicatorCommand(dump, ("server", "path")),
    "load": ReplicatorCommand(load, ("server", "path")),
    "livecopy": ReplicatorCommand(livecopy, ("fromserver", "toserver")),
    "compare": ReplicatorCommand(compare, ("fromserver", "toserver")),
}

_ARGUMENT_HELP = {
    "server": "host:port or URL of a service",
    "path": "a directory",
    "fromserver": "host:port or URL of the service to read from",
    "toserver": "host:port or URL of the service to write to",
}


def _copy_each(
    options: ReplicatorOptions,
    source: ImageSource,
    copy_one: Callable[[ImageDocument, copy.ProgressCallback], str],
) -> int:
    """Call ``copy_one`` for each image and print the outcome; a failure does not stop the others.

    :param copy_one: copies an image; returns what was done, and reports the bytes of each chunk.
    :returns: the exit code.
    """
    counts: dict[str, int] = {}
    for image in source.images():
        name = f"{image['id']} ({image.get('name')})"
        with ProgressBar(name, image.get("size"), options.progress) as progress:
            try:
                done, reason = copy_one(image, progress.add), ""
            except (ReplicationError, OSError) as error:
                done, reason = "failed", str(error)
        counts[done] = counts.get(done, 0) + 1
        _print_outcome(options, image, done, reason)
    if options.json:
        print(json.dumps({"images": sum(counts.values()), **counts}))
    else:
        print(
            ", ".join(f"{number} {done}" for done, number in sorted(counts.items()))
            or "There are no images."
        )
    return EXIT_FAILED if "failed" in counts else EXIT_OK


def _print_outcome(
    options: ReplicatorOptions, image: ImageDocument, done: str, reason: str
) -> None:
    if options.json:
        print(
            json.dumps(
                {
                    "id": image["id"],
                    "name": image.get("name"),
                    "done": done,
                    **({"reason": reason} if reason else {}),
                },
                ensure_ascii=False,
            ),
            flush=True,
        )
    elif reason:
        print(f"{image['id']} ({image.get('name')}): {reason}", file=sys.stderr, flush=True)
    elif done != "equal" or options.verbose:
        print(f"{image['id']} ({image.get('name')}): {done}", flush=True)


def _image_server(options: ReplicatorOptions, address: str, token: str | None) -> ImageServer:
    return ImageServer(
        address,
        token or options.token,
        options.chunksize,
        verify=not options.insecure,
        cacert=options.os_cacert,
    )


def _copy_options(options: ReplicatorOptions) -> copy.CopyOptions:
    return copy.CopyOptions(options.metaonly, frozenset(options.dontreplicate.split()))


def _format_bytes(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="glance-replicator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit codes: 0 all done or equal, 1 something failed, 2 wrong arguments, "
        "3 'compare' found differences.",
    )
    common = argparse.ArgumentParser(add_help=False)
    for names, argument in _common_options():
        # Accepted before and after the name of the command.
        parser.add_argument(*names, **argument)
        common.add_argument(*names, **{**argument, "default": argparse.SUPPRESS})
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        text = inspect.cleandoc(command.run.__doc__ or "")
        subparser = commands.add_parser(
            name,
            help=text.partition("\n")[0].rstrip("."),
            description=text,
            parents=[common],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for argument_name in command.arguments:
            subparser.add_argument(argument_name, help=_ARGUMENT_HELP[argument_name])
    help_command = commands.add_parser("help", help="show how a command is used")
    help_command.add_argument("topic", nargs="?", choices=COMMANDS)
    return parser


def _common_options() -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Names and parser arguments of the options that all commands have."""
    get_variable = os.environ.get
    yield (
        ("-c", "--chunksize"),
        {
            "type": _positive,
            "default": 65536,
            "metavar": "BYTES",
            "help": "size of a chunk of data (default: %(default)s)",
        },
    )
    yield (
        ("-D", "--dontreplicate"),
        {
            "default": DONT_REPLICATE,
            "metavar": "NAMES",
            "help": "attributes that are not copied (default: '%(default)s')",
        },
    )
    yield (
        ("-m", "--metaonly"),
        {"action": "store_true", "help": "copy no data, only attributes"},
    )
    yield (
        ("-t", "--token"),
        {
            "default": get_variable("OS_TOKEN") or get_variable("OS_AUTH_TOKEN"),
            "help": "token for both services (default: OS_TOKEN)",
        },
    )
    yield ("-M", "--sourcetoken", "--mastertoken"), {"help": "token for the service that is read"}
    yield ("-N", "--targettoken", "--slavetoken"), {"help": "token for the service that is written"}
    yield ("-k", "--insecure"), {"action": "store_true", "help": "do not check certificates"}
    yield (
        ("--os-cacert",),
        {
            "default": get_variable("OS_CACERT"),
            "metavar": "FILE",
            "help": "file with CA certificates (default: OS_CACERT)",
        },
    )
    yield (
        ("--json",),
        {
            "action": "store_true",
            "help": "print a JSON object for each image, and one with totals",
        },
    )
    yield (
        ("--no-progress",),
        {
            "dest": "progress",
            "action": "store_false",
            "help": "show no progress bars on a terminal",
        },
    )
    yield ("-v", "--verbose"), {"action": "store_true", "help": "also print equal images"}
    yield ("-d", "--debug"), {"action": "store_true", "help": "show the traceback of an error"}


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    :param argv: its arguments; None for those of the process.
    :returns: the exit code: 0, 1 if something failed, 3 if ``compare`` found differences.
    """
    parser = _parser()
    found = parser.parse_args(argv)
    if found.command == "help":
        parser.parse_args([found.topic, "--help"] if found.topic else ["--help"])
    try:
        return COMMANDS[found.command].run(ReplicatorOptions.from_namespace(found))
    except (ReplicationError, OSError) as error:
        if found.debug:
            raise
        print(f"glance-replicator: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print(
            "glance-replicator: interrupted; the same command continues from here", file=sys.stderr
        )
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
