"""Addresses of single files, and tokens of single repos, for who has no token of the server: each
says by a signature that it was given out.

    <server>/signed/<signature>/files/<repo>/<commit>/<path as one segment>[/<path below it>]
    <server>/signed/<signature>/tar/<repo>/<commit>/<path as one segment>/<any name>.tar
    <server>/signed/<signature>/out/<job>/<datum>/<path>

Slashes within a segment are written as %2F. A commit never changes, so neither does what is at an
address of the first two kinds; the third takes what a datum puts out, while it is at work.
"""

import hashlib
import hmac
from urllib.parse import quote, unquote

from trunkline.values import dataclass

PLACE = "signed"
READ, TAR, OUT = "files", "tar", "out"
_REPO = "repo"  # what the token of one begins with
_DIGITS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Makes the addresses below a server's own, and knows them again."""

    key: bytes
    server: str = ""  # such as http://trunkline:30650

    def file_url(self, repo: str, commit: str, path: str) -> str:
        """Of a file, or of a directory, to which paths below it can be added."""
        return self._url(READ, repo, commit, path or "/")

    def tar_url(self, repo: str, commit: str, path: str, name: str) -> str:
        """Of all below a directory as an archive; the name is for those who look at its end."""
        return f"{self._url(READ, repo, commit, path or '/', kind=TAR)}/{quote(name)}.tar"

    def output_url(self, job: str, datum: str) -> str:
        """To which the paths of output files can be added."""
        return self._url(OUT, job, datum)

    def repo_token(self, repo: str) -> str:
        """A token that is good for the files and commits of one repo."""
        return f"{_REPO}.{quote(repo, safe='')}.{self._signature(_REPO, (repo,))}"

    def repo_of(self, token: str) -> str | None:
        """The repo that such a token is good for; None for any other token."""
        kind, _, rest = token.partition(".")
        name, _, signature = rest.rpartition(".")
        repo = unquote(name)
        return repo if kind == _REPO and self.knows(signature, _REPO, repo) else None

    def knows(self, signature: str, what: str, *words: str) -> bool:
        """Whether it gave out an address with these words."""
        return hmac.compare_digest(self._signature(what, words).encode(), signature.encode())

    def _url(self, what: str, *words: str, kind: str = "") -> str:
        signature = self._signature(what, words)
        parts = [PLACE, signature, kind or what, *(quote(word, safe="") for word in words)]
        return "/".join([self.server.rstrip("/"), *parts])

    def _signature(self, what: str, words: tuple[str, ...]) -> str:
        text = "\n".join(["trunkline address 1", what, *words])
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()[:_DIGITS]
