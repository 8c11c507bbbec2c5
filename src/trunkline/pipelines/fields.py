"""Every field that a pipeline spec may have: the one table that reading, checking, warnings and
the reference page (`docs/reference/pipeline-spec.md`) go by.

Names are Pachyderm's, of both generations ([1.7] and [2.x]); `Trunkline` marks our own. Adding a
field is one line here; making a kept one work is changing its `use` and reading it in `spec`.
"""

from collections.abc import Mapping

from trunkline.pipelines.field_types import (
    Decimal,
    Duration,
    Either,
    Field,
    Free,
    ListOf,
    Message,
    Quantity,
    Text,
    TextMap,
    Truth,
    Use,
    Whole,
)

BOTH, OLD, NEW, OURS = "1.7 2.x", "1.7", "2.x", "Trunkline"
_T, _B = Text(), Truth()
_USED, _KEPT, _REFUSED = Use.USED, Use.KEPT, Use.REFUSED
_POD = "for Kubernetes"
_UPLOADS = "files beside those that are put to `{{output.url}}`"
_PLACE = "`docker`: in a container; `process`: on this machine; `auto`: the first where possible"

# --- the table ------------------------------------------------------------------------------------

# fmt: off  (a table reads better with one line per field)
MESSAGES: Mapping[str, tuple[Field, ...]] = {
    "spec": (
        Field("pipeline", Message("pipeline"), BOTH, _USED, "required", "names the pipeline"),
        Field(
            "tf_job", Message("tf_job"), BOTH, _USED, "none", "a TFJob as `transform.kubernetes`"
        ),
        Field("description", _T, BOTH, _USED, '""', "shown by `inspect pipeline`"),
        Field("transform", Message("transform"), BOTH, _USED, "required", "what to run"),
        Field("input", Message("input"), BOTH, _USED, "required", "what to run it on"),
        Field(
            "parallelism_spec",
            Message("parallelism_spec"),
            BOTH,
            _USED,
            "1 worker",
            "how many workers process the datums of a job side by side",
        ),
        Field("hashtree_spec", Message("hashtree_spec"), OLD, _KEPT, "none", "output shards"),
        Field("output_branch", _T, BOTH, _USED, "master", "branch that receives the output"),
        Field(
            "output_merge",
            Text(("error", "concat")),
            OURS,
            _USED,
            "error",
            "two datums that write one path: `error` fails the job, `concat` joins the contents "
            "in the order of the datums, as 1.7 does",
        ),
        Field(
            "on_failure",
            Either(Text(("fail",)), Message("on_failure")),
            OURS,
            _USED,
            "fail",
            "what a failed datum does to its job: fail it, or be quarantined",
        ),
        Field("datum_tries", Whole(most=1000), BOTH, _USED, "3", "tries before a datum fails"),
        Field("datum_timeout", Duration(), BOTH, _USED, "none", "longest time for one try"),
        Field("job_timeout", Duration(), BOTH, _USED, "none", "longest time for a job"),
        Field(
            "reprocess_spec",
            Text(("until_success", "every_job")),
            NEW,
            _USED,
            "until_success",
            "`every_job` runs all datums in each job, remembered or not",
        ),
        Field(
            "salt",
            _T,
            BOTH,
            _USED,
            '""',
            "another salt gives other datum ids, so that everything is processed anew",
        ),
        Field(
            "autoscaling",
            _B,
            NEW,
            _USED,
            "false",
            "workers are started when there is work, not before, and no more than it needs",
        ),
        Field("standby", _B, OLD, _USED, "false", "as `autoscaling`"),
        Field(
            "scale_down_threshold",
            Duration(),
            OLD,
            _USED,
            "5m",
            "workers that have had no work for so long leave",
        ),
        Field("enable_stats", _B, OLD, _USED, "true", "datums are always recorded"),
        Field(
            "resource_requests",
            Message("resources"),
            BOTH,
            _USED,
            "none",
            "what each worker needs: workers start while that fits into this machine",
        ),
        Field(
            "resource_limits",
            Message("resources"),
            BOTH,
            _USED,
            "none",
            "what a datum's command may use, with all that it starts",
        ),
        Field("sidecar_resource_requests", Message("resources"), NEW, _KEPT, "none", _POD),
        Field("sidecar_resource_limits", Message("resources"), NEW, _KEPT, "none", _POD),
        Field(
            "datum_set_spec",
            Message("datum_set_spec"),
            NEW,
            _USED,
            "none",
            "how many datums a worker gets at once; else so many as take half a second",
        ),
        Field("chunk_spec", Message("chunk_spec"), OLD, _USED, "none", "as `datum_set_spec`"),
        Field("max_queue_size", Whole(), OLD, _USED, "none", "most datums for a worker at once"),
        Field("cache_size", Quantity(), OLD, _KEPT, "none", "memory for inputs"),
        Field(
            "incremental",
            _B,
            OLD,
            _USED,
            "false",
            "a datum finds what it wrote the last time in /pfs/out, and only what was added since",
        ),
        Field("batch", _B, OLD, _KEPT, "false", "every commit is processed"),
        Field("update", _B, BOTH, _KEPT, "false", "use the command `update pipeline`"),
        Field("reprocess", _B, BOTH, _KEPT, "false", "use `update pipeline --reprocess`"),
        Field("no_skip", _B, OLD, _USED, "false", 'as `"reprocess_spec": "every_job"`'),
        Field("spec_commit", Message("spec_commit"), BOTH, _KEPT, "none", "set by Trunkline"),
        Field("dry_run", _B, NEW, _REFUSED, "false", "use `validate pipeline`"),
        Field("egress", Message("egress"), BOTH, _USED, "none", "where output is copied to"),
        Field(
            "service",
            Message("service"),
            BOTH,
            _USED,
            "none",
            "the code is one process that stays, sees the newest input and listens on a port",
        ),
        Field(
            "spout",
            Message("spout"),
            NEW,
            _USED,
            "none",
            "the code is one process that stays, has no input, and puts files into its own repo",
        ),
        Field("s3_out", _B, NEW, _KEPT, "false", "writing the output through S3"),
        Field("metadata", Message("metadata"), NEW, _KEPT, "none", _POD),
        Field("scheduling_spec", Message("scheduling_spec"), BOTH, _KEPT, "none", _POD),
        Field("tolerations", ListOf(Message("toleration")), NEW, _KEPT, "[]", _POD),
        Field("pod_spec", _T, BOTH, _KEPT, '""', _POD),
        Field("pod_patch", _T, BOTH, _KEPT, '""', _POD),
        Field(
            "maximum_expected_uptime",
            Duration(),
            NEW,
            _USED,
            "none",
            "`list pipeline` shows an alert while a job runs longer",
        ),
        Field("determined", Message("determined"), NEW, _KEPT, "none", "Determined workspaces"),
        Field("build", Message("build"), OLD, _KEPT, "none", "use `transform.code`"),
    ),
    "on_failure": (
        Field(
            "quarantine",
            Message("quarantine"),
            OURS,
            _USED,
            "none",
            "failed datums are left out of the output and committed on the branch `errors`",
        ),
    ),
    "quarantine": (
        Field(
            "max",
            Whole(least=1, most=10_000),
            OURS,
            _USED,
            "required",
            "if more datums of a job fail, the job does",
        ),
    ),
    "pipeline": (
        Field("name", _T, BOTH, _USED, "required", "name of the pipeline and its output repo"),
        Field("project", Message("project"), NEW, _USED, "none", "project of the pipeline"),
    ),
    "project": (Field("name", _T, NEW, _USED, "of the command", "project of the pipeline"),),
    "transform": (
        Field(
            "image",
            _T,
            BOTH,
            _USED,
            '""',
            "what containers are made of, where `cmd` runs in one; results depend on it",
        ),
        Field("runtime", Text(("auto", "process", "docker")), OURS, _USED, "auto", _PLACE),
        Field("cmd", ListOf(_T), BOTH, _USED, "of the image", "program and arguments; no shell"),
        Field("stdin", ListOf(_T), BOTH, _USED, "none", "lines for the standard input of `cmd`"),
        Field("err_cmd", ListOf(_T), NEW, _USED, "none", "runs when a try of `cmd` has failed"),
        Field("err_stdin", ListOf(_T), NEW, _USED, "none", "lines for `err_cmd`"),
        Field("env", TextMap(), BOTH, _USED, "{}", "environment variables"),
        Field("user", _T, BOTH, _USED, '""', "user that runs `cmd`"),
        Field("working_dir", _T, BOTH, _USED, '""', "directory that `cmd` starts in"),
        Field("network", _T, OURS, _USED, "none", "of its container: none, host or one's name"),
        Field(
            "accept_return_code",
            ListOf(Whole(most=255)),
            BOTH,
            _USED,
            "[]",
            "exit codes that count as success, besides 0",
        ),
        Field("code", _T, OURS, _USED, '""', "directory stored with the spec, and seen as /code"),
        Field(
            "requirements",
            _T,
            OURS,
            _USED,
            '""',
            "Python packages for `cmd`: lines of a requirements file, or the name of one in `code` "
            "(a word that ends in .txt)",
        ),
        Field("secrets", ListOf(Message("secret")), BOTH, _USED, "[]", "values for `cmd` to keep"),
        Field("image_pull_secrets", ListOf(_T), BOTH, _USED, "[]", "logins of image registries"),
        Field("debug", _B, BOTH, _KEPT, "false", "more log lines of the worker"),
        Field("dockerfile", _T, BOTH, _USED, "Dockerfile", "beside the spec: what --build builds"),
        Field("memory_volume", _B, NEW, _KEPT, "false", _POD),
        Field(
            "datum_batching",
            _B,
            NEW,
            _USED,
            "false",
            "`cmd` is started for many datums and runs `pachctl next datum` before each of them",
        ),
        Field("build", Message("build"), OLD, _KEPT, "none", "use `transform.code`"),
        Field("kubernetes", Message("kubernetes"), OURS, _USED, "none", "what a cluster makes"),
    ),
    "kubernetes": (
        Field("manifest", Free(), OURS, _USED, "required", "an object of the cluster, or its text"),
        Field("success", ListOf(_T), OURS, _USED, "by kind", "of its status: all have to be true"),
        Field("failure", ListOf(_T), OURS, _USED, "by kind", "of its status: one has to be true"),
        Field("stays", _B, OURS, _USED, "by kind", "it serves each commit until the next one"),
        Field("outputs", ListOf(Message("kubernetes_output")), OURS, _USED, "[]", _UPLOADS),
    ),
    "kubernetes_output": (
        Field("path", _T, OURS, _USED, "required", "file, or directory of what is fetched"),
        Field("status", _T, OURS, _USED, "none", "place in the object that has its content"),
        Field("url", _T, OURS, _USED, "none", "object or prefix in a bucket, or a web address"),
    ),
    "secret": (
        Field("name", _T, BOTH, _USED, "required", "name of the secret"),
        Field("key", _T, BOTH, _USED, '""', "key of the secret for `env_var`"),
        Field("mount_path", _T, BOTH, _USED, '""', "directory of a file per key, in memory"),
        Field("env_var", _T, BOTH, _USED, '""', "variable that gets the value of `key`"),
    ),
    "build": (
        Field("path", _T, OLD, _KEPT, '""', "directory of the code"),
        Field("builder", _T, OLD, _KEPT, '""', "build image"),
        Field("language", _T, OLD, _KEPT, '""', "language of the code"),
        Field("image", _T, OLD, _KEPT, '""', "build image"),
    ),
    "input": (
        Field("pfs", Message("pfs"), BOTH, _USED, "none", "files of one branch"),
        Field("atom", Message("pfs"), OLD, _USED, "none", "the same, as 1.7 calls it"),
        Field("cross", ListOf(Message("input")), BOTH, _USED, "none", "every combination"),
        Field("union", ListOf(Message("input")), BOTH, _USED, "none", "one after the other"),
        Field("join", ListOf(Message("input")), NEW, _USED, "none", "combinations of equal keys"),
        Field("group", ListOf(Message("input")), NEW, _USED, "none", "all files of a key"),
        Field("cron", Message("cron"), BOTH, _USED, "none", "a clock as input"),
        Field("git", Message("git"), OLD, _USED, "none", "a branch of a git repository"),
    ),
    "pfs": (
        Field("project", _T, NEW, _USED, "the pipeline's", "project of the repo"),
        Field("name", _T, BOTH, _USED, "as `repo`", "directory below /pfs, and variable"),
        Field("repo", _T, BOTH, _USED, "required", "repo to read"),
        Field("repo_type", Text(("user",)), NEW, _USED, "user", "only `user` can be read"),
        Field("branch", _T, BOTH, _USED, "master", "branch to read"),
        Field(
            "commit",
            _T,
            BOTH,
            _REFUSED,
            "none",
            "a pipeline follows a branch; a job's spec tells the commit",
        ),
        Field("glob", _T, BOTH, _USED, "required", "each file or directory it matches is a datum"),
        Field("join_on", _T, NEW, _USED, '""', "key in a `join`, such as `$1`"),
        Field("outer_join", _B, NEW, _USED, "false", "keep what has no partner in a `join`"),
        Field("group_by", _T, NEW, _USED, '""', "key in a `group`, such as `$1`"),
        Field("lazy", _B, BOTH, _USED, "false", "files are named pipes, read when they are opened"),
        Field("empty_files", _B, BOTH, _USED, "false", "files are there, without their content"),
        Field("s3", _B, NEW, _KEPT, "false", "reading the input through S3"),
        Field("trigger", Message("trigger"), NEW, _USED, "none", "which commits are processed"),
        Field(
            "propagation_spec",
            Message("propagation_spec"),
            NEW,
            _USED,
            "none",
            "which commits start a job",
        ),
        Field("reference", _B, NEW, _USED, "false", "content does not count in the datum's id"),
    ),
    "propagation_spec": (
        Field("never", _B, NEW, _USED, "false", "new commits of this input start no job"),
    ),
    "trigger": (
        Field("branch", _T, NEW, _USED, "the input's", "branch to watch"),
        Field("all", _B, NEW, _USED, "false", "all conditions have to be met; else one is enough"),
        Field("size", _T, NEW, _USED, "none", 'so much new data: "100MB", "64MiB"'),
        Field("commits", Whole(), NEW, _USED, "none", "so many new commits"),
        Field("rate_limit_spec", _T, NEW, _USED, '""', "a tick of this schedule since it moved"),
        Field("cron_spec", _T, NEW, _USED, '""', "at these times, if there is anything new"),
    ),
    "cron": (
        Field("name", _T, BOTH, _USED, "required", "directory below /pfs, and variable"),
        Field("project", _T, NEW, _USED, "the pipeline's", "project of the repo"),
        Field("repo", _T, BOTH, _USED, "`<pipeline>_<name>`", "repo that ticks go to"),
        Field("commit", _T, BOTH, _REFUSED, "none", "a job's spec tells the commit"),
        Field(
            "spec",
            _T,
            BOTH,
            _USED,
            "required",
            "times of the ticks: `@every 10m`, `@daily`, `0 3 * * *`, `@never`; after "
            "`TZ=Europe/Berlin` in that time zone, else in UTC",
        ),
        Field("overwrite", _B, BOTH, _USED, "false", "keep only the file of the last tick"),
        Field(
            "start",
            _T,
            BOTH,
            _USED,
            "now",
            "ticks come after this time (RFC 3339); those that are over are made at once",
        ),
    ),
    "git": (
        Field("name", _T, OLD, _USED, "from the URL", "directory below /pfs, and variable"),
        Field("project", _T, OURS, _USED, "the pipeline's", "project of the repo"),
        Field("repo", _T, OURS, _USED, "`<pipeline>_<name>`", "repo that checkouts go to"),
        Field("URL", _T, OLD, _USED, "required", "of the git repository: https, http or git"),
        Field("branch", _T, OLD, _USED, "master", "branch of it to follow"),
        Field("commit", _T, OLD, _REFUSED, "none", "a job's spec tells the commit"),
        Field("secret", Message("git_secret"), OURS, _USED, "none", "lets in to a private one"),
    ),
    "git_secret": (
        Field("name", _T, OURS, _USED, "required", "name of the secret"),
        Field("key", _T, OURS, _USED, "required", "key of a token, or of user:password"),
    ),
    "parallelism_spec": (
        Field("constant", Whole(most=1_000_000), BOTH, _USED, "1", "so many workers"),
        Field(
            "coefficient",
            Decimal(most=1_000_000),
            OLD,
            _USED,
            "none",
            "workers per core of this machine, rounded up (1.7: per node)",
        ),
    ),
    "hashtree_spec": (Field("constant", Whole(), OLD, _KEPT, "none", "number of shards"),),
    "resources": (
        Field("cpu", Decimal(), BOTH, _USED, "none", "cores, or parts of one"),
        Field("memory", Quantity(), BOTH, _USED, "none", "memory"),
        Field("gpu", Either(Whole(), Message("gpu")), BOTH, _USED, "none", "GPUs of a worker"),
        Field("disk", Quantity(), BOTH, _KEPT, "none", "scratch space"),
    ),
    "gpu": (
        Field("type", _T, BOTH, _KEPT, '""', "such as nvidia.com/gpu"),
        Field("number", Whole(), BOTH, _USED, "none", "how many"),
    ),
    "datum_set_spec": (
        Field("number", Whole(), NEW, _USED, "none", "datums per batch"),
        Field("size_bytes", Whole(), NEW, _USED, "none", "input bytes per batch"),
        Field("per_worker", Whole(), NEW, _USED, "none", "batches per worker"),
    ),
    "chunk_spec": (
        Field("number", Whole(), OLD, _USED, "none", "datums per batch"),
        Field("size_bytes", Whole(), OLD, _USED, "none", "input bytes per batch"),
    ),
    "egress": (
        Field("URL", _T, BOTH, _USED, "none", "object store, or `file:///path`"),
        Field("object_storage", Message("object_storage"), NEW, _USED, "none", "the same"),
        Field("sql_database", Message("sql_database"), NEW, _USED, "none", "tables to fill"),
    ),
    "object_storage": (Field("url", _T, NEW, _USED, "required", "as `URL`"),),
    "sql_database": (
        Field("url", _T, NEW, _USED, "required", "database"),
        Field("file_format", Message("file_format"), NEW, _USED, "required", "how to read"),
        Field("secret", Message("egress_secret"), NEW, _USED, "none", "its password"),
    ),
    "file_format": (
        Field("type", Text(("CSV", "JSON", "PARQUET")), NEW, _USED, "required", "format"),
        Field("columns", ListOf(_T), NEW, _USED, "[]", "columns to take"),
    ),
    "egress_secret": (
        Field("name", _T, NEW, _USED, "required", "name of the secret"),
        Field("key", _T, NEW, _USED, "required", "key in the secret"),
    ),
    "service": (
        Field(
            "internal_port",
            Whole(most=65535),
            BOTH,
            _USED,
            "required",
            "port that the code listens on if it does not go by `PORT`",
        ),
        Field(
            "external_port",
            Whole(most=65535),
            BOTH,
            _USED,
            "the internal one",
            "port of this machine at which the service is reached, whichever instance serves",
        ),
        Field("ip", _T, BOTH, _USED, "127.0.0.1", "address of this machine for that port"),
        Field(
            "type",
            Text(("NodePort", "ClusterIP", "LoadBalancer")),
            BOTH,
            _KEPT,
            "NodePort",
            "kind of service",
        ),
        Field(
            "health",
            Message("health"),
            OURS,
            _USED,
            "it listens",
            "when an instance is ready to take over",
        ),
        Field("annotations", TextMap(), OLD, _KEPT, "{}", _POD),
    ),
    "health": (
        Field("path", _T, OURS, _USED, "none", "URL path that answers 2xx once it is ready"),
        Field("timeout", Duration(), OURS, _USED, "60s", "longest time to get ready"),
    ),
    "spout": (
        Field("service", Message("service"), NEW, _USED, "none", "port it listens on"),
        Field("overwrite", _B, OLD, _REFUSED, "false", "replace files"),
        Field("marker", _T, OLD, _REFUSED, '""', "file that tells where to go on"),
    ),
    "metadata": (
        Field("annotations", TextMap(), NEW, _KEPT, "{}", _POD),
        Field("labels", TextMap(), NEW, _KEPT, "{}", _POD),
    ),
    "scheduling_spec": (
        Field("node_selector", TextMap(), BOTH, _KEPT, "{}", _POD),
        Field("priority_class_name", _T, BOTH, _KEPT, '""', _POD),
    ),
    "toleration": (
        Field("key", _T, NEW, _KEPT, '""', "taint"),
        Field("operator", Text(("EMPTY", "EXISTS", "EQUAL")), NEW, _KEPT, "EMPTY", "comparison"),
        Field("value", _T, NEW, _KEPT, '""', "value of the taint"),
        Field(
            "effect",
            Text(("ALL_EFFECTS", "NO_SCHEDULE", "PREFER_NO_SCHEDULE", "NO_EXECUTE")),
            NEW,
            _KEPT,
            "ALL_EFFECTS",
            "effect of the taint",
        ),
        Field("toleration_seconds", Whole(), NEW, _KEPT, "none", "for how long"),
    ),
    "determined": (Field("workspaces", ListOf(_T), NEW, _KEPT, "[]", "workspace names"),),
    "tf_job": (Field("tf_job", _T, BOTH, _USED, "none", "manifest of a TFJob, as text"),),
    "spec_commit": (
        Field("repo", Message("commit_repo"), BOTH, _KEPT, "none", "spec repo"),
        Field("branch", Message("commit_branch"), BOTH, _KEPT, "none", "spec branch"),
        Field("id", _T, BOTH, _KEPT, '""', "commit id"),
    ),
    "commit_repo": (
        Field("name", _T, BOTH, _KEPT, '""', "repo"),
        Field("type", _T, NEW, _KEPT, '""', "type of the repo"),
        Field("project", Message("project"), NEW, _KEPT, "none", "project"),
    ),
    "commit_branch": (
        Field("name", _T, BOTH, _KEPT, '""', "branch"),
        Field("repo", Message("commit_repo"), NEW, _KEPT, "none", "its repo"),
    ),
}
# fmt: on


def lower_camel(name: str) -> str:
    """`datum_tries` as `datumTries`."""
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


_BY_SPELLING: dict[str, dict[str, Field]] = {
    message: {
        spelling: field for field in fields for spelling in (lower_camel(field.name), field.name)
    }
    for message, fields in MESSAGES.items()
}


def spellings(message: str) -> Mapping[str, Field]:
    """The fields of a message by each name that is accepted for them."""
    return _BY_SPELLING[message]


def holders(spelling: str) -> list[str]:
    """The messages that have a field of this name, for hints."""
    return [message for message, fields in _BY_SPELLING.items() if spelling in fields]
