"""glance-manage db load_metadefs, unload_metadefs and export_metadefs.

Files with one namespace each go into the catalogue of metadata definitions, and
come out of it.  Each file is one transaction: a wrong one stops none of the others.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Container, Sequence
from importlib import resources

from glance_py.db import metadef_bulk
from glance_py.db.database import Database
from glance_py.domain import errors
from glance_py.domain.metadef import Namespace
from glance_py.wire.metadef_dump import file_document
from glance_py.wire.metadef_load import load_namespace_document

#: Who owns a namespace whose file names no owner.
DEFAULT_OWNER = "admin"


class NamespaceFileError(Exception):
    """A file cannot be read as a namespace; the text says which and why."""


def load(conf, database: Database, options) -> int:
    """Put the namespaces that JSON files describe into the catalogue.

    A namespace that is there already is skipped.  With --merge what it lacks is
    added; with --prefer_new what it has is replaced, too; with --overwrite it is
    removed first.  Ends with 1 when a file could not be loaded.
    """
    conflict_mode = _conflict_mode(options)
    files = _files(conf, options.path)
    failed = 0
    for number, path in enumerate(files, 1):
        progress = f"[{number}/{len(files)}] {os.path.basename(path)}"
        try:
            namespace = read_file(path)
            done = metadef_bulk.import_namespace(database, namespace, conflict_mode)
            print(f"{progress}: {namespace.name} {done}")
        except (NamespaceFileError, errors.Invalid, errors.Duplicate) as error:
            failed += 1
            text = str(error) if isinstance(error, NamespaceFileError) else f"{path}: {error}"
            print(f"glance-manage: {text}", file=sys.stderr)
    if failed:
        print(f"glance-manage: {failed} of {len(files)} files were not loaded.", file=sys.stderr)
    return 1 if failed else 0


def unload(conf, database: Database, options) -> None:
    """Remove all metadata definitions, those that users made included."""
    for table, rows in metadef_bulk.delete_all(database).items():
        print(f"{table}: {rows} rows removed")


def export(conf, database: Database, options) -> None:
    """Write each namespace of the catalogue into a JSON file of its own."""
    directory = options.path or conf.metadata_source_path
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
    """The namespace that a file describes.

    :raises NamespaceFileError: naming the file and the key that is wrong.
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


def add_arguments(parser, name: str, legacy: bool) -> None:
    """The words that may follow one of the three commands.

    :param legacy: in the old spelling they stand one after another, without dashes.
    """
    if name == "unload_metadefs":
        return
    help_text = "file, or directory with *.json files" if name == "load_metadefs" else "directory"
    if legacy:
        parser.add_argument("path", nargs="?", help=help_text)
    else:
        parser.add_argument(
            "--path", metavar="PATH", help=f"{help_text}; default: the option metadata_source_path"
        )
    if name != "load_metadefs":
        return
    for flag, what in (
        ("merge", "add what is new to namespaces that are there"),
        ("prefer_new", "with --merge: also replace what is there"),
        ("overwrite", "with --merge: put new namespaces in place of old ones"),
    ):
        if legacy:
            parser.add_argument(flag, nargs="?", default="", help=what)
        else:
            parser.add_argument(
                f"--{flag}", action="store_const", const="true", default="", help=what
            )


def _conflict_mode(options) -> str:
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


def _files(conf, path: str | None) -> Sequence[str]:
    """The files to load, in order of their names.

    Without a path and without the directory that is configured, those that ship
    with the service.
    """
    source = path or conf.metadata_source_path
    if not path and not os.path.isdir(source):
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
    """One that every file system can hold, and that no other namespace has."""
    safe_name = "".join(each if each.isalnum() or each in "-_." else "_" for each in namespace.name)
    safe_name = safe_name.strip("._") or "namespace"
    name = f"{safe_name}.json"
    return f"{safe_name}-{namespace.id}.json" if name.lower() in used_names else name


COMMANDS = {"load_metadefs": load, "unload_metadefs": unload, "export_metadefs": export}
