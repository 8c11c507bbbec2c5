"""One module for each noun: its views, and the routes to them in `ROUTES`.

A module is found by being here. What a page shows comes out of `api` alone.
"""
