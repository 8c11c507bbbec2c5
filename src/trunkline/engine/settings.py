"""The settings in force, as they are shown to users: what is allowed, and when things happen.

Whatever can hold a password, a key or a token is not among them.
"""

from trunkline.config import Config, load
from trunkline.model.admin import Setting

_SHOWN = {
    "runtime": "where code of pipelines runs, unless they say",
    "isolation": "how code that runs on the machine itself gets its /pfs",
    "workers_max": "workers that a pipeline has at most",
    "cpus": "cores that workers may request; none: all of the machine",
    "memory_bytes": "memory that workers may request; none: all of the machine",
    "gpus": "numbers of the GPUs that workers may have; none: all there are",
    "worker_idle_s": "idle workers stay warm so long (seconds)",
    "lease_s": "a silent worker is given up after so long (seconds)",
    "job_patience_s": "a job waits so long for a full disk and the like (seconds)",
    "output_bytes_max": "that a datum may write; none: what the disk has",
    "log_bytes_max": "that are kept of the log of a datum",
    "trash_s": "what is deleted can be undeleted so long (seconds)",
    "gc_interval_s": "between collections of garbage (seconds); 0: on demand",
    "gc_grace_s": "what is not needed is kept so long (seconds)",
    "retention_interval_s": "between applications of retention (seconds); 0: on demand",
    "results_kept_s": "results of datums that no job needs now are kept so long (seconds)",
    "file_sets_kept_s": "uploads that nothing uses are kept so long (seconds)",
    "store_cache_bytes": "of packs of a bucket that are kept on this disk",
    "git_poll_s": "between looks at a git input (seconds); 0: when asked",
    "fetch_allow": "hosts, networks and buckets that the server fetches from",
    "fetch_bytes_max": "of one URL that the server fetches",
    "fetch_seconds_max": "for one URL that the server fetches",
    "archive_bytes_max": "unpacked from one archive",
    "archive_ratio_max": "bytes unpacked per byte of an archive",
    "archive_entries_max": "of one archive or split",
    "notify_states": "states of jobs that a webhook is told of; none: all",
    "upgrade": "whether a new version brings the data up to date by itself",
}


def settings(config: Config) -> list[Setting]:
    """Those that are shown, in the order of the reference of what they are about."""
    untouched = load({})
    return [
        Setting(
            variable=f"TRUNKLINE_{field.upper()}",
            value=_text(getattr(config, field)),
            meaning=meaning,
            by_default=getattr(config, field) == getattr(untouched, field),
        )
        for field, meaning in _SHOWN.items()
    ]


def _text(value: str | float | None) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value)
