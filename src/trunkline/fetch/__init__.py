"""Bytes from elsewhere: by URL (http(s) and object stores, under a policy that says from where) and
out of directories of this machine.

Knows nothing of repos, trees and commands.
"""
