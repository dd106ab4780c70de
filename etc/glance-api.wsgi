# What mod_wsgi loads, which wants a file and no module. OS_GLANCE_CONFIG_DIR is read at
# import, and mod_wsgi gives a daemon no environment of its own: set it here if it is not
# /etc/glance.
from glance_py.wsgi.api import application  # noqa: F401
