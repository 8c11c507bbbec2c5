"""Which contents a browser may show in a page, by the ends of their names.

None of these can hold a script that a page would run, but SVG: that is shown by `<img>`, which runs
none, and is to be saved wherever else it is asked for.
"""

PICTURES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "ico": "image/x-icon",
    "svg": "image/svg+xml",
}
SOUNDS = {
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "oga": "audio/ogg",
    "opus": "audio/ogg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "aac": "audio/aac",
}
FILMS = {"mp4": "video/mp4", "m4v": "video/mp4", "webm": "video/webm", "ogv": "video/ogg"}
DOCUMENTS = {"pdf": "application/pdf"}  # viewers of browsers have a process of their own
TYPES = {**PICTURES, **SOUNDS, **FILMS, **DOCUMENTS}
SAVED = ("svg",)  # to be saved by whoever does not show it as a picture
