"""Sounds and films: the browser asks for the parts that it plays."""

from trunkline.server.console.media import FILMS, SOUNDS
from trunkline.server.console.preview import Preview, Subject

ORDER = 100


def suits(subject: Subject) -> bool:
    return subject.suffix in SOUNDS or subject.suffix in FILMS


def preview(subject: Subject) -> Preview:
    is_film = subject.suffix in FILMS
    label = "film" if is_film else "sound"
    return Preview(template="files/media.html", label=label, context={"is_film": is_film})
