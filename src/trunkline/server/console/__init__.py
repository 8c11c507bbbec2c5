"""The console: pages for a browser, made by the server out of the operations of `api`.

Knows nothing of how an operation is done, nor of the REST door beside it. A page is a module of
`pages/`, found by being there; templates and static files are in folders of those names.
"""
