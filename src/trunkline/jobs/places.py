"""A worker asks its server where chunks are, and tells it what it has stored.

Where several servers share an index, it is in a database that workers have no access to. Each
worker has a line of its own to a thread of the server for that, beside the one to the scheduler:
one request and one answer at a time. A hold of the worker is one of the server, which ends with the
line at the latest.

worker → server: `find`, `known`, `claim` (digests), `publish` (places, sealed), `hold`, `end`, and
`secret` from a worker without the server's disk.
server → worker: `found`, `hold`, `secret`, or `unavailable` with a sentence.
"""

import itertools
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from trunkline.errors import NotFound, TrunklineError, Unavailable
from trunkline.jobs.channel import Channel, ChannelClosed, Message
from trunkline.jobs.secrets import SecretStore
from trunkline.store.epochs import Hold
from trunkline.store.opening import Joined
from trunkline.store.packs import Location

_BATCH = 20_000  # digests in a message


def serve(line: socket.socket, store: Joined, secrets: SecretStore) -> None:
    """Answer one worker, in a thread that ends with its line."""
    lent = Lent(store, secrets)
    threading.Thread(
        target=_serve, args=(Channel(line), lent), name="trunkline-places", daemon=True
    ).start()


class Lent(NamedTuple):
    """What a server answers out of."""

    store: Joined
    secrets: SecretStore


class AskedPlaces:
    """The index as a worker sees it, and the holds of its server. See `Index` and `Holds`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._lock = threading.Lock()

    def find(self, digests: Sequence[bytes]) -> dict[bytes, Location]:
        found = (_read(place) for place in self._each("find", digests))
        return {place.digest: place for place in found}

    def known(self, digests: Sequence[bytes]) -> set[bytes]:
        return {bytes.fromhex(digest) for digest in self._each("known", digests)}

    def claim(self, digests: Sequence[bytes]) -> set[bytes]:
        return {bytes.fromhex(digest) for digest in self._each("claim", digests)}

    def publish(self, places: Sequence[Location], *, sealed: str | None) -> None:
        self._ask({"ask": "publish", "places": [_told(p) for p in places], "sealed": sealed})

    def begin(self) -> Hold:
        return Hold(self._end, int(self._ask({"ask": "hold"})["hold"]))

    def _end(self, number: int) -> None:
        self._ask({"ask": "end", "hold": number})

    def secret(self, name: str) -> str:
        """A secret as it is kept; empty if there is none."""
        return str(self._ask({"ask": "secret", "name": name})["secret"])

    def close(self) -> None:
        self._channel.close()

    def _each(self, what: str, digests: Sequence[bytes]) -> Iterator[Any]:
        for start in range(0, len(digests), _BATCH):
            asked = [digest.hex() for digest in digests[start : start + _BATCH]]
            yield from self._ask({"ask": what, "digests": asked})["found"]

    def _ask(self, request: Message) -> Message:
        try:
            with self._lock:
                self._channel.send(request)
                answer = self._channel.receive()
        except (ChannelClosed, OSError) as error:
            raise Unavailable("the server of this worker is gone") from error
        if "unavailable" in answer:
            raise Unavailable(answer["unavailable"])
        return answer


def _serve(channel: Channel, lent: Lent) -> None:
    with ExitStack() as ending:
        ending.callback(channel.close)
        held: dict[int, Hold] = {}
        ending.callback(_end_all, held)
        try:
            for number in itertools.count():
                request = channel.receive()
                try:
                    answer = _answer(lent, request, held, number)
                except TrunklineError as error:
                    answer = {"unavailable": str(error)}
                channel.send(answer)
        except ChannelClosed:
            pass  # the worker is gone


def _end_all(held: dict[int, Hold]) -> None:
    for hold in held.values():
        hold.end()


def _answer(lent: Lent, request: Message, held: dict[int, Hold], number: int) -> Message:
    store = lent.store
    match request["ask"]:
        case "secret":
            try:
                return {"secret": lent.secrets.document(request["name"])}
            except NotFound:
                return {"secret": ""}
        case "hold":
            held[number] = store.holds.begin()
            return {"hold": number}
        case "end":
            held.pop(request["hold"]).end()
            return {}
        case "publish":
            places = [_read(place) for place in request["places"]]
            store.places.publish(places, sealed=request["sealed"])
            return {}
    digests = [bytes.fromhex(digest) for digest in request["digests"]]
    match request["ask"]:
        case "find":
            return {"found": [_told(place) for place in store.places.find(digests).values()]}
        case "known":
            return {"found": [digest.hex() for digest in store.places.known(digests)]}
        case _:
            return {"found": [digest.hex() for digest in store.places.claim(digests)]}


def _told(place: Location) -> list[Any]:
    return [place.digest.hex(), *place[1:]]


def _read(told: list[Any]) -> Location:
    digest, pack, offset, stored, size = told
    return Location(bytes.fromhex(digest), pack, offset, stored, size)
