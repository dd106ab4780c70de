"""glance-manage db load_metadefs, unload_metadefs and export_metadefs.

A file holds one namespace with its definitions.  Each file is loaded in a transaction of its own,
so that a wrong file does not prevent the others.  The docstrings of commands are their help texts.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from importlib import resources
from typing import Any

from oslo_config import cfg

from glance_py.db import metadef_bulk
from glance_py.db.database import Database
from glance_py.domain import errors
from glance_py.domain.metadef import Namespace
from glance_py.wire.metadef_dump import file_document
from glance_py.wire.metadef_load import load_namespace_document

#: The owner of a namespace whose file names none.
DEFAULT_OWNER = "admin"


class NamespaceFileError(Exception):
    """A file does not contain a valid namespace; the message names the file and the fault."""


@dataclasses.dataclass(frozen=True, slots=True)
class MetadefArguments:
    """The arguments of a command.

    path
        The argument ``path``, None without one.
    source_path
        The option ``metadata_source_path``.
    conflict_mode
        A constant of ``metadef_bulk``: what to do with a namespace that exists.
    """

    path: str | None
    source_path: str
    conflict_mode: str = metadef_bulk.SKIP


def load(database: Database, arguments: MetadefArguments) -> int:
    """Load namespaces and their definitions from JSON files into the database.

    A namespace that exists is skipped.  With --merge the definitions that it lacks
    are added; with --prefer_new existing ones are replaced, too; with --overwrite it
    is removed first.  The exit code is 1 if a file could not be loaded.
    """
    files = _files(arguments)
    failed = 0
    for number, path in enumerate(files, 1):
        progress = f"[{number}/{len(files)}] {os.path.basename(path)}"
        try:
            namespace = read_file(path)
            done = metadef_bulk.import_namespace(database, namespace, arguments.conflict_mode)
            print(f"{progress}: {namespace.name} {done}")
        except (NamespaceFileError, errors.Invalid, errors.Duplicate) as error:
            failed += 1
            text = str(error) if isinstance(error, NamespaceFileError) else f"{path}: {error}"
            print(f"glance-manage: {text}", file=sys.stderr)
    if failed:
        print(f"glance-manage: {failed} of {len(files)} files were not loaded.", file=sys.stderr)
    return 1 if failed else 0


def unload(database: Database, arguments: MetadefArguments) -> None:
    """Delete all metadata definitions, including those that users created."""
    for table, rows in metadef_bulk.delete_all(database).items():
        print(f"{table}: {rows} rows removed")


def export(database: Database, arguments: MetadefArguments) -> None:
    """Write each namespace with its definitions into a JSON file of its own."""
    directory = arguments.path or arguments.source_path
    used_names: set[str] = set()
    try:
        os.makedirs(directory, exist_ok=True)
        for namespace in metadef_bulk.export_namespaces(database):
            name = _file_name(namespace, used_names)
            path = os.path.join(directory, name)
            with open(path, "w", encoding="utf-8") as file:
                json.dump(file_document(namespace), file, indent=4, ensure_ascii=False)
                file.write("\n")
            used_names.add(name.lower())
            print(f"[{len(used_names)}] {namespace.name}: {path}")
    except OSError as error:
        raise errors.Invalid(f"{error.filename} cannot be written: {error.strerror}.") from None
    print(f"Exported {len(used_names)} namespaces to {directory}.")


def read_file(path: str) -> Namespace:
    """The namespace in a file.

    :raises NamespaceFileError: it cannot be read or is not valid.
    """
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except OSError as error:
        raise NamespaceFileError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise NamespaceFileError(f"{path} is not JSON: {error}.") from None
    try:
        return load_namespace_document(document, DEFAULT_OWNER)
    except errors.Invalid as error:
        raise NamespaceFileError(f"{path}: {error}") from None


COMMANDS: Mapping[str, Callable[[Database, MetadefArguments], int | None]] = {
    "load_metadefs": load,
    "unload_metadefs": unload,
    "export_metadefs": export,
}


def add_arguments(parser: argparse.ArgumentParser, name: str, is_legacy: bool) -> None:
    """Add the arguments of a command to its parser.

    :param name: a key of COMMANDS.
    :param is_legacy: use positional arguments, as the commands ``db_...`` have them.
    """
    if name == "unload_metadefs":
        return
    help_text = "file, or directory with *.json files" if name == "load_metadefs" else "directory"
    if is_legacy:
        parser.add_argument("path", nargs="?", help=help_text)
    else:
        parser.add_argument(
            "--path", metavar="PATH", help=f"{help_text}; default: the option metadata_source_path"
        )
    if name != "load_metadefs":
        return
    for flag, what in (
        ("merge", "add new definitions to namespaces that exist"),
        ("prefer_new", "with --merge: also replace definitions that exist"),
        ("overwrite", "with --merge: replace namespaces that exist as a whole"),
    ):
        if is_legacy:
            parser.add_argument(flag, nargs="?", default="", help=what)
        else:
            parser.add_argument(
                f"--{flag}", action="store_const", const="true", default="", help=what
            )


def arguments(conf: cfg.ConfigOpts, name: str, options: Any) -> MetadefArguments:
    """What the parser found.

    :param name: a key of COMMANDS.
    :param options: has an attribute for each argument of the command.
    :raises errors.Invalid: the arguments contradict each other.
    """
    return MetadefArguments(
        path=None if name == "unload_metadefs" else options.path,
        source_path=conf.metadata_source_path,
        conflict_mode=_conflict_mode(options) if name == "load_metadefs" else metadef_bulk.SKIP,
    )


def _conflict_mode(options: Any) -> str:
    merge, prefer_new, overwrite = (
        str(value).strip().lower() in ("1", "t", "true", "on", "y", "yes")
        for value in (options.merge, options.prefer_new, options.overwrite)
    )
    if prefer_new and overwrite:
        raise errors.Invalid("Choose one of --prefer_new and --overwrite.")
    if (prefer_new or overwrite) and not merge:
        raise errors.Invalid("--prefer_new and --overwrite need --merge.")
    if overwrite:
        return metadef_bulk.OVERWRITE
    if prefer_new:
        return metadef_bulk.PREFER_NEW
    return metadef_bulk.MERGE if merge else metadef_bulk.SKIP


def _files(arguments: MetadefArguments) -> Sequence[str]:
    """The files to load, in the order of their names.

    Without a path, and if the configured directory does not exist, these are the files that ship
    with the service.

    :raises errors.Invalid: there are none, or the directory cannot be read.
    """
    source = arguments.path or arguments.source_path
    if not arguments.path and not os.path.isdir(source):
        source = str(resources.files("glance_py") / "etc" / "metadefs")
    if os.path.isfile(source):
        return [source]
    try:
        names = sorted(name for name in os.listdir(source) if name.endswith(".json"))
    except OSError as error:
        raise errors.Invalid(f"{source} cannot be read: {error.strerror}.") from None
    if not names:
        raise errors.Invalid(f"There are no *.json files in {source}.")
    return [os.path.join(source, name) for name in names]


def _file_name(namespace: Namespace, used_names: Container[str]) -> str:
    """A name that is valid on every file system and not in ``used_names``."""
    safe_name = "".join(each if each.isalnum() or each in "-_." else "_" for each in namespace.name)
    safe_name = safe_name.strip("._") or "namespace"
    name = f"{safe_name}.json"
    return f"{safe_name}-{namespace.id}.json" if name.lower() in used_names else name
