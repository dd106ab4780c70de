"""Brings images to one disk_format with qemu-img, which is told the format and never guesses.

The data comes from strangers: before qemu-img sees it, its format is inspected
here; formats that name further files are refused; and qemu-img itself runs with
limits on processor time and memory.
"""

from __future__ import annotations

import ctypes
import dataclasses
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
from typing import Any

from oslo_concurrency import processutils

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.importing.plugins.base import StagedImage
from glance_py.settings import FormatSettings
from glance_py.streams import FormatFilter

LOG = logging.getLogger(__name__)

_CHUNK = 1024 * 1024
_GIB = 1024**3

#: Memory of qemu-img in bytes, and seconds of processor time: to look, and to convert.
MEMORY_LIMIT = 2 * _GIB
INFO_CPU_SECONDS = 30
CONVERT_CPU_SECONDS = 600
#: One more second for so many bytes of disk.
BYTES_PER_CPU_SECOND = 8 * 1024**2
#: How much longer than its processor time qemu-img may take, waiting for disks.
WALL_TIME_FACTOR = 3
#: Seconds between two looks at whether it is still wanted.
POLL_SECONDS = 0.5

#: disk_format -> the name that qemu-img has for it.
QEMU_FORMATS = {
    "raw": "raw",
    "qcow2": "qcow2",
    "vmdk": "vmdk",
    "vdi": "vdi",
    "vhd": "vpc",
    "vhdx": "vhdx",
    "ploop": "parallels",
}


class ImageConversion:
    """Converts to ``[image_conversion] output_format``."""

    def __init__(self, conf) -> None:
        """:raises ValueError: qemu-img is not installed."""
        if shutil.which("qemu-img") is None:
            raise ValueError(
                "[image_import_opts] image_import_plugins: image_conversion needs "
                "qemu-img, and qemu-img is not installed."
            )
        self._conf = conf
        self._output_format = conf.image_conversion.output_format
        self._cap = conf.image_size_cap
        self._python_executable = conf.wsgi.python_interpreter or _find_python()

    def process(self, staged: StagedImage) -> None:
        """:raises errors.InvalidImageFormat: the data is not what is declared, or unsafe.

        :raises errors.GlanceError: qemu-img cannot convert it.
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
        """The format of the data, which must be the declared one; for raw whatever it is."""
        image = dataclasses.replace(staged.image, disk_format=declared, container_format="bare")
        inspection = FormatFilter(image, FormatSettings.from_conf(self._conf))
        with open(staged.path, "rb") as file:
            while chunk := file.read(_CHUNK):
                inspection.update(chunk)
        inspection.finish()
        return inspection.format

    def _read_virtual_size(self, staged: StagedImage, qemu_format: str) -> int:
        """The size of the disk in bytes.

        :raises errors.InvalidImageFormat: the image is made of several files.
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
        allowed = {kind.lower() for kind in self._conf.image_format.vmdk_allowed_types}
        if created is not None and created.lower() not in allowed:
            raise errors.InvalidImageFormat("VMDK data of this type is not allowed here.")
        size = int(info["virtual-size"])
        if size > self._cap:
            raise errors.ImageTooLarge(
                f"The disk is of {size} bytes, more than image_size_cap allows."
            )
        return size

    def _convert(self, staged: StagedImage, qemu_format: str, virtual_size: int) -> None:
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
        if size > self._cap:
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
        """Run qemu-img; what it says.

        :param seconds: of processor time; it may wait for WALL_TIME_FACTOR times as long.
        :raises errors.Invalid: it failed, or needed more than it may have.
        :raises errors.TaskCancelled: it was ended, since nobody waits for it any more.
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
    """Ends a process that takes too long, or that is not wanted any more.

    :param check: raises a GlanceError when it is not.
    :param seconds: how long it may take.

    ``reason`` is why the process was ended, None when it was not.
    """

    def __init__(self, check: Callable[[], None], seconds: float) -> None:
        self.reason: errors.GlanceError | None = None
        self._check = check
        self._seconds = seconds
        self._ended = threading.Event()

    def on_start(self, process: subprocess.Popen) -> None:
        """It has been started."""
        threading.Thread(target=self._watch, args=(process,), name="qemu-img", daemon=True).start()

    def on_end(self, process: subprocess.Popen) -> None:
        """It has ended."""
        self._ended.set()

    def _watch(self, process: subprocess.Popen) -> None:
        deadline = time.monotonic() + self._seconds
        while not self._ended.wait(POLL_SECONDS):
            try:
                self._check()
                if time.monotonic() > deadline:
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
    """Called in the child: should the service be killed, nobody else ends qemu-img."""
    if hasattr(_LIBC, "prctl"):
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _find_python() -> str:
    """This Python, also inside of servers that say they are sys.executable."""
    if os.path.basename(sys.executable or "").startswith("python"):
        return sys.executable
    return os.path.join(sys.prefix, "bin", "python3")


def _environment() -> dict[str, str]:
    """Ours, and where we find modules: servers lose the virtual environment of an interpreter."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


_ACTIONS = {"info": "read", "convert": "convert"}
