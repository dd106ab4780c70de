"""State that belongs to one process, threads beside requests, and locks between processes.

Servers fork their workers after the service was built.  A child has neither the threads of its
parent nor the right to use its sockets.  ``os.register_at_fork`` alone does not suffice: a server
that forks in C (uWSGI without ``py-call-osafterfork``) does not run its hooks.  Therefore the
process id is compared at each use.
"""

from __future__ import annotations

import fcntl
import os
import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """A value that each process creates for itself at first use.  Safe in threads.

    :param create: makes the value; what it raises, :meth:`get` raises, and the next call tries
        again.
    :param on_inherited: called in a child with its parent's value, before the child creates its
        own.  The default keeps a reference, so that no finalizer closes what the parent uses.
    """

    def __init__(
        self, create: Callable[[], T], on_inherited: Callable[[T], object] | None = None
    ) -> None:
        self._create = create
        self._inherited: list[T] = []
        self._on_inherited = on_inherited or self._inherited.append
        self._lock = threading.Lock()
        self._holds: tuple[int, T] | None = None

    def get(self) -> T:
        """The value of this process, created now if there is none."""
        holds = self._holds
        if holds is not None and holds[0] == os.getpid():
            return holds[1]
        with self._lock:
            holds = self._holds
            if holds is not None and holds[0] == os.getpid():
                return holds[1]
            if holds is not None:
                self._holds = None
                self._on_inherited(holds[1])
            value = self._create()
            self._holds = (os.getpid(), value)
            return value

    def peek(self) -> T | None:
        """The value of this process, None when it has not created one."""
        holds = self._holds
        return holds[1] if holds is not None and holds[0] == os.getpid() else None

    def discard(self, value: T) -> None:
        """Forget ``value``, if it is still the one in use; :meth:`get` creates another."""
        with self._lock:
            if self._holds is not None and self._holds[1] is value:
                self._holds = None


def start_thread(name: str, target: Callable[[], object]) -> threading.Thread:
    """Start a daemon thread, which does not keep the process from ending.

    :param name: shown by debuggers and in reports of the process.
    """
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


def run_in_children(method: Callable[[], object]) -> None:
    """Call ``method`` in each child that Python forks from this process from now on.

    Servers that fork in C do not run it, see the docstring of the module.

    :param method: a bound method; its object is not kept alive for this.
    """
    reference = weakref.WeakMethod(method)

    def run() -> None:
        method = reference()
        if method is not None:
            method()

    os.register_at_fork(after_in_child=run)


def try_lock(descriptor: int, shared: bool = False) -> bool:
    """Lock an open file against other processes, without waiting; closing it ends the lock.

    The kernel also ends the lock when the process ends, however that happens.

    :param descriptor: of the open file.
    :param shared: several processes may hold a shared lock, one alone an exclusive one.
    :returns: False when another open file description holds the lock.
    :raises OSError: the file system does not support locks.
    """
    operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
