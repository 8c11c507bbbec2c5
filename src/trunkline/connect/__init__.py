"""From an address to a connection: contexts, the local server, and the pleasant Python API.

Knows nothing of how operations are carried out or shown; it finds the server (and starts the local
one), and dresses the operations in objects.

The package can be called: `trunkline.connect(...)` is `trunkline.connect.opening.connect(...)`.
Python binds a subpackage to its name in the parent, whatever was there, so the only lasting way to
have a function of that name is that the package is one.
"""

import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trunkline.connect.connection import Connection

_IMPORTING = (
    "connect() was called while the code of a pipeline was imported to run it; what deploys a "
    'pipeline belongs under `if __name__ == "__main__":`, or into another file or cell'
)


class _CallablePackage(ModuleType):
    def __call__(
        self,
        address: str | None = None,
        *,
        home: str | os.PathLike[str] | None = None,
        context: str | None = None,
        token: str | None = None,
    ) -> "Connection":
        from trunkline.config import importing_pipeline

        if importing_pipeline():
            from trunkline.errors import InvalidInput

            raise InvalidInput(_IMPORTING)
        from trunkline.connect.opening import connect

        return connect(address, home=home, context=context, token=token)


sys.modules[__name__].__class__ = _CallablePackage
