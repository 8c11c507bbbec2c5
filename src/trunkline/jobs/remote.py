"""A worker that is no process of the server's machine: it connects to the server's door.

Run as `python -m trunkline.jobs.remote --door HOST:PORT --name NAME --home DIRECTORY`. The
directory is as the server has it, as far as a worker needs it: `store`, `cache`, `secrets`, `door`;
or it is empty, and the worker asks for places and secrets, and reads and writes packs in a bucket.
"""

import argparse
import json
import logging
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from trunkline.config import take_packages_variables, workers_key
from trunkline.errors import TrunklineError
from trunkline.jobs.channel import Channel
from trunkline.jobs.door import given_key, keep_alive, places_of, proof, read_key
from trunkline.jobs.tunnel import Tunnel
from trunkline.jobs.worker import WorkerSettings, work
from trunkline.store.claims import take_record

PATIENCE_S = 60.0  # for the server to be there
_PAUSE_S = 0.5
_ANSWER_S = 20.0
_LINE_BYTES_MAX = 64 * 1024

_log = logging.getLogger("trunkline.worker")


class NotLetIn(Exception):
    """The server does not want this worker; the text says why."""


def connect(
    door: str, name: str, key: bytes, *, patience_s: float, tunnel: Tunnel | None = None
) -> tuple[socket.socket, dict[str, str]]:
    """A line to the scheduler, with the settings of the worker; through a tunnel, if the door
    speaks TLS. Raises NotLetIn and OSError.
    """
    host, _, port = door.rpartition(":")
    until = time.monotonic() + patience_s
    while True:
        try:
            connection = socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S)
            break
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(_PAUSE_S)
    try:
        keep_alive(connection)
        if tunnel is not None:
            connection = tunnel.enter(connection)
            connection.settimeout(_ANSWER_S)
        nonce = str(_heard(connection)["nonce"])
        answer = {"name": name, "proof": proof(key, name, nonce)}
        connection.sendall(json.dumps(answer).encode() + b"\n")
        told = _heard(connection)
        if "refused" in told:
            raise NotLetIn(told["refused"])
        connection.settimeout(None)
        return connection, told["settings"]
    except BaseException:
        connection.close()
        raise


def _heard(connection: socket.socket) -> dict[str, Any]:
    """One line; a byte at a time, as what follows it belongs to somebody else."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte or len(line) > _LINE_BYTES_MAX:
            raise ConnectionError("the server's door says nothing that makes sense")
        line += byte
    try:
        said = json.loads(line)
    except ValueError as error:
        raise ConnectionError("the server's door says nothing that makes sense") from error
    return dict(said)


def main() -> int:
    """Entry point of the process; gives its exit status."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    given = _arguments()
    home = Path(given.home)
    tunnel: Tunnel | None = None
    try:
        told = workers_key()
        key = given_key(told) if told else read_key(home / "door")
        if given.tls_name:
            tunnel = Tunnel(given.tls_name, Path(given.ca_file) if given.ca_file else None)

        def come(name: str) -> tuple[socket.socket, dict[str, str]]:
            return connect(given.door, name, key, patience_s=PATIENCE_S, tunnel=tunnel)

        connection, settings = come(given.name)
        places: socket.socket | None = None
        if settings.get("store"):
            take_record(home / "store", settings["store"])
            places, _ = come(places_of(given.name))
    except NotLetIn as error:
        _log.error("worker %s was not let in: %s", given.name, error)
        return 3
    except (OSError, TrunklineError) as error:
        _log.error("worker %s can't reach its server at %s: %s", given.name, given.door, error)
        return 4
    _log.info("worker %s works for the server at %s", given.name, given.door)
    own = replace(
        WorkerSettings.parse(settings),
        name=given.name,
        home=str(home),
        pod=given.pod,
        secret_places="\n".join(given.secret),
    )
    take_packages_variables(json.loads(own.packages or "{}"))
    try:
        work(Channel(connection), own, places=places)
    finally:
        if tunnel is not None:
            connection.close()
            if places is not None:
                places.close()
            tunnel.close()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="trunkline.jobs.remote", description=__doc__)
    parser.add_argument("--door", required=True, metavar="HOST:PORT")
    parser.add_argument("--name", required=True)
    parser.add_argument("--home", required=True, metavar="DIRECTORY")
    parser.add_argument("--tls-name", default="", metavar="HOST")
    parser.add_argument("--ca-file", default="", metavar="FILE")
    parser.add_argument("--pod", default="", metavar="DIRECTORY")
    parser.add_argument("--secret", action="append", default=[], metavar="DIRECTORY")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
