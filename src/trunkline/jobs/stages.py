"""What a cluster is to make of a datum: the manifest of its pipeline, with the datum's own data."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from trunkline.config import Config
from trunkline.errors import NotSupported
from trunkline.fetch.fetcher import Fetcher
from trunkline.fetch.policy import allow_list
from trunkline.fetch.web import Limits
from trunkline.jobs.segments import PlannedDatum
from trunkline.model.names import bare_name
from trunkline.model.pipelines import ClusterStage, StageOutput
from trunkline.model.signed import Signer
from trunkline.model.versions import FileType
from trunkline.pipelines.datums import DatumFile
from trunkline.pipelines.stages import filled, uses
from trunkline.runtimes.kubernetes.holdings import Holdings, key_of
from trunkline.runtimes.kubernetes.stage_slot import Order
from trunkline.store.claims import open_bucket

_WORDS_MAX, _DIGITS = 40, 10  # of a name: operators add more to it, and 63 letters are all
_NO_NAME = re.compile(r"[^a-z0-9-]+")


def server_fetcher(config: Config) -> Fetcher:
    """Fetches for callers; raises InvalidInput for a list of hosts that can't be read."""
    return Fetcher(
        policy=allow_list(config.fetch_allow),
        limits=Limits(bytes_max=config.fetch_bytes_max, seconds_max=config.fetch_seconds_max),
        plain_http=config.object_store_http,
    )


def stage_of(values: dict[str, object]) -> ClusterStage:
    """A stage that travelled as a plain document."""
    given: dict[str, Any] = {
        name: tuple(one) if isinstance(one, list) else one for name, one in values.items()
    }
    given["outputs"] = tuple(StageOutput(**one) for one in given["outputs"])
    return ClusterStage(**given)


def holdings_of(home: Path, *, shared: bool) -> Holdings:
    """What is known of objects: in the data directory, or in the bucket of a store that servers
    with other directories share.
    """
    return Holdings(home, open_bucket(home / "store") if shared else None)


def holding_key(pipeline: str, job: str, datum: str, *, stays: bool) -> str:
    """Of what stands for a datum, or (`stays`) for whatever a pipeline serves."""
    return key_of(pipeline) if stays else key_of(pipeline, job, datum)


def check_address(config: Config, stage: ClusterStage) -> None:
    """Raises NotSupported for placeholders that get no value on this server."""
    if not config.data_url and uses(stage, "url", "tar"):
        raise NotSupported(
            "it hands out addresses of data, and the server does not know its own: set "
            "TRUNKLINE_DATA_URL to where pods of the cluster reach it, such as "
            "http://trunkline:30650"
        )


def order_for(
    stage: ClusterStage,
    planned: PlannedDatum,
    *,
    pipeline: str,
    version: int,
    job: str,
    namespace: str,
    signer: Signer,
) -> Order:
    """What to make for a datum. Raises OperationFailed."""
    values = {
        "datum.id": planned.key,
        "job.id": job,
        "pipeline.name": bare_name(pipeline),
        "pipeline.version": str(version),
        "resource.name": _name(pipeline, job, planned.key, stays=stage.stays),
        "namespace": namespace,
        "output.url": signer.output_url(f"{pipeline}@{job}", planned.key),
        **_of_inputs(planned.datum.files, signer),
    }
    manifest = filled(json.loads(stage.manifest), values)
    metadata = manifest.get("metadata") or {}
    name = metadata.get("name") or values["resource.name"]
    return Order(
        manifest={**manifest, "metadata": {**metadata, "name": name, "namespace": namespace}},
        key=holding_key(pipeline, job, planned.key, stays=stage.stays),
        pipeline=pipeline,
        job=job,
        datum=planned.key,
        stays=stage.stays,
        success=list(stage.success),
        failure=list(stage.failure),
        outputs=[filled(asdict(output), values) for output in stage.outputs],
    )


def _of_inputs(files: Iterable[DatumFile], signer: Signer) -> dict[str, str]:
    """Those of each input that gave one file or directory; of several, none is the one."""
    found: dict[str, str] = {}
    by_name = sorted(files, key=lambda file: file.name)
    for name, group in groupby(by_name, key=lambda file: file.name):
        file, *others = group
        if others:
            continue
        place = f"input.{name}"
        found |= {
            f"{place}.url": signer.file_url(file.repo, file.commit, file.path),
            f"{place}.commit": file.commit,
            f"{place}.path": f"/{file.path}",
            f"{place}.repo": file.repo,
        }
        if file.type is FileType.DIR:
            found[f"{place}.tar"] = signer.tar_url(file.repo, file.commit, file.path, name)
    return found


def _name(pipeline: str, job: str, datum: str, *, stays: bool) -> str:
    """A name that the cluster takes, the same whenever it is asked for."""
    words = _NO_NAME.sub("-", pipeline.lower())[:_WORDS_MAX].strip("-")
    if not words[:1].isalpha():
        words = f"p-{words}".rstrip("-")
    if stays:
        return words
    digest = hashlib.sha256(f"{pipeline}\n{job}\n{datum}".encode()).hexdigest()
    return f"{words}-{digest[:_DIGITS]}"
