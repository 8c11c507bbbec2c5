"""Questions about results; see `api.lineage`."""

from collections.abc import Iterator

from trunkline.engine.consequences import Consequences
from trunkline.engine.origins import Origins, asked_file
from trunkline.engine.services import Services
from trunkline.errors import InvalidInput
from trunkline.model.lineage import ImpactStep, WhyStep


class EngineLineage:
    def __init__(self, services: Services) -> None:
        self._services = services

    def why_file(self, repo: str, commit: str, path: str, *, depth: int = 0) -> Iterator[WhyStep]:
        _check(depth)
        place = asked_file(self._services, repo, commit, path, asked="tell where a file came from")
        return Origins(self._services, depth=depth).of_file(place)

    def impact_of_file(
        self, repo: str, commit: str, path: str, *, depth: int = 0, files: bool = False
    ) -> Iterator[ImpactStep]:
        _check(depth)
        place = asked_file(self._services, repo, commit, path, asked="tell what came of a file")
        return Consequences(self._services, depth=depth, files=files).of_file(place)


def _check(depth: int) -> None:
    if depth < 0:
        raise InvalidInput(f"a depth of {depth} can't be; write 1 or more, or 0 for all")
