"""What a caller holds: all operations by noun, embedded or remote."""

from typing import TYPE_CHECKING, Protocol

from trunkline.api.admin import Admin
from trunkline.api.audit import Audit
from trunkline.api.branches import Branches
from trunkline.api.commits import Commits
from trunkline.api.datums import Datums
from trunkline.api.defaults import Defaults
from trunkline.api.files import Files
from trunkline.api.images import Images
from trunkline.api.jobs import Jobs
from trunkline.api.lineage import Lineage
from trunkline.api.pipelines import Pipelines
from trunkline.api.plans import Plans
from trunkline.api.projects import Projects
from trunkline.api.purges import Purges
from trunkline.api.repos import Repos
from trunkline.api.retention import Retention
from trunkline.api.secrets import Secrets
from trunkline.api.tags import Tags
from trunkline.api.tokens import Tokens
from trunkline.api.transactions import Transactions
from trunkline.api.trash import Trash

if TYPE_CHECKING:
    from trunkline.model.tokens import TokenInfo

NOUNS: dict[str, type] = {
    "projects": Projects,
    "repos": Repos,
    "branches": Branches,
    "tags": Tags,
    "retention": Retention,
    "commits": Commits,
    "files": Files,
    "pipelines": Pipelines,
    "defaults": Defaults,
    "images": Images,
    "secrets": Secrets,
    "jobs": Jobs,
    "datums": Datums,
    "lineage": Lineage,
    "plans": Plans,
    "transactions": Transactions,
    "trash": Trash,
    "purges": Purges,
    "tokens": Tokens,
    "audit": Audit,
    "admin": Admin,
}


class Operations(Protocol):
    """All operations; the engine and the remote client are its two implementations."""

    @property
    def projects(self) -> Projects: ...
    @property
    def repos(self) -> Repos: ...
    @property
    def branches(self) -> Branches: ...
    @property
    def tags(self) -> Tags: ...
    @property
    def retention(self) -> Retention: ...
    @property
    def commits(self) -> Commits: ...
    @property
    def files(self) -> Files: ...
    @property
    def pipelines(self) -> Pipelines: ...
    @property
    def defaults(self) -> Defaults: ...
    @property
    def images(self) -> Images: ...
    @property
    def secrets(self) -> Secrets: ...
    @property
    def jobs(self) -> Jobs: ...
    @property
    def datums(self) -> Datums: ...
    @property
    def lineage(self) -> Lineage: ...
    @property
    def plans(self) -> Plans: ...
    @property
    def transactions(self) -> Transactions: ...
    @property
    def trash(self) -> Trash: ...
    @property
    def purges(self) -> Purges: ...
    @property
    def tokens(self) -> Tokens: ...
    @property
    def audit(self) -> Audit: ...
    @property
    def admin(self) -> Admin: ...

    def close(self) -> None:
        """Release what this holds; the data stays."""


class Served(Operations, Protocol):
    """What a server has behind it."""

    def find_token(self, digest: str) -> "TokenInfo | None":
        """The token whose secret has this SHA-256, in hexadecimal; also one that has expired.

        For the doors alone, which by this know their callers: it notes that the token is in use.
        """

    def revision(self) -> int:
        """A number that grows with every change of the catalog that this process hears of.

        For those who would otherwise ask again and again whether there is anything new.
        """

    def note_change(
        self, *, token: str, door: str, operation: str, target: str, outcome: str
    ) -> None:
        """Have an entry in the audit log soon (`model.audit`); nobody waits, nothing is raised."""
