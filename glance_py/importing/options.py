"""The options of imports and tasks; this module only declares them."""

from __future__ import annotations

from oslo_config import cfg, types

IMPORT: list[cfg.Opt] = [
    cfg.ListOpt(
        "image_import_plugins",
        item_type=types.String(quotes=True),
        bounds=True,
        default=[],
        help="What is done to data between its arrival and the stores, in this order, in square "
        "brackets: [image_decompression,image_conversion]. Ships with no_op, "
        "inject_image_metadata, image_decompression and image_conversion; others are found "
        "by the entry points glance.image_import.plugins. Not done for copy-image.",
    ),
    cfg.IntOpt(
        "max_parallel_stores",
        min=1,
        default=1,
        help="How many stores an import writes to at the same time.",
    ),
    cfg.IntOpt(
        "source_timeout",
        min=0,
        default=86400,
        help="Seconds within which the data of a web-download or glance-download must have "
        "arrived, whatever the number of connections that it takes. 0 is no limit; "
        "a source that sends less than 1 MiB a minute is given up in any case.",
    ),
]

DECOMPRESSION: list[cfg.Opt] = [
    cfg.IntOpt(
        "max_ratio",
        min=1,
        default=250,
        help="How many times larger than the compressed data an image may become. The "
        "first GiB is allowed in any case; image_size_cap holds as well.",
    ),
]

CONVERSION: list[cfg.Opt] = [
    cfg.StrOpt(
        "output_format",
        choices=["qcow2", "raw", "vmdk"],
        default="raw",
        help="The disk_format that image_conversion brings images to. ISO images stay "
        "what they are.",
    ),
]

INJECT: list[cfg.Opt] = [
    cfg.ListOpt(
        "ignore_user_roles",
        item_type=types.String(),
        default=["admin"],
        help="Callers with one of these roles get no properties injected.",
    ),
    cfg.DictOpt(
        "inject",
        default={},
        help="Properties that imported images get, as name:value pairs. Names that "
        "belong to the service are left out.",
    ),
]

GLANCE_DOWNLOAD: list[cfg.Opt] = [
    cfg.ListOpt(
        "extra_properties",
        item_type=types.String(quotes=True),
        bounds=True,
        default=["hw_", "trait:", "os_distro", "os_secure_boot", "os_type"],
        help="Properties that glance-download copies from the image of the other "
        "region: all whose names start like this, in square brackets.",
    ),
]

TASK: list[cfg.Opt] = [
    cfg.IntOpt(
        "task_time_to_live",
        default=48,
        deprecated_opts=[cfg.DeprecatedOpt("task_time_to_live", group="DEFAULT")],
        help="Hours for which a finished task can be looked at.",
    ),
    cfg.StrOpt(
        "task_executor",
        choices=["taskflow"],
        default="taskflow",
        help="The library that runs imports. There is one, and another name is refused at "
        "the start.",
    ),
]

TASKFLOW_EXECUTOR: list[cfg.Opt] = [
    cfg.StrOpt(
        "engine_mode",
        choices=["serial", "parallel"],
        default="parallel",
        help="serial: an import writes to one store after the other, whatever "
        "max_parallel_stores says.",
    ),
    cfg.IntOpt(
        "max_workers",
        min=1,
        default=10,
        help="Most threads of one import; max_parallel_stores may ask for fewer.",
    ),
]

WSGI: list[cfg.Opt] = [
    cfg.IntOpt(
        "task_pool_threads",
        min=1,
        default=16,
        help="How many tasks a worker process runs at the same time; others wait. The "
        "threads start when there is work.",
    ),
    cfg.StrOpt(
        "python_interpreter",
        help="Python that starts qemu-img under limits of time and memory. Set it where "
        "the service is embedded and sys.executable is no Python (uWSGI).",
    ),
]

GROUPS: dict[str, list[cfg.Opt]] = {
    "image_import_opts": IMPORT,
    "image_decompression": DECOMPRESSION,
    "image_conversion": CONVERSION,
    "inject_metadata_properties": INJECT,
    "glance_download_properties": GLANCE_DOWNLOAD,
    "task": TASK,
    "taskflow_executor": TASKFLOW_EXECUTOR,
    "wsgi": WSGI,
}
