"""The commands that print how Trunkline is set up elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from trunkline.cli.command import command, option
from trunkline.errors import InvalidInput

if TYPE_CHECKING:
    from trunkline.runtimes.kubernetes.installation import Elsewhere


@command(
    examples=[
        "deploy kubernetes --dry-run | kubectl apply -f -",
        "deploy kubernetes --dry-run --namespace ml --storage-size 200Gi --node-port 30650",
        "deploy kubernetes --dry-run --resource pytorchjobs.kubeflow.org",
        "deploy kubernetes --dry-run --set TRUNKLINE_GC_GRACE_S=86400",
        "deploy kubernetes --dry-run --store s3://b/x --store-secret s --database-secret d",
    ]
)
@option("--dry-run", is_flag=True, help="Print the manifests; the only thing it does so far.")
@option("--namespace", default="trunkline", metavar="NAME", help="Where to (trunkline).")
@option("--image", metavar="IMAGE", help="Image of the server (trunkline:VERSION).")
@option("--storage-size", default="50Gi", metavar="AMOUNT", help="Of the volume (50Gi).")
@option("--storage-class", default="", metavar="NAME", help="Of the volume; else the default one.")
@option("--node-port", type=int, metavar="PORT", help="Be reached there, on every node.")
@option(
    "--name", "names", multiple=True, metavar="HOST", help="Another name of the server; repeatable."
)
@option(
    "--set",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting TRUNKLINE_… or UV_…; repeatable.",
)
@option("--token-secret", default="", metavar="NAME", help="Secret with the key `token`.")
@option(
    "--resource",
    "resources",
    multiple=True,
    metavar="KINDS.GROUP",
    help="Kinds of objects that pipelines may make, such as pytorchjobs.kubeflow.org; repeatable.",
)
@option("--tls-secret", default="", metavar="NAME", help="Secret with the keys tls.crt, tls.key.")
@option("--image-pull-secret", default="", metavar="NAME", help="Secret to pull the image with.")
@option("--store", default="", metavar="URL", help="Bucket for contents, instead of a volume.")
@option("--store-secret", default="", metavar="NAME", help="Secret with variables for the bucket.")
@option("--database-secret", default="", metavar="NAME", help="Secret with TRUNKLINE_DATABASE.")
@option("--replicas", default=1, metavar="N", help="Servers of that store (1).")
def deploy_kubernetes(
    dry_run: bool,
    namespace: str,
    image: str | None,
    storage_size: str,
    storage_class: str,
    node_port: int | None,
    names: tuple[str, ...],
    given: tuple[str, ...],
    token_secret: str,
    resources: tuple[str, ...],
    tls_secret: str,
    image_pull_secret: str,
    store: str,
    store_secret: str,
    database_secret: str,
    replicas: int,
) -> None:
    """Print the manifests of a server on a Kubernetes cluster, for `kubectl apply -f -`.

    Nothing is read from and sent to a cluster.
    """
    import yaml

    from trunkline import config
    from trunkline.cli.release import program_version
    from trunkline.runtimes.kubernetes.installation import Installation, manifests

    if not dry_run:
        raise InvalidInput(
            "deploy kubernetes only prints manifests so far: say --dry-run, and give them to "
            "`kubectl apply -f -`"
        )
    settings = tuple(_setting(text) for text in given)
    config.load(dict(settings))  # values that the server would refuse are told here
    wanted = Installation(
        namespace=namespace,
        image=image if image is not None else f"trunkline:{program_version()}",
        storage_size=storage_size,
        storage_class=storage_class,
        node_port=node_port,
        names=names,
        settings=settings,
        token_secret=token_secret,
        tls_secret=tls_secret,
        pull_secret=image_pull_secret,
        resources=resources,
        elsewhere=_elsewhere(store, store_secret, database_secret, replicas),
    )
    sys.stdout.write(yaml.safe_dump_all(manifests(wanted), sort_keys=False))


def _elsewhere(
    store: str, store_secret: str, database_secret: str, replicas: int
) -> Elsewhere | None:
    from trunkline.runtimes.kubernetes.installation import Elsewhere

    if not (store and store_secret and database_secret):
        if store or store_secret or database_secret or replicas != 1:
            raise InvalidInput(
                "servers without a volume need all of --store, --store-secret and "
                "--database-secret; --replicas is for those"
            )
        return None
    return Elsewhere(
        store=store,
        store_secret=store_secret,
        database_secret=database_secret,
        replicas=replicas,
    )


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidInput(f"{text!r} is no setting; write NAME=VALUE")
    return name, value
