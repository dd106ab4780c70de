# The Image service under gunicorn:
#
#     OS_GLANCE_CONFIG_DIR=/etc/glance gunicorn -c gunicorn.conf.py
#
# The command glance-api is the same with the service's own options (workers,
# bind_host ...). Use this file when all your services run under gunicorn alike.
wsgi_app = "glance_py.wsgi.api:application"
bind = "0.0.0.0:9292"
proc_name = "glance-api"

workers = 4
worker_class = "glance_py.cmd.server.Worker"  # gthread, safe from clients that stall
threads = 32

keepalive = 65
graceful_timeout = 60
# Concerns the worker's main loop, not the length of a request.
timeout = 300

limit_request_line = 8190
limit_request_field_size = 16384
permit_unconventional_http_method = True  # 405 from the service instead of 400
control_socket_disable = True
