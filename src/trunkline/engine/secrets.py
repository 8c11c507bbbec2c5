"""Operations on secrets; see `api.secrets`."""

import base64
import binascii

from trunkline.config import Config
from trunkline.engine.services import SECRETS, Services
from trunkline.errors import AlreadyExists, InUse, InvalidInput, NotSupported
from trunkline.jobs.secrets import Secret, SecretStore, document_of
from trunkline.model.pipelines import PipelineSpec, SecretUse
from trunkline.model.secrets import SecretInfo, check_secret_name, check_values
from trunkline.pipelines import lifecycle
from trunkline.pipelines.inputs import git_secrets
from trunkline.runtimes.process import NAMESPACE, REWRITE, isolation_available


class EngineSecrets:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._store = SecretStore(services.config.home)

    def create_secret(
        self, name: str, *, data: dict[str, str], kind: str = "Opaque", update: bool = False
    ) -> SecretInfo:
        values = {key: _decoded(key, text) for key, text in data.items()}
        check_secret_name(name)
        check_values(values)
        with self._services.turn("secrets"):
            if update:
                self._store.read(name)
            elif name in self._store.names():
                raise AlreadyExists("secret", name, "change it with `update secret`")
            info = SecretInfo(
                name=name, type=kind, created=self._services.now(), keys=tuple(sorted(values))
            )
            secret = Secret(info=info, values=values)
            self._keep(name, document_of(secret))
            self._store.write(secret)
        return info

    def _keep(self, name: str, document: str | None) -> None:
        """Where several servers share a store, one that follows this one needs it."""
        if self._services.servers is not None:
            self._services.servers.keep(SECRETS, name, document)

    def inspect_secret(self, name: str) -> SecretInfo:
        return self._store.read(name).info

    def list_secrets(self) -> list[SecretInfo]:
        return [self._store.read(name).info for name in self._store.names()]

    def delete_secret(self, name: str, *, force: bool = False) -> None:
        with self._services.database.read() as tx:
            specs = [lifecycle.spec_of(record) for record in lifecycle.list_pipelines(tx)]
        users = [
            spec.name
            for spec in specs
            if name in (*(secret.name for secret in _uses(spec)), *spec.transform.pull_secrets)
        ]
        if users and not force:
            raise InUse(
                f"secret '{name}' can't be deleted: it is needed by {', '.join(sorted(users))}; "
                "change it with `update secret`, or add --force"
            )
        with self._services.turn("secrets"):
            self._store.read(name)
            self._keep(name, None)
            self._store.delete(name)


def check_secrets(config: Config, pipeline: PipelineSpec) -> None:
    """Refuse a pipeline whose secrets are not there, or can't be shown as files on this machine.

    Raises NotFound and NotSupported.
    """
    uses = _uses(pipeline)
    SecretStore(config.home).check(uses)
    mounted = next((use.mount_path for use in uses if use.mount_path), "")
    if not mounted or config.isolation == NAMESPACE:
        return
    isolation = config.isolation if config.isolation == REWRITE else isolation_available()
    if isolation != NAMESPACE:
        raise NotSupported(
            f"secrets can't be shown as files in {mounted} here, where user code has no mounts of "
            f"its own ({isolation}); use key and env_var"
        )


def _uses(pipeline: PipelineSpec) -> tuple[SecretUse, ...]:
    """All secrets that a pipeline needs."""
    return (*pipeline.secrets, *git_secrets(pipeline.input))


def _decoded(key: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(f"the value of key '{key}' is not base64") from None
