"""The REST door: routes, argument reading and OpenAPI, all derived from the declarations in `api`.

Knows nothing of sockets and tokens (see `server.auth` and `server.serve`), nor of any one
operation by name.
"""
