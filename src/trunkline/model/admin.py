"""Versions, status and check reports of an installation as values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerVersion:
    version: str
    format: int  # of the data directory


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    version: str
    pid: int
    home: str
    address: str
    uptime_s: float
    repos: int
    pipelines: int
    jobs_running: int
    workers: int
    stored_bytes: int  # size of all packs
    free_bytes: int  # left on the device of the data directory
    isolation: str  # how the process runtime gives user code its /pfs


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One thing that is wrong, and where a user would meet it."""

    thing: str
    problem: str
    hits: tuple[str, ...]  # repo@commit:/path, at most 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FsckReport:
    commits: int
    files: int
    chunks: int
    bytes_read: int
    damages: tuple[Damage, ...]
