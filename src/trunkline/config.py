"""Settings, and the only place that reads the environment.

Order: built-in default < environment (`TRUNKLINE_*`) < argument. Every field names its unit.
"""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from trunkline.errors import InvalidInput
from trunkline.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

# Where S3 and Azure are, in the variables of their own tools.
_ENDPOINTS = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT",
    "AZURE_STORAGE_ENDPOINT",
    "AZURE_ENDPOINT",
)

# Where Python packages come from, in the variables of uv, but for what is a place of this machine.
_OF_PACKAGES = (
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_HTTP_",
    "UV_INDEX",
    "UV_INSECURE_HOST",
    "UV_NO_CONFIG",
    "UV_NO_INDEX",
    "UV_OFFLINE",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Where things are and how much of everything is allowed."""

    # Texts, as most commands have no other use for them, and path objects take time to load.
    home_path: str  # data directory (TRUNKLINE_HOME, else the XDG data directory)
    config_path: str  # contexts (TRUNKLINE_CONFIG, else in the XDG config directory)
    address: str | None  # where clients connect (TRUNKLINE_ADDRESS or PACHD_ADDRESS); None: local
    token: str | None  # for a remote server (TRUNKLINE_TOKEN)
    ca_file: str | None  # who vouches for an https server (TRUNKLINE_CA_FILE); None: the machine
    project: str | None  # of commands that name none (TRUNKLINE_PROJECT); None: the context's
    path: str  # where stage commands of the process runtime are looked for (PATH)
    isolation: str  # auto, namespace or rewrite (TRUNKLINE_ISOLATION)
    runtime: str = "auto"  # TRUNKLINE_RUNTIME: auto, process or docker; kubernetes: all in pods
    tls_cert: str = ""  # TRUNKLINE_TLS_CERT: PEM file for what listens on TCP; empty: no TLS
    tls_key: str = ""  # TRUNKLINE_TLS_KEY: its key
    tls_name: str = ""  # TRUNKLINE_TLS_NAME: a name of it, for those who come by another address
    workers_listen: str = "0.0.0.0:30651"  # TRUNKLINE_WORKERS_LISTEN: for workers in pods
    workers_address: str = ""  # TRUNKLINE_WORKERS_ADDRESS: host:port that pods reach that at
    pod_namespace: str = "trunkline"  # TRUNKLINE_POD_NAMESPACE: of the pods of pipelines
    pod_image: str = "trunkline"  # TRUNKLINE_POD_IMAGE: of the server, for what is ours in pods
    pod_claim: str = "trunkline"  # TRUNKLINE_POD_CLAIM: of the volume with the data directory
    pod_secret: str = ""  # TRUNKLINE_POD_SECRET: variables of pods that are on any node; else: ours
    pod_tls_secret: str = ""  # TRUNKLINE_POD_TLS_SECRET: has ca.crt, for workers in pods
    workers_key: str = ""  # TRUNKLINE_WORKERS_KEY: what such pods show, 64 hexadecimal digits
    pod_owner: str = ""  # TRUNKLINE_POD_OWNER: name/uid of the server's own pod
    data_url: str = ""  # TRUNKLINE_DATA_URL: where objects of a cluster reach this server
    container_host: str = ""  # TRUNKLINE_CONTAINER_HOST, DOCKER_HOST: its socket; empty: as usual
    user_home: str = ""  # where container engines of a user have sockets (HOME)
    run_path: str = ""  # the same (XDG_RUNTIME_DIR)
    start_timeout_s: float = 30.0  # for the local server to come up
    worker_idle_s: float = 300.0  # TRUNKLINE_WORKER_IDLE_S: idle workers stay warm this long
    lease_s: float = 15.0  # TRUNKLINE_LEASE_S: a silent worker is given up after this
    job_patience_s: float = 600.0  # TRUNKLINE_JOB_PATIENCE_S: it waits so long for a full disk etc.
    upgrade: str = "auto"  # TRUNKLINE_UPGRADE: auto, or never: only `trunkline upgrade` does it
    workers_max: int = 64  # TRUNKLINE_WORKERS_MAX: workers that a pipeline has at most
    cpus: float | None = None  # TRUNKLINE_CPUS: cores that workers may request; None: all
    memory_bytes: int | None = None  # TRUNKLINE_MEMORY_BYTES: that they may request; None: all
    gpus: str | None = None  # TRUNKLINE_GPUS: their numbers, such as 0,1; None: those in /dev
    datums_max: int = 10_000_000  # per job
    log_bytes_max: int = 16 * 1024 * 1024  # TRUNKLINE_LOG_BYTES_MAX: kept of the log of a datum
    trash_s: float = 7 * 86400.0  # TRUNKLINE_TRASH_S: what is deleted can be undeleted this long
    spec_bytes_max: int = 4 * 1024 * 1024  # of one text with pipeline specs
    gc_interval_s: float = 3600.0  # TRUNKLINE_GC_INTERVAL_S: between collections; 0: only on demand
    gc_grace_s: float = 3600.0  # TRUNKLINE_GC_GRACE_S: what is not needed is kept so long
    retention_interval_s: float = 3600.0  # TRUNKLINE_RETENTION_INTERVAL_S; 0: only on demand
    results_kept_s: float = 30 * 86400.0  # TRUNKLINE_RESULTS_KEPT_S: of datums no job needs now
    file_sets_kept_s: float = 86400.0  # TRUNKLINE_FILE_SETS_KEPT_S: uploads that nothing uses
    database: str = ""  # TRUNKLINE_DATABASE: PostgreSQL URL of the catalog; empty: a file at home
    sql_password: str = ""  # PACHYDERM_SQL_PASSWORD: of databases whose egress names no secret
    notify_url: str = ""  # TRUNKLINE_NOTIFY_URL: is told of the ends of jobs (POST); empty: nobody
    notify_states: str = ""  # TRUNKLINE_NOTIFY_STATES: of which, such as failure,killed; empty: all
    notify_key: str = ""  # TRUNKLINE_NOTIFY_KEY: signs what is told (HMAC-SHA256)
    notify_retry_s: float = 5.0  # TRUNKLINE_NOTIFY_RETRY_S: before the 2nd try; then doubled
    egress_retry_s: float = 5.0  # TRUNKLINE_EGRESS_RETRY_S: before the 2nd try; 4 times that, 3rd
    output_bytes_max: int | None = None  # TRUNKLINE_OUTPUT_BYTES_MAX: per datum; None: the disk
    fetch_allow: str = ""  # TRUNKLINE_FETCH_ALLOW: hosts, networks, buckets the server fetches from
    fetch_bytes_max: int = 1 << 40  # TRUNKLINE_FETCH_BYTES_MAX: of one URL
    fetch_seconds_max: float = 6 * 3600.0  # TRUNKLINE_FETCH_SECONDS_MAX: for one URL
    git_poll_s: float = 60.0  # TRUNKLINE_GIT_POLL_S: between looks at a git input; 0: when asked
    http_proxy: str = ""  # for http URLs that the user's process fetches (http_proxy, all_proxy)
    https_proxy: str = ""  # for https URLs (https_proxy, all_proxy; these three in capitals too)
    no_proxy: str = ""  # hosts that it reaches without a proxy (no_proxy)
    store: str = ""  # TRUNKLINE_STORE: a bucket for the packs, as s3://bucket/prefix; empty: files
    store_cache_bytes: int = 10 << 30  # TRUNKLINE_STORE_CACHE_BYTES: of such packs on the disk here
    object_store_http: bool = False  # whether an endpoint of the stores' own variables is http
    archive_bytes_max: int = 1 << 40  # TRUNKLINE_ARCHIVE_BYTES_MAX: unpacked from one archive
    archive_ratio_max: int = 200  # TRUNKLINE_ARCHIVE_RATIO_MAX: bytes unpacked per byte received
    archive_entries_max: int = 10_000_000  # TRUNKLINE_ARCHIVE_ENTRIES_MAX: of one archive or split

    @property
    def home(self) -> "Path":
        """The data directory."""
        from pathlib import Path

        return Path(self.home_path)

    @property
    def config_file(self) -> "Path":
        """The file of contexts."""
        from pathlib import Path

        return Path(self.config_path)

    @property
    def socket(self) -> "Path":
        """Where the private socket of the local server is."""
        from pathlib import Path

        return Path(self.socket_path)

    @property
    def socket_path(self) -> str:
        """The private socket of the local server; a Unix path can't exceed 107 bytes."""
        inside = os.path.join(self.home_path, "server.sock")
        if len(os.fsencode(inside)) <= 100:
            return inside
        import hashlib
        import tempfile

        key = hashlib.blake2b(os.fsencode(self.home_path), digest_size=8).hexdigest()
        placed = os.path.join(tempfile.gettempdir(), f"trunkline-{os.getuid()}", f"{key}.sock")
        if len(os.fsencode(placed)) > 107:
            raise InvalidInput(
                f"the private socket can't be at {inside} nor at {placed}: a path of more than "
                "107 bytes is too long for the kernel; set TMPDIR to a shorter directory"
            )
        return placed


def load(
    environment: Mapping[str, str] | None = None, *, home: str | os.PathLike[str] | None = None
) -> Config:
    """The settings in force; raises InvalidInput for a variable that can't be read."""
    env = os.environ if environment is None else environment
    user = env.get("HOME") or os.path.expanduser("~")
    conf = env.get("XDG_CONFIG_HOME") or os.path.join(user, ".config")
    return Config(
        home_path=_home_path(env, user, home),
        config_path=env.get("TRUNKLINE_CONFIG") or os.path.join(conf, "trunkline", "config.toml"),
        address=env.get("TRUNKLINE_ADDRESS") or env.get("PACHD_ADDRESS") or None,
        token=env.get("TRUNKLINE_TOKEN") or None,
        ca_file=env.get("TRUNKLINE_CA_FILE") or None,
        project=env.get("TRUNKLINE_PROJECT") or None,
        path=env.get("PATH") or os.defpath,
        isolation=_choice(env, "TRUNKLINE_ISOLATION", "auto", "namespace", "rewrite"),
        runtime=_choice(env, "TRUNKLINE_RUNTIME", "auto", "process", "docker", "kubernetes"),
        tls_cert=env.get("TRUNKLINE_TLS_CERT") or "",
        tls_key=env.get("TRUNKLINE_TLS_KEY") or "",
        tls_name=env.get("TRUNKLINE_TLS_NAME") or "",
        workers_listen=env.get("TRUNKLINE_WORKERS_LISTEN") or "0.0.0.0:30651",
        workers_address=env.get("TRUNKLINE_WORKERS_ADDRESS") or "",
        pod_namespace=env.get("TRUNKLINE_POD_NAMESPACE") or "trunkline",
        pod_image=env.get("TRUNKLINE_POD_IMAGE") or "trunkline",
        pod_claim=env.get("TRUNKLINE_POD_CLAIM") or "trunkline",
        pod_secret=env.get("TRUNKLINE_POD_SECRET") or "",
        pod_tls_secret=env.get("TRUNKLINE_POD_TLS_SECRET") or "",
        workers_key=workers_key(env),
        pod_owner=env.get("TRUNKLINE_POD_OWNER") or "",
        data_url=env.get("TRUNKLINE_DATA_URL") or "",
        container_host=env.get("TRUNKLINE_CONTAINER_HOST") or env.get("DOCKER_HOST") or "",
        user_home=user,
        run_path=env.get("XDG_RUNTIME_DIR") or "",
        upgrade=_choice(env, "TRUNKLINE_UPGRADE", "auto", "never"),
        worker_idle_s=_number(env, "TRUNKLINE_WORKER_IDLE_S", 300.0),
        lease_s=_number(env, "TRUNKLINE_LEASE_S", 15.0),
        job_patience_s=_number(env, "TRUNKLINE_JOB_PATIENCE_S", 600.0),
        trash_s=_number(env, "TRUNKLINE_TRASH_S", 7 * 86400.0, zero=True),
        gc_interval_s=_number(env, "TRUNKLINE_GC_INTERVAL_S", 3600.0, zero=True),
        gc_grace_s=_number(env, "TRUNKLINE_GC_GRACE_S", 3600.0, zero=True),
        retention_interval_s=_number(env, "TRUNKLINE_RETENTION_INTERVAL_S", 3600.0, zero=True),
        results_kept_s=_number(env, "TRUNKLINE_RESULTS_KEPT_S", 30 * 86400.0, zero=True),
        file_sets_kept_s=_number(env, "TRUNKLINE_FILE_SETS_KEPT_S", 86400.0),
        database=env.get("TRUNKLINE_DATABASE") or "",
        sql_password=env.get("PACHYDERM_SQL_PASSWORD") or "",
        notify_url=env.get("TRUNKLINE_NOTIFY_URL") or "",
        notify_states=env.get("TRUNKLINE_NOTIFY_STATES") or "",
        notify_key=env.get("TRUNKLINE_NOTIFY_KEY") or "",
        notify_retry_s=_number(env, "TRUNKLINE_NOTIFY_RETRY_S", 5.0),
        egress_retry_s=_number(env, "TRUNKLINE_EGRESS_RETRY_S", 5.0, zero=True),
        output_bytes_max=_whole(env, "TRUNKLINE_OUTPUT_BYTES_MAX"),
        workers_max=_whole(env, "TRUNKLINE_WORKERS_MAX", of=" of workers") or 64,
        cpus=_number(env, "TRUNKLINE_CPUS", 0.0, of="of cores") or None,
        memory_bytes=_whole(env, "TRUNKLINE_MEMORY_BYTES"),
        gpus=env.get("TRUNKLINE_GPUS"),
        log_bytes_max=_whole(env, "TRUNKLINE_LOG_BYTES_MAX") or 16 * 1024 * 1024,
        fetch_allow=env.get("TRUNKLINE_FETCH_ALLOW") or "",
        fetch_bytes_max=_whole(env, "TRUNKLINE_FETCH_BYTES_MAX") or 1 << 40,
        fetch_seconds_max=_number(env, "TRUNKLINE_FETCH_SECONDS_MAX", 6 * 3600.0),
        git_poll_s=_number(env, "TRUNKLINE_GIT_POLL_S", 60.0, zero=True),
        http_proxy=_either(env, "http_proxy") or _either(env, "all_proxy"),
        https_proxy=_either(env, "https_proxy") or _either(env, "all_proxy"),
        no_proxy=_either(env, "no_proxy"),
        store=env.get("TRUNKLINE_STORE") or "",
        store_cache_bytes=_whole(env, "TRUNKLINE_STORE_CACHE_BYTES") or 10 << 30,
        object_store_http=_is_plain_http(env),
        archive_bytes_max=_whole(env, "TRUNKLINE_ARCHIVE_BYTES_MAX") or 1 << 40,
        archive_ratio_max=_whole(env, "TRUNKLINE_ARCHIVE_RATIO_MAX", "") or 200,
        archive_entries_max=_whole(env, "TRUNKLINE_ARCHIVE_ENTRIES_MAX", "") or 10_000_000,
    )


def _home_path(env: Mapping[str, str], user: str, home: str | os.PathLike[str] | None) -> str:
    """The data directory: the one that is given, or that of the environment."""
    data = env.get("XDG_DATA_HOME") or os.path.join(user, ".local", "share")
    chosen = (os.fspath(home) or ".") if home is not None else env.get("TRUNKLINE_HOME")
    return os.path.abspath(chosen or os.path.join(data, "trunkline"))


def _is_plain_http(env: Mapping[str, str]) -> bool:
    """Whether object stores are named that speak no TLS."""
    return any(env.get(name, "").lower().startswith("http://") for name in _ENDPOINTS)


def _either(env: Mapping[str, str], name: str) -> str:
    """A variable that other programs read too, in small letters or in capitals.

    Scripts of a web server (CGI) get a caller's headers as variables in capitals: there not those.
    """
    return env.get(name) or ("" if "REQUEST_METHOD" in env else env.get(name.upper())) or ""


def _choice(env: Mapping[str, str], name: str, *words: str) -> str:
    """One of some words, of which the first is the default."""
    chosen = env.get(name) or words[0]
    if chosen not in words:
        listed = f"{', '.join(words[:-1])} or {words[-1]}"
        raise InvalidInput(f"{name} is {chosen!r}; it must be {listed}")
    return chosen


def _number(
    env: Mapping[str, str], name: str, default: float, *, zero: bool = False, of: str = "of seconds"
) -> float:
    text = env.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError as error:
        raise InvalidInput(f"{name} is {text!r}; it must be a number {of}") from error
    if not (0 < value < 1e9 or (zero and value == 0)):
        raise InvalidInput(f"{name} is {text!r}; it must be a positive number {of}")
    return value


def _whole(env: Mapping[str, str], name: str, of: str = " of bytes") -> int | None:
    text = env.get(name)
    if not text:
        return None
    if not text.isdecimal() or int(text) == 0:
        raise InvalidInput(f"{name} is {text!r}; it must be a whole number{of}")
    return int(text)


def workers_key(environment: Mapping[str, str] | None = None) -> str:
    """What workers show that come from elsewhere; empty where it is in a file."""
    return (os.environ if environment is None else environment).get("TRUNKLINE_WORKERS_KEY") or ""


def packages_variables() -> dict[str, str]:
    """What uv is told of where packages come from; nothing that is a place on this machine."""
    return {name: value for name, value in os.environ.items() if name.startswith(_OF_PACKAGES)}


def take_packages_variables(told: Mapping[str, str]) -> None:
    """What another machine is told of them counts here too, but for what is said here."""
    for name, value in told.items():
        if name.startswith(_OF_PACKAGES):
            os.environ.setdefault(name, value)


def datum_door() -> str:
    """Where user code asks for its next datum; empty outside of pipelines with datum_batching."""
    return os.environ.get("TRUNKLINE_NEXT_DATUM", "")


def users_shell() -> str:
    """The shell that the user prefers, if it is there."""
    wanted = os.environ.get("SHELL", "")
    return wanted if os.access(wanted, os.X_OK) else "/bin/sh"


def terminal_kind() -> str:
    """What programs take the user's terminal for."""
    return os.environ.get("TERM", "dumb")


def has_display() -> bool:
    """Whether a browser that is started here has a screen to show itself on."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform == "darwin" or any(os.environ.get(name) for name in screens)


def importing_pipeline() -> bool:
    """Whether the code of a pipeline is being imported to run it; see `runtimes/function.py`."""
    return "TRUNKLINE_IMPORTING" in os.environ


def environment_for(config: Config) -> dict[str, str]:
    """The environment of a process that must work on the same data directory."""
    return {**os.environ, "TRUNKLINE_HOME": config.home_path}
