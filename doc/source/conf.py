"""Sphinx settings. The pages are Markdown; ``make docs`` builds them, warnings are errors."""

from importlib import metadata

project = "glance-py"
copyright = "the contributors, Apache License 2.0"
release = metadata.version("glance-py")
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
html_theme = "alabaster"
myst_heading_anchors = 3
