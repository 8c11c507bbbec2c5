"""The remote twin of the engine: all operations, over HTTP.

Knows nothing of how operations are carried out, of terminals, contexts or settings. Only the
standard library and msgspec are imported here, as every command of the CLI pays for it.
"""
