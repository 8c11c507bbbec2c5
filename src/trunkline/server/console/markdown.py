"""Markdown of users as HTML: nothing in it is taken for HTML, and nothing is loaded from elsewhere.

Links may lead anywhere but to scripts and data. Those without a host, and pictures, are of the same
commit; a picture from elsewhere becomes a link.
"""

from collections.abc import Callable, Sequence
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

Address = Callable[[str], str]  # of a path that is relative to the document

_PARSER = MarkdownIt("js-default", {"html": False, "linkify": False})


def to_html(text: str, page_of: Address, content_of: Address) -> Markup:
    """The document as HTML; links lead to `page_of` a path, pictures show `content_of` it."""
    tokens = _PARSER.parse(text)
    for token in tokens:
        for child in token.children or ():
            if child.type == "link_open":
                _point(child, page_of)
            elif child.type == "image":
                _show(child, content_of)
    renderer = _PARSER.renderer
    assert isinstance(renderer, RendererHTML)
    # It is HTML of our own making: what was HTML in the text was escaped.
    return Markup(renderer.render(tokens, _PARSER.options, {}))  # noqa: S704


def _point(token: Token, page_of: Address) -> None:
    target = str(token.attrs.get("href", ""))
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        token.attrs |= {"rel": "noopener noreferrer nofollow", "target": "_blank"}
    elif parts.path:
        token.attrs["href"] = page_of(unquote(parts.path))


def _show(token: Token, content_of: Address) -> None:
    target = str(token.attrs.get("src", ""))
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or not parts.path:
        token.type, token.tag, token.nesting = "text", "", 0
        token.content = f"[{_alternative(token.children or ())}: {target}]"
        token.attrs, token.children = {}, None
    else:
        token.attrs["src"] = content_of(unquote(parts.path))


def _alternative(tokens: Sequence[Token]) -> str:
    return "".join(token.content for token in tokens) or "picture"
