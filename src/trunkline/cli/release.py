"""The version of this program, read only by the commands that print it: reading it is slow."""


def program_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("trunkline")
    except PackageNotFoundError:  # running from a source tree that was never installed
        return "0+unknown"
