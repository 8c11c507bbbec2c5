"""Two datums of one job that write the same path: seen as soon as the second one has ended."""

from collections.abc import Iterable

from trunkline.files.delta import DeltaId, delta_rows
from trunkline.files.tree import Trees

_PATHS_REMEMBERED_MAX = 500_000  # per job


class Writers:
    """Who wrote which path in a job, as far as is remembered here.

    Clashes with outputs of earlier jobs, or beyond the limit, are found when the output tree is
    made.
    """

    def __init__(self) -> None:
        self._datums: dict[str, str] = {}  # by output path

    def clash(self, trees: Trees, output: Iterable[str]) -> str:
        """The sentence for a path in new outputs that another datum wrote before, or nothing."""
        for delta in output:
            for row in delta_rows(trees, DeltaId(delta)):
                if len(self._datums) >= _PATHS_REMEMBERED_MAX:
                    return ""
                first = self._datums.setdefault(row.path, row.datum)
                if first != row.datum:
                    return (
                        f"duplicate path output by different datums: '{row.path}' from {first} "
                        f"and from {row.datum}"
                    )
        return ""
