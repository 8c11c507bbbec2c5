"""Repos, branches, commits, and what was made from what.

Every function takes an open transaction and changes only the catalog, so that a caller can put
several of them into one atomic change. When one of them raises, the transaction has to be rolled
back. Knows nothing of pipelines, jobs, processes or the network; reads no clock and makes no ids.
"""
