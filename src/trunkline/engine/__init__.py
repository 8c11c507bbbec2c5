"""Every operation, embedded: check, one transaction, call down.

Does not know the doors (HTTP, the command line), or who is asking.
"""
