"""Which release this is, and which data directories it can read."""

from importlib.metadata import PackageNotFoundError, version

FORMAT = 2  # of the data directory as a whole; docs/formats/data-directory.md

try:
    RELEASE = version("trunkline")
except PackageNotFoundError:  # running from a source tree that was never installed
    RELEASE = "0+unknown"
