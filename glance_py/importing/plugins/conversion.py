"""A plugin that converts images to one disk_format with qemu-img.

The data comes from users and may attack qemu-img.  Therefore its format is inspected before
qemu-img reads it, and given to qemu-img, which never detects it itself; images that refer to other
files are refused; and qemu-img runs with limits on processor time and memory.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from oslo_concurrency import processutils
from oslo_config import cfg

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.heartbeat import Clock
from glance_py.importing.plugins.base import ImportPlugin, StagedImage
from glance_py.settings import FormatSettings
from glance_py.streams import FormatFilter
from glance_store_py.process import start_thread

LOG = logging.getLogger(__name__)

_CHUNK = 1024 * 1024
_GIB = 1024**3

#: Limits of qemu-img: memory in bytes, and seconds of processor time to inspect and to convert.
MEMORY_LIMIT = 2 * _GIB
INFO_CPU_SECONDS = 30
CONVERT_CPU_SECONDS = 600
#: A conversion has one more second for so many bytes of the virtual disk.
BYTES_PER_CPU_SECOND = 8 * 1024**2
#: The limit of elapsed time, as a multiple of the processor time: qemu-img waits for disks.
WALL_TIME_FACTOR = 3
#: Seconds between two checks whether the import is cancelled.
POLL_SECONDS = 0.5

#: disk_format -> the name of the format in qemu-img.
QEMU_FORMATS = {
    "raw": "raw",
    "qcow2": "qcow2",
    "vmdk": "vmdk",
    "vdi": "vdi",
    "vhd": "vpc",
    "vhdx": "vhdx",
    "ploop": "parallels",
}


@dataclasses.dataclass(frozen=True, slots=True)
class ConversionSettings:
    """The group ``[image_conversion]``, and options of other groups that limit a conversion.

    ``image_size_cap`` in bytes; ``python_interpreter`` None to find one.
    """

    output_format: str = "raw"
    image_size_cap: int = 1 << 40
    python_interpreter: str | None = None
    formats: FormatSettings = FormatSettings()

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        """Read the options from ``conf``."""
        return cls(
            conf.image_conversion.output_format,
            conf.image_size_cap,
            conf.wsgi.python_interpreter,
            FormatSettings.from_conf(conf),
        )


class ImageConversion(ImportPlugin):
    """Converts images to ``output_format``; ISO images stay what they are."""

    runs_after = ("image_decompression",)

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """:raises ValueError: qemu-img is not installed."""
        if shutil.which("qemu-img") is None:
            raise ValueError(
                "[image_import_opts] image_import_plugins: image_conversion needs "
                "qemu-img, and qemu-img is not installed."
            )
        self._settings = settings = ConversionSettings.from_conf(conf)
        self._output_format = settings.output_format
        self._python_executable = settings.python_interpreter or _find_python()

    def process(self, staged: StagedImage) -> None:
        """See :meth:`ImportPlugin.process`.

        :raises errors.InvalidImageFormat: the data is unsafe, or not of the declared format.
        :raises errors.GlanceError: qemu-img cannot convert the data.
        """
        image = staged.image
        found = self._inspect(staged, image.disk_format)
        if found == "iso":
            if image.disk_format != "iso":
                raise errors.InvalidImageFormat(
                    f"The disk_format of the image is {image.disk_format}, but the data is iso."
                )
            return
        qemu_format = QEMU_FORMATS.get(image.disk_format or "")
        if qemu_format is None:
            raise errors.Invalid(
                f"Images of disk_format {image.disk_format} cannot be converted here."
            )
        virtual_size = self._read_virtual_size(staged, qemu_format)
        if image.disk_format == self._output_format:
            staged.update_image(ImageChange(fields={"virtual_size": virtual_size}))
            return
        self._convert(staged, qemu_format, virtual_size)

    def _inspect(self, staged: StagedImage, declared: str | None) -> str | None:
        """The format of the data, None when unknown.

        :raises errors.InvalidImageFormat: it is unsafe, or not ``declared``.
        """
        image = dataclasses.replace(staged.image, disk_format=declared, container_format="bare")
        inspection = FormatFilter(image, self._settings.formats)
        with open(staged.path, "rb") as file:
            while chunk := file.read(_CHUNK):
                inspection.update(chunk)
        inspection.finish()
        return inspection.format

    def _read_virtual_size(self, staged: StagedImage, qemu_format: str) -> int:
        """The size of the virtual disk in bytes.

        :raises errors.InvalidImageFormat: the image refers to other files, or is encrypted.
        :raises errors.ImageTooLarge: the disk is larger than ``image_size_cap``.
        """
        text = self._qemu_img(
            staged, INFO_CPU_SECONDS, "info", "-f", qemu_format, "--output=json", staged.path
        )
        info: dict[str, Any] = json.loads(text)
        specific = (info.get("format-specific") or {}).get("data") or {}
        if any(info.get(key) for key in ("backing-filename", "full-backing-filename")):
            raise errors.InvalidImageFormat("The image has a backing file.")
        if specific.get("data-file"):
            raise errors.InvalidImageFormat("The image has its data in another file.")
        if info.get("encrypted"):
            raise errors.InvalidImageFormat("The image is encrypted and cannot be converted.")
        created = specific.get("create-type")
        allowed = {kind.lower() for kind in self._settings.formats.vmdk_allowed_types}
        if created is not None and created.lower() not in allowed:
            raise errors.InvalidImageFormat("VMDK data of this type is not allowed here.")
        size = int(info["virtual-size"])
        if size > self._settings.image_size_cap:
            raise errors.ImageTooLarge(
                f"The disk is of {size} bytes, more than image_size_cap allows."
            )
        return size

    def _convert(self, staged: StagedImage, qemu_format: str, virtual_size: int) -> None:
        """Replace the data by the converted image, and update the formats and sizes."""
        staged.raise_if_cancelled()
        staged.set_progress(
            f"Converting {virtual_size // 1024**2} MiB from {qemu_format} to {self._output_format}"
        )
        path = f"{staged.path}.converted"
        seconds = CONVERT_CPU_SECONDS + virtual_size // BYTES_PER_CPU_SECOND
        self._qemu_img(
            staged,
            seconds,
            "convert",
            "-f",
            qemu_format,
            "-O",
            self._output_format,
            staged.path,
            path,
        )
        size = os.path.getsize(path)
        if size > self._settings.image_size_cap:
            os.unlink(path)
            raise errors.ImageTooLarge(
                f"The converted image has {size} bytes, more than image_size_cap allows."
            )
        staged.replace(path)
        staged.update_image(
            ImageChange(
                fields={
                    "disk_format": self._output_format,
                    "container_format": "bare",
                    "size": size,
                    "virtual_size": virtual_size,
                }
            )
        )
        self._inspect(staged, self._output_format)

    def _qemu_img(self, staged: StagedImage, seconds: int, *arguments: str) -> str:
        """Run qemu-img and return its output.

        :param seconds: of processor time; the elapsed time may be WALL_TIME_FACTOR times as long.
        :raises errors.Invalid: it failed, or reached a limit.
        :raises errors.TaskCancelled: it was killed, because the task is cancelled.
        """
        limits = processutils.ProcessLimits(cpu_time=seconds, address_space=MEMORY_LIMIT)
        supervisor = ProcessSupervisor(staged.raise_if_cancelled, WALL_TIME_FACTOR * seconds)
        try:
            out, _ = processutils.execute(
                "env",
                "LC_ALL=C",
                "qemu-img",
                *arguments,
                prlimit=limits,
                python_exec=self._python_executable,
                env_variables=_environment(),
                preexec_fn=_set_parent_death_signal,
                on_execute=supervisor.on_start,
                on_completion=supervisor.on_end,
            )
        except processutils.ProcessExecutionError as error:
            if supervisor.reason is not None:
                raise supervisor.reason from error
            LOG.error(
                "qemu-img %s failed with %s: %s",
                arguments[0],
                error.exit_code,
                (error.stderr or "").strip(),
            )
            raise errors.Invalid(
                f"qemu-img could not {_ACTIONS[arguments[0]]} the image, or not within the time "
                "and memory that it is given."
            ) from error
        return out


class ProcessSupervisor:
    """Kills a process when a check fails or its time is over.

    :param check: called twice a second; raises a GlanceError to have the process killed.
    :param seconds: the limit of elapsed time.

    ``reason`` is the error for which the process was killed, None when it was not.
    """

    def __init__(self, check: Callable[[], None], seconds: float, clock: Clock = time) -> None:
        self.reason: errors.GlanceError | None = None
        self._check = check
        self._seconds = seconds
        self._clock = clock
        self._ended = threading.Event()

    def on_start(self, process: subprocess.Popen[bytes]) -> None:
        """Start to watch a process that has been started."""
        start_thread("qemu-img", functools.partial(self._watch, process))

    def on_end(self, process: subprocess.Popen[bytes]) -> None:
        """Watch the process no more: it has ended."""
        self._ended.set()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        deadline = self._clock.monotonic() + self._seconds
        while not self._ended.wait(POLL_SECONDS):
            try:
                self._check()
                if self._clock.monotonic() > deadline:
                    raise errors.Invalid(
                        f"The conversion of the image took longer than {self._seconds:.0f} seconds."
                    )
            except errors.GlanceError as reason:
                self.reason = reason
                process.kill()
                return


_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _set_parent_death_signal() -> None:
    """Have the kernel kill this child when the service is killed; called in the child."""
    if hasattr(_LIBC, "prctl"):
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _find_python() -> str:
    """The path of this Python; a server that embeds it sets sys.executable to itself."""
    if os.path.basename(sys.executable or "").startswith("python"):
        return sys.executable
    return os.path.join(sys.prefix, "bin", "python3")


def _environment() -> dict[str, str]:
    """The environment of this process with its module path, which an embedding server hides."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


_ACTIONS = {"info": "read", "convert": "convert"}
