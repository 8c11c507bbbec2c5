"""The heads that puts have left behind, so that the next put need not ask the catalog for them.

What is remembered is what somebody has seen, not what is so: branches are moved and deleted, and
trees rewritten, without a word to this. So whoever uses a head has it compared in the transaction
that makes the commit (`expected_head` and `expected_root` of `put_commit`), and asks the catalog
when anything at all goes wrong.
"""

import threading
from collections import OrderedDict

from trunkline.versions.commits import CommitRecord

_HEADS_MAX = 4096


class Heads:
    """The latest known heads of branches, by repo and branch. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[tuple[str, str], CommitRecord] = OrderedDict()
        self._era = 0

    @property
    def era(self) -> int:
        """To be read before the transaction that makes a head, and given to `remember` with it."""
        return self._era

    def of(self, repo: str, branch: str) -> CommitRecord | None:
        """A head that the branch had, finished; None if none is known."""
        return self._found.get((repo, branch))

    def remember(self, repo: str, branch: str, head: CommitRecord, *, era: int) -> None:
        """Nothing is remembered that may be from before the latest `forget_all`."""
        assert head.finished is not None, "a put makes commits that are finished"
        with self._lock:
            if era != self._era:
                return
            self._found[repo, branch] = head
            self._found.move_to_end((repo, branch))
            if len(self._found) > _HEADS_MAX:
                self._found.popitem(last=False)

    def forget(self, repo: str, branch: str) -> None:
        """What is known of a branch has turned out to be wrong."""
        with self._lock:
            self._found.pop((repo, branch), None)

    def forget_all(self) -> None:
        """Nobody is to go on with a tree that somebody saw before."""
        with self._lock:
            self._era += 1
            self._found.clear()
