"""What `trunkline.connect()` gives: the operations, and handles on the things they work on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from trunkline.client.remote import RemoteClient
from trunkline.errors import TrunklineError
from trunkline.model.names import DEFAULT_PROJECT

if TYPE_CHECKING:
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
    from trunkline.connect.files import FileHandle
    from trunkline.connect.jobs import JobHandle
    from trunkline.connect.pipelines import PipelineHandle
    from trunkline.connect.projects import ProjectHandle
    from trunkline.connect.repos import RepoHandle
    from trunkline.connect.specs import Spec


class Connection:
    """A connection to one server; thread-safe.

    `projects`, `repos`, `branches`, `commits`, `files`, `pipelines`, `jobs`, `datums`, `lineage`,
    `plans`, `trash` and `admin` hold the operations themselves. `project()`, `repo()`,
    `pipeline()`, `job()` and `connection["repo@branch:/path"]` give handles, which ask the server
    only when they are used.
    A name may have a project in front, `project/name`; without one it is in `default`.
    """

    def __init__(self, client: RemoteClient) -> None:
        self._client = client

    @property
    def address(self) -> str:
        """Where the server is."""
        return str(self._client.transport.address)

    @property
    def projects(self) -> Projects:
        return self._client.projects

    @property
    def repos(self) -> Repos:
        return self._client.repos

    @property
    def branches(self) -> Branches:
        return self._client.branches

    @property
    def tags(self) -> Tags:
        return self._client.tags

    @property
    def retention(self) -> Retention:
        return self._client.retention

    @property
    def commits(self) -> Commits:
        return self._client.commits

    @property
    def files(self) -> Files:
        return self._client.files

    @property
    def pipelines(self) -> Pipelines:
        return self._client.pipelines

    @property
    def defaults(self) -> Defaults:
        return self._client.defaults

    @property
    def images(self) -> Images:
        return self._client.images

    @property
    def secrets(self) -> Secrets:
        return self._client.secrets

    @property
    def jobs(self) -> Jobs:
        return self._client.jobs

    @property
    def datums(self) -> Datums:
        return self._client.datums

    @property
    def lineage(self) -> Lineage:
        return self._client.lineage

    @property
    def plans(self) -> Plans:
        return self._client.plans

    @property
    def transactions(self) -> Transactions:
        return self._client.transactions

    @property
    def trash(self) -> Trash:
        return self._client.trash

    @property
    def purges(self) -> Purges:
        return self._client.purges

    @property
    def tokens(self) -> Tokens:
        return self._client.tokens

    @property
    def audit(self) -> Audit:
        return self._client.audit

    @property
    def admin(self) -> Admin:
        return self._client.admin

    def project(self, name: str) -> ProjectHandle:
        """A handle on a project, whether it is there yet or not."""
        from trunkline.connect.projects import ProjectHandle

        return ProjectHandle(self, name)

    def repo(self, name: str) -> RepoHandle:
        """A handle on a repo, whether it is there yet or not."""
        return self.project(DEFAULT_PROJECT).repo(name)

    def __getitem__(self, address: str) -> FileHandle:
        """A handle on a file or directory: `repo@ref:/path`; without a ref, of `master`."""
        from trunkline.connect.files import FileHandle
        from trunkline.model.names import parse_address

        parsed = parse_address(address)
        return FileHandle(self, parsed.repo, parsed.ref or "master", parsed.path or "")

    def pipeline(self, name: str) -> PipelineHandle:
        """A handle on a pipeline, whether it is there yet or not."""
        return self.project(DEFAULT_PROJECT).pipeline(name)

    def create_pipeline(
        self,
        spec: Spec,
        *,
        code: str | os.PathLike[str] | None = None,
        update: bool = False,
        reprocess: bool = False,
        keep_results: bool = False,
        renew_packages: bool = False,
    ) -> PipelineHandle:
        """Create (or, with `update`, change) a pipeline.

        `spec` is a mapping, a path object or file name ending in .json, .yaml or .yml, the text of
        a spec, or a function that `@trunkline.pipeline` made a pipeline. `code` is a directory that
        the pipeline sees as `/code`; by default the one that the spec names, or that of the
        function.
        """
        return self.project(DEFAULT_PROJECT).create_pipeline(
            spec,
            code=code,
            update=update,
            reprocess=reprocess,
            keep_results=keep_results,
            renew_packages=renew_packages,
        )

    def update_pipeline(
        self, spec: Spec, *, reprocess: bool = False, keep_results: bool = False
    ) -> PipelineHandle:
        """Change a pipeline; its code is what the spec names, or that of the function."""
        return self.project(DEFAULT_PROJECT).update_pipeline(
            spec, reprocess=reprocess, keep_results=keep_results
        )

    def job(self, name: str) -> JobHandle:
        """A handle on a job, named `pipeline@id`, or as `ProjectHandle.job` tells."""
        return self.project(DEFAULT_PROJECT).job(name)

    @contextmanager
    def transaction(self, *, description: str = "") -> Iterator[Connection]:
        """Make several changes at once, as one run, or none of them.

            with connection.transaction() as t:
                t.repo("raw").create()
                t.create_pipeline("clean.json")

        Inside, what `t` changes waits; at the end all of it is carried out. On an exception, also
        one at the end, nothing is changed.
        """
        from trunkline.connect.transactions import queued

        started = self.transactions.start_transaction(description=description)
        try:
            yield Connection(cast("RemoteClient", queued(self._client, started.id)))
            self.transactions.finish_transaction(started.id)
        except BaseException:
            with suppress(TrunklineError):  # it may be gone, and the server with it
                self.transactions.delete_transaction(started.id)
            raise

    def close(self) -> None:
        """Close the connection; the server and its data stay."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Connection to {self.address}>"
