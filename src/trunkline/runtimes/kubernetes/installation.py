"""The server on a cluster, as manifests: what `trunkline deploy kubernetes` prints.

Pure. One server with one volume: the catalog and the store are files, and have one owner. Or any
number of servers without volumes, where those are in PostgreSQL and in a bucket (`Elsewhere`), and
one of them leads. Code of pipelines runs in pods (`pods`) that the server makes; with
`TRUNKLINE_RUNTIME=process` among the settings it runs in the pod of the server, which then gets no
access to the cluster.
"""

from dataclasses import dataclass

from trunkline.errors import InvalidInput
from trunkline.runtimes.kubernetes.quantities import (
    Manifest,
    check_amount,
    check_host,
    check_image,
    check_label,
    check_object_name,
    check_resource,
)

NAME = "trunkline"
PORT = 30650
WORKERS_PORT = 30651
ACCOUNT = 10001  # user and group of the server's image
PLACE = "/var/lib/trunkline"  # of the volume; the data directory is below it, as its own
HOME = f"{PLACE}/data"
_TMP = "/tmp"  # noqa: S108 (its own)
_DOOR = "/etc/trunkline/token"
TLS = "/etc/trunkline/tls"
CA = "ca.crt"  # in a Secret with a certificate: that of its authority
_NODE_PORTS = range(30000, 32768)
_START_S, _START_TRIES = 2, 300  # ten minutes: a large index that is made anew takes a while
_REPLICAS_MAX = 32
_LEAVE_S = 60  # from SIGTERM to SIGKILL
_FORBIDDEN = (  # have places of their own
    *("TRUNKLINE_HOME", "TRUNKLINE_TOKEN", "TRUNKLINE_ADDRESS"),
    *("TRUNKLINE_TLS_CERT", "TRUNKLINE_TLS_KEY"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """Where servers have what lasts; the Secrets have variables."""

    store: str  # URL of the bucket
    store_secret: str  # its credentials, and TRUNKLINE_WORKERS_KEY; workers have it too
    database_secret: str  # TRUNKLINE_DATABASE; for servers alone
    replicas: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What can be chosen of a server on a cluster."""

    namespace: str
    image: str
    storage_size: str
    storage_class: str = ""  # the cluster's own choice
    node_port: int | None = None  # None: reached from inside of the cluster only
    names: tuple[str, ...] = ()  # by which callers know the server, besides those of its Service
    settings: tuple[tuple[str, str], ...] = ()  # variables TRUNKLINE_… and UV_…
    token_secret: str = ""  # a Secret with the key `token`; empty: the server makes a token
    tls_secret: str = ""  # a Secret of the type kubernetes.io/tls; empty: no TLS
    pull_secret: str = ""  # a Secret with the login of the image's registry
    resources: tuple[str, ...] = ()  # what pipelines may make, such as pytorchjobs.kubeflow.org
    elsewhere: Elsewhere | None = None  # None: catalog and store are in a volume


def check(wanted: Installation) -> None:
    """Raises InvalidInput for what Kubernetes would refuse, or what would not work there."""
    check_label("a namespace", wanted.namespace)
    check_image(wanted.image)
    check_amount("size of storage", wanted.storage_size)
    if wanted.storage_class:
        check_object_name("a class of storage", wanted.storage_class)
    for secret in (wanted.token_secret, wanted.tls_secret, wanted.pull_secret):
        if secret:
            check_object_name("a secret", secret)
    if wanted.elsewhere is not None:
        check_object_name("a secret", wanted.elsewhere.store_secret)
        check_object_name("a secret", wanted.elsewhere.database_secret)
        if not 1 <= wanted.elsewhere.replicas <= _REPLICAS_MAX:
            raise InvalidInput(
                f"{wanted.elsewhere.replicas} is no number of servers; use one of 1 to "
                f"{_REPLICAS_MAX}"
            )
    if wanted.node_port is not None and wanted.node_port not in _NODE_PORTS:
        least, most = _NODE_PORTS[0], _NODE_PORTS[-1]
        raise InvalidInput(f"{wanted.node_port} is no node port; use one of {least} to {most}")
    for name in wanted.names:
        check_host(name)
    for resource in wanted.resources:
        check_resource(resource)
    for name, _ in wanted.settings:
        if not name.startswith(("TRUNKLINE_", "UV_")) or name in _FORBIDDEN:
            raise InvalidInput(
                f"{name!r} is no setting of a server on a cluster; see the variables "
                "TRUNKLINE_… in docs/reference/settings.md, and those of uv, UV_…"
            )


def manifests(wanted: Installation) -> list[Manifest]:
    """All objects, in the order in which they can be made. Raises as `check`."""
    check(wanted)
    access = [_role(wanted), _role_binding(wanted)] if _has_pods(wanted) else []
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": wanted.namespace, "labels": _labels()},
        },
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": _metadata(wanted),
            "automountServiceAccountToken": False,
        },
        *access,
        *([_volume_claim(wanted)] if wanted.elsewhere is None else []),
        _service(wanted),
        _stateful_set(wanted),
    ]


def _has_pods(wanted: Installation) -> bool:
    return dict(wanted.settings).get("TRUNKLINE_RUNTIME", "kubernetes") == "kubernetes"


def _role(wanted: Installation) -> Manifest:
    """All that the server asks of the cluster (`cluster.PodApi`, `objects.ObjectApi`)."""
    groups: dict[str, list[str]] = {}
    for resource in wanted.resources:
        plural, _, group = resource.partition(".")
        groups.setdefault(group, []).append(plural)
    ordered = [
        {
            "apiGroups": [group],
            "resources": sorted(set(plurals)),
            "verbs": ["create", "delete", "get", "patch"],
        }
        for group, plurals in sorted(groups.items())
    ]
    logs = {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": _metadata(wanted),
        "rules": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "delete", "list"]},
            {
                "apiGroups": [""],
                "resources": ["services"],
                "verbs": ["create", "delete", "list", "patch"],
            },
            *([*ordered, logs] if ordered else []),
        ],
    }


def _role_binding(wanted: Installation) -> Manifest:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": _metadata(wanted),
        "roleRef": {"apiGroup": group, "kind": "Role", "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": wanted.namespace}],
    }


def _labels() -> dict[str, str]:
    return {"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "server"}


def _metadata(wanted: Installation) -> Manifest:
    return {"name": NAME, "namespace": wanted.namespace, "labels": _labels()}


def _volume_claim(wanted: Installation) -> Manifest:
    spec: Manifest = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": wanted.storage_size}},
    }
    if wanted.storage_class:
        spec["storageClassName"] = wanted.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _metadata(wanted),
        "spec": spec,
    }


def _service(wanted: Installation) -> Manifest:
    port: Manifest = {"name": "api", "port": PORT, "targetPort": "api"}
    if wanted.node_port is not None:
        port["nodePort"] = wanted.node_port
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(wanted),
        "spec": {
            "type": "ClusterIP" if wanted.node_port is None else "NodePort",
            "selector": _labels(),
            "ports": [port, *([_workers_port()] if _has_pods(wanted) else [])],
        },
    }


def _workers_port() -> Manifest:
    return {"name": "workers", "port": WORKERS_PORT, "targetPort": "workers"}


def _stateful_set(wanted: Installation) -> Manifest:
    # A StatefulSet, as Kubernetes never starts its pod anew before it knows that the old one ended.
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _metadata(wanted),
        "spec": {
            "serviceName": NAME,
            "replicas": 1 if wanted.elsewhere is None else wanted.elsewhere.replicas,
            **({} if wanted.elsewhere is None else {"podManagementPolicy": "Parallel"}),
            "selector": {"matchLabels": _labels()},
            "template": {"metadata": {"labels": _labels()}, "spec": _pod(wanted)},
        },
    }


def _pod(wanted: Installation) -> Manifest:
    kept: Manifest = {"persistentVolumeClaim": {"claimName": NAME}}
    if wanted.elsewhere is not None:  # a cache, and what can be made again
        kept = {"emptyDir": {"sizeLimit": wanted.storage_size}}
    volumes: list[Manifest] = [
        {"name": "data", **kept},
        {"name": "tmp", "emptyDir": {}},
    ]
    if wanted.token_secret:
        source = {"secretName": wanted.token_secret, "items": [{"key": "token", "path": "token"}]}
        volumes.append({"name": "token", "secret": source})
    if wanted.tls_secret:
        volumes.append({"name": "tls", "secret": {"secretName": wanted.tls_secret}})
    pod: Manifest = {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": _has_pods(wanted),
        "terminationGracePeriodSeconds": _LEAVE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": ACCOUNT,
            "runAsGroup": ACCOUNT,
            "fsGroup": ACCOUNT,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(wanted)],
        "volumes": volumes,
    }
    if wanted.pull_secret:
        pod["imagePullSecrets"] = [{"name": wanted.pull_secret}]
    return pod


def _container(wanted: Installation) -> Manifest:
    mounts = [{"name": "data", "mountPath": PLACE}, {"name": "tmp", "mountPath": _TMP}]
    if wanted.token_secret:
        mounts.append({"name": "token", "mountPath": _DOOR})
    if wanted.tls_secret:  # a directory, not files, so that a renewed one shows there
        mounts.append({"name": "tls", "mountPath": TLS})
    scheme = "HTTPS" if wanted.tls_secret else "HTTP"
    return {
        "name": "server",
        "image": wanted.image,
        # One that was loaded into the node is used as it is; `latest` would be pulled otherwise.
        "imagePullPolicy": "IfNotPresent",
        "args": _arguments(wanted),
        "env": [
            {"name": "TRUNKLINE_HOME", "value": HOME},
            {"name": "HOME", "value": _TMP},
            *(_pod_settings(wanted) if _has_pods(wanted) else []),
            *_where(wanted),
            *_trust(wanted),
            *({"name": name, "value": value} for name, value in wanted.settings),
        ],
        **_variables(wanted),
        "ports": [
            {"name": "api", "containerPort": PORT},
            *([{"name": "workers", "containerPort": WORKERS_PORT}] if _has_pods(wanted) else []),
        ],
        "volumeMounts": mounts,
        "startupProbe": _probe("/readyz", scheme, period_s=_START_S, tries=_START_TRIES),
        "readinessProbe": _probe("/readyz", scheme, period_s=5, tries=2),
        "livenessProbe": _probe("/healthz", scheme, period_s=10, tries=6),
        "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _where(wanted: Installation) -> list[Manifest]:
    if wanted.elsewhere is None:
        return []
    values = {"TRUNKLINE_STORE": wanted.elsewhere.store}
    if _has_pods(wanted):
        values["TRUNKLINE_POD_SECRET"] = wanted.elsewhere.store_secret
    return [{"name": name, "value": value} for name, value in values.items()]


def _trust(wanted: Installation) -> list[Manifest]:
    """How those inside of the cluster tell that a server is one, whatever its address."""
    if not wanted.tls_secret:
        return []
    values = {"TRUNKLINE_TLS_NAME": f"{NAME}.{wanted.namespace}.svc"}
    if _has_pods(wanted):
        values["TRUNKLINE_POD_TLS_SECRET"] = wanted.tls_secret
    if wanted.elsewhere is not None and wanted.elsewhere.replicas > 1:
        values["TRUNKLINE_CA_FILE"] = f"{TLS}/{CA}"
    chosen = dict(wanted.settings)
    return [{"name": name, "value": value} for name, value in values.items() if name not in chosen]


def _variables(wanted: Installation) -> Manifest:
    if wanted.elsewhere is None:
        return {}
    names = (wanted.elsewhere.store_secret, wanted.elsewhere.database_secret)
    return {"envFrom": [{"secretRef": {"name": name}} for name in dict.fromkeys(names)]}


def _pod_settings(wanted: Installation) -> list[Manifest]:
    """What the server has to know of where it is, to make pods that find it."""

    def told(name: str, field: str) -> Manifest:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": field}}}

    values = {
        "TRUNKLINE_WORKERS_LISTEN": f"0.0.0.0:{WORKERS_PORT}",
        "TRUNKLINE_WORKERS_ADDRESS": f"{NAME}:{WORKERS_PORT}",
        "TRUNKLINE_POD_IMAGE": wanted.image,
        "TRUNKLINE_POD_CLAIM": NAME,
        "TRUNKLINE_POD_OWNER": "$(SERVER_POD)/$(SERVER_UID)",
        "TRUNKLINE_DATA_URL": f"{'https' if wanted.tls_secret else 'http'}://{NAME}:{PORT}",
    }
    if wanted.elsewhere is not None:  # workers come to the one that leads, not to any of them
        del values["TRUNKLINE_POD_CLAIM"]
        values["TRUNKLINE_WORKERS_ADDRESS"] = f"$(SERVER_ADDRESS):{WORKERS_PORT}"
    if "TRUNKLINE_RUNTIME" not in dict(wanted.settings):
        values = {"TRUNKLINE_RUNTIME": "kubernetes", **values}
    plain: list[Manifest] = [{"name": name, "value": value} for name, value in values.items()]
    return [
        told("SERVER_POD", "metadata.name"),
        told("SERVER_UID", "metadata.uid"),
        *([] if wanted.elsewhere is None else [told("SERVER_ADDRESS", "status.podIP")]),
        told("TRUNKLINE_POD_NAMESPACE", "metadata.namespace"),
        *plain,
    ]


def _arguments(wanted: Installation) -> list[str]:
    inside = [NAME, f"{NAME}.{wanted.namespace}", f"{NAME}.{wanted.namespace}.svc"]
    words = ["serve", "--listen", f"0.0.0.0:{PORT}"]
    if wanted.elsewhere is not None:
        words.append("--standby")
    for name in (*inside, f"{inside[-1]}.cluster.local", *wanted.names):
        words += ["--name", name]
    if wanted.token_secret:
        words += ["--token-file", f"{_DOOR}/token"]
    if wanted.tls_secret:
        words += ["--tls-cert", f"{TLS}/tls.crt", "--tls-key", f"{TLS}/tls.key"]
    return words


def _probe(path: str, scheme: str, *, period_s: int, tries: int) -> Manifest:
    where = {"path": path, "port": "api"}
    return {
        "httpGet": where if scheme == "HTTP" else {**where, "scheme": scheme},
        "periodSeconds": period_s,
        "timeoutSeconds": 5,
        "failureThreshold": tries,
    }
