"""The DAL of an API host without a database: each method sends a command to a registry.

The signatures are those of the ports in ``domain/ports/``; mypy reports a method that is missing
here.  Rights are checked on both sides, by the layers here and by ``authorization`` there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from oslo_config import cfg

from glance_py.domain import ports
from glance_py.domain.caller import Caller
from glance_py.registry import protocol
from glance_py.registry.client import Identity, RegistryClient, RegistryTransport
from glance_py.registry.connection import RegistryConnection
from glance_py.registry.identity import IdentityHeaders, KeystoneTokens
from glance_py.settings import RegistrySettings, ServerSettings, TaskSettings

MethodT = TypeVar("MethodT", bound=Callable[..., Any])


class RemoteRepository:
    """One port of the DAL, implemented by a registry."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client


def _remote(method: MethodT) -> MethodT:
    """An implementation of ``method`` of a port that sends its command to the registry."""
    command = protocol.BY_METHOD[method]

    def call_for(self: RemoteRepository, ctx: Caller, /, *args: Any, **kwargs: Any) -> Any:
        return self._client.call(command, ctx, command.encode_arguments(args, kwargs))

    def call(self: RemoteRepository, /, *args: Any, **kwargs: Any) -> Any:
        return self._client.call(command, None, command.encode_arguments(args, kwargs))

    implementation = call_for if command.takes_context else call
    return cast(MethodT, functools.wraps(method)(implementation))


class RemoteImages(RemoteRepository):
    """See :class:`ports.ImageRepository`."""

    get = _remote(ports.ImageRepository.get)
    list = _remote(ports.ImageRepository.list)
    create = _remote(ports.ImageRepository.create)
    update = _remote(ports.ImageRepository.update)
    delete = _remote(ports.ImageRepository.delete)


class RemoteMembers(RemoteRepository):
    """See :class:`ports.MemberRepository`."""

    find = _remote(ports.MemberRepository.find)
    create = _remote(ports.MemberRepository.create)
    update = _remote(ports.MemberRepository.update)
    delete = _remote(ports.MemberRepository.delete)


class RemoteTasks(RemoteRepository):
    """See :class:`ports.TaskRepository`."""

    create = _remote(ports.TaskRepository.create)
    get = _remote(ports.TaskRepository.get)
    list = _remote(ports.TaskRepository.list)
    list_for_image = _remote(ports.TaskRepository.list_for_image)
    update = _remote(ports.TaskRepository.update)
    expire = _remote(ports.TaskRepository.expire)


class RemoteClaims(RemoteRepository):
    """See :class:`ports.ClaimRepository`."""

    take = _remote(ports.ClaimRepository.take)
    beat = _remote(ports.ClaimRepository.beat)
    release = _remote(ports.ClaimRepository.release)
    finish = _remote(ports.ClaimRepository.finish)
    replace_holder = _remote(ports.ClaimRepository.replace_holder)
    held = _remote(ports.ClaimRepository.held)
    take_over = _remote(ports.ClaimRepository.take_over)
    unclaimed = _remote(ports.ClaimRepository.unclaimed)
    take_unclaimed = _remote(ports.ClaimRepository.take_unclaimed)
    get = _remote(ports.ClaimRepository.get)


class RemoteUsage(RemoteRepository):
    """See :class:`ports.UsageRepository`."""

    storage = _remote(ports.UsageRepository.storage)
    staging = _remote(ports.UsageRepository.staging)
    images = _remote(ports.UsageRepository.images)
    uploading = _remote(ports.UsageRepository.uploading)


class RemoteNamespaces(RemoteRepository):
    """See :class:`ports.NamespaceOperations`."""

    get = _remote(ports.NamespaceOperations.get)
    resolve = _remote(ports.NamespaceOperations.resolve)
    list = _remote(ports.NamespaceOperations.list)
    create = _remote(ports.NamespaceOperations.create)
    update = _remote(ports.NamespaceOperations.update)
    delete = _remote(ports.NamespaceOperations.delete)
    resource_types = _remote(ports.NamespaceOperations.resource_types)


class RemoteDefinitions(RemoteRepository):
    """See :class:`ports.DefinitionOperations`."""

    list = _remote(ports.DefinitionOperations.list)
    get = _remote(ports.DefinitionOperations.get)
    create = _remote(ports.DefinitionOperations.create)
    create_all = _remote(ports.DefinitionOperations.create_all)
    update = _remote(ports.DefinitionOperations.update)
    delete = _remote(ports.DefinitionOperations.delete)
    clear = _remote(ports.DefinitionOperations.clear)


class RemoteCachedImages(RemoteRepository):
    """See :class:`ports.CachedImageRepository`."""

    get_or_create_node = _remote(ports.CachedImageRepository.get_or_create_node)
    add = _remote(ports.CachedImageRepository.add)
    hit = _remote(ports.CachedImageRepository.hit)
    remove = _remote(ports.CachedImageRepository.remove)
    entries = _remote(ports.CachedImageRepository.entries)
    nodes = _remote(ports.CachedImageRepository.nodes)
    import_entries = _remote(ports.CachedImageRepository.import_entries)


class RemotePending(RemoteRepository):
    """See :class:`ports.PendingRepository`."""

    find = _remote(ports.PendingRepository.find)
    add = _remote(ports.PendingRepository.add)
    begin_removal = _remote(ports.PendingRepository.begin_removal)
    cancel_removal = _remote(ports.PendingRepository.cancel_removal)
    mark_deleted = _remote(ports.PendingRepository.mark_deleted)
    unmark = _remote(ports.PendingRepository.unmark)
    complete_deletion = _remote(ports.PendingRepository.complete_deletion)
    restore = _remote(ports.PendingRepository.restore)
    is_shared = _remote(ports.PendingRepository.is_shared)
    statuses_at = _remote(ports.PendingRepository.statuses_at)
    any_exist = _remote(ports.PendingRepository.any_exist)


def remote_repositories(
    conf: cfg.ConfigOpts, connection: RegistryTransport | None = None
) -> ports.Repositories:
    """The DAL behind the registry that the configuration names.  Nothing is sent yet.

    :param conf: registers and reads the options of keystoneauth in ``[service_user]``, too.
    :param connection: replaces the connection to the configured registry.
    :raises ValueError: an option has a wrong value; the text names it.
    """
    settings = RegistrySettings.from_conf(conf)
    identity = (
        IdentityHeaders(settings.registry_shared_secret)
        if settings.send_identity_headers
        else KeystoneTokens(conf)
    )
    return _over(connection or open_connection(conf), identity)


def open_connection(conf: cfg.ConfigOpts) -> RegistryConnection:
    """A pool of connections to the configured registry, one for each thread of this process.

    :raises ValueError: a file with a key or certificate does not exist.
    """
    threads = (
        ServerSettings.from_conf(conf).threads + TaskSettings.from_conf(conf).task_pool_threads
    )
    return RegistryConnection(RegistrySettings.from_conf(conf), threads)


def _over(connection: RegistryTransport, identity: Identity) -> ports.Repositories:
    client = RegistryClient(connection, identity)
    return ports.Repositories(
        images=RemoteImages(client),
        members=RemoteMembers(client),
        tasks=RemoteTasks(client),
        claims=RemoteClaims(client),
        usage=RemoteUsage(client),
        namespaces=RemoteNamespaces(client),
        definitions=RemoteDefinitions(client),
        cached_images=RemoteCachedImages(client),
        pending=RemotePending(client),
        ping=lambda: client.call(protocol.PING, None, {}),
        for_heartbeats=lambda: _over(connection.for_heartbeats(), identity),
    )
