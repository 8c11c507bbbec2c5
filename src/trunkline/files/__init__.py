"""Sorted path → content: the files of one tree, and changes to them.

A tree is named by the digest of its root. Knows nothing of repos, commits, pipelines or SQL.
"""
