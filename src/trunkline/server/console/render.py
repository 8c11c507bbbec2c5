"""Templates: escaping, and what all of them can say."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from trunkline.server.console import ansi, urls, words
from trunkline.server.console.assets import Assets
from trunkline.server.console.routes import Table

_HERE = Path(__file__).parent


class Renderer:
    """Makes HTML of templates; everything in it that is not a template's own is escaped."""

    def __init__(self, table: Table, *, version: str) -> None:
        self.assets = Assets(_HERE / "static")
        self._table = table
        environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.filters |= {
            "size": words.size,
            "count": words.count,
            "span": words.span,
            "ago": words.ago,
            "short": words.short,
            "clock": words.clock,
            "shell": words.shell,
            "brief": words.brief,
            "setting": words.setting,
            "coloured": ansi.coloured,
            "plain": ansi.plain,
        }
        environment.globals |= {
            "url": urls,
            "asset": self.assets.url,
            "link": self.link,
            "answers": self.answers,
            "navigation": table.navigation,
            "version": version,
        }
        environment.globals["ui"] = environment.get_template("macros.html").module
        self._environment = environment

    def render(self, template: str, context: Mapping[str, object]) -> str:
        return self._environment.get_template(template).render(context)

    def link(self, to: str, text: str, css: str = "") -> Markup:
        """A link, or the text alone where no page answers the address (yet)."""
        css = css or "quiet"
        if not self.answers(to):
            return Markup('<span class="{}">{}</span>').format(css, text)
        return Markup('<a class="{}" href="{}">{}</a>').format(css, to, text)

    def answers(self, address: str) -> bool:
        """Whether there is a page at an address."""
        return self._table.find("GET", unquote(urlsplit(address).path)) is not None
