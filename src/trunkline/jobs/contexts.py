"""What workers are told of a version of a pipeline: all that its datums have in common."""

import sys
from dataclasses import asdict
from pathlib import Path

from trunkline.config import Config
from trunkline.jobs.datum_run import Context
from trunkline.model.images import Runtime
from trunkline.model.pipelines import PipelineSpec
from trunkline.pipelines.inputs import empty_file_inputs, lazy_inputs
from trunkline.pipelines.lifecycle import PipelineRecord


def context_of(pipeline: PipelineSpec, record: PipelineRecord, config: Config) -> Context:
    """What all runs of the code of a pipeline version share."""
    transform, image = pipeline.transform, record.placement.image
    if config.runtime == Runtime.KUBERNETES or pipeline.stage is not None:
        env = {}
    elif image is None:
        # Last, so that `python3` is there even on a machine that has it under another name only.
        env = {"PATH": f"{config.path}:{Path(sys.executable).parent}"}
    else:
        env = dict(one.partition("=")[::2] for one in image.env)
    return Context(
        pipeline=record.name,
        version=record.version,
        spec_commit=record.spec_commit,
        cmd=transform.cmd or (() if image is None else image.command),
        stdin=transform.stdin,
        err_cmd=transform.err_cmd,
        err_stdin=transform.err_stdin,
        env={**env, **transform.env},
        user=transform.user or ("" if image is None else image.user),
        working_dir=transform.working_dir or ("" if image is None else image.working_dir),
        accept_return_code=transform.accept_return_code,
        tries=pipeline.datum_tries,
        timeout_s=pipeline.datum_timeout_s,
        empty_inputs=empty_file_inputs(pipeline.input),
        lazy_inputs=lazy_inputs(pipeline.input),
        code=record.code,
        code_dir="",
        lock=record.lock,
        secrets=tuple(asdict(use) for use in transform.secrets),
        server_path=config.path,
        batching=transform.datum_batching,
        log_bytes_max=config.log_bytes_max,
        memory_bytes=pipeline.limits.memory_bytes,
        cpu_cores=pipeline.limits.cpu,
        image=None if image is None else asdict(image),
        pull_secrets=transform.pull_secrets,
        network=transform.network,
        in_pod=config.runtime == Runtime.KUBERNETES and pipeline.stage is None,
        stage=None if pipeline.stage is None else asdict(pipeline.stage),
        namespace=config.pod_namespace,
        data_url=config.data_url,
    )
