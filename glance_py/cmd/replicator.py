"""glance-replicator: copy images from one Image service to another, or through a directory.

Speaks the Image API v2 to both sides; ids, properties and tags stay.  What is
equal already is left alone: an interrupted run is simply repeated.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from glance_py.cmd.progress import ProgressBar
from glance_py.replication import ImageDocument, ImageSource, ReplicationError, copy, has_data
from glance_py.replication.directory import ImageDirectory
from glance_py.replication.server import ImageServer

#: What -D stands for when it is not given.
DONT_REPLICATE = "created_at date deleted_at location updated_at"

#: Exit codes.
EXIT_OK, EXIT_FAILED, EXIT_DIFFERENT = 0, 1, 3


class ReplicatorCommand(NamedTuple):
    """``arguments`` are the names of its arguments."""

    run: Callable[[argparse.Namespace], int]
    arguments: tuple[str, ...]


def size(options: argparse.Namespace) -> int:
    """Tell how many images a server has and how many bytes they are."""
    images, total = 0, 0
    for image in _image_server(options, options.server, options.sourcetoken).images():
        if has_data(image):
            images, total = images + 1, total + (image["size"] or 0)
    if options.json:
        print(json.dumps({"images": images, "bytes": total}))
    else:
        print(f"Total size is {total} bytes ({_format_bytes(total)}) across {images} images")
    return EXIT_OK


def dump(options: argparse.Namespace) -> int:
    """Copy the images of a server into a directory.

    Each becomes a JSON file named by its id and a file <id>.img.  Data whose
    download was interrupted is read on from where it stopped.
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


def load(options: argparse.Namespace) -> int:
    """Copy the images of a directory that 'dump' made to a server."""
    source = ImageDirectory(options.path, options.chunksize)
    target = _image_server(options, options.server, options.targettoken)
    return _copy_each(
        options,
        source,
        lambda image, on_bytes: copy.to_server(
            image, source, target, _copy_options(options), on_bytes
        ),
    )


def livecopy(options: argparse.Namespace) -> int:
    """Copy the images of one server to another.

    Nothing is kept in between: data goes through this process piece by piece.
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


def compare(options: argparse.Namespace) -> int:
    """Tell what of one server is missing or different on another; ends with 3 when anything is."""
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
    options: argparse.Namespace,
    source: ImageSource,
    copy_one: Callable[[ImageDocument, copy.ProgressCallback], str],
) -> int:
    """Do ``copy_one`` for each image, one after the other; a failure stops none of the others."""
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
    options: argparse.Namespace, image: ImageDocument, done: str, reason: str
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


def _image_server(options: argparse.Namespace, address: str, token: str | None) -> ImageServer:
    return ImageServer(
        address,
        token or options.token,
        options.chunksize,
        verify=not options.insecure,
        cacert=options.os_cacert,
    )


def _copy_options(options: argparse.Namespace) -> copy.CopyOptions:
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
        # Both before and after the command, as people write them.
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


def _common_options() -> Iterator[tuple[tuple[str, ...], dict]]:
    get_variable = os.environ.get
    yield (
        ("-c", "--chunksize"),
        {
            "type": _positive,
            "default": 65536,
            "metavar": "BYTES",
            "help": "bytes that are read at a time (default: %(default)s)",
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
        {"action": "store_true", "help": "copy no data, only what describes it"},
    )
    yield (
        ("-t", "--token"),
        {
            "default": get_variable("OS_TOKEN") or get_variable("OS_AUTH_TOKEN"),
            "help": "token for both sides (default: OS_TOKEN)",
        },
    )
    yield ("-M", "--sourcetoken", "--mastertoken"), {"help": "token for the side that is read"}
    yield ("-N", "--targettoken", "--slavetoken"), {"help": "token for the side that is written"}
    yield ("-k", "--insecure"), {"action": "store_true", "help": "do not check certificates"}
    yield (
        ("--os-cacert",),
        {
            "default": get_variable("OS_CACERT"),
            "metavar": "FILE",
            "help": "issuers of certificates (default: OS_CACERT)",
        },
    )
    yield (
        ("--json",),
        {"action": "store_true", "help": "print a JSON object for each image, and one for all"},
    )
    yield (
        ("--no-progress",),
        {
            "dest": "progress",
            "action": "store_false",
            "help": "no progress bars, which a terminal gets otherwise",
        },
    )
    yield ("-v", "--verbose"), {"action": "store_true", "help": "also tell what is equal"}
    yield ("-d", "--debug"), {"action": "store_true", "help": "show the traceback of an error"}


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    :param argv: the words after the name of the program.
    :returns: the exit code: 0, 1 when something failed, 3 when ``compare`` found differences.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if options.command == "help":
        parser.parse_args([options.topic, "--help"] if options.topic else ["--help"])
    try:
        return COMMANDS[options.command].run(options)
    except (ReplicationError, OSError) as error:
        if options.debug:
            raise
        print(f"glance-replicator: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("glance-replicator: interrupted; the same command goes on from here", file=sys.stderr)
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
