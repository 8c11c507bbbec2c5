"""What every answer of the console tells the browser about itself.

Nothing is loaded from elsewhere, no script or style stands in a page, nobody may frame one. The
referrer stays within the server, and is not left out altogether: the browser would then not say
either where a form comes from (`Origin: null`), which is checked.
"""

Headers = list[tuple[bytes, bytes]]

_EVERYWHERE: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_PAGE = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"media-src 'self'; connect-src 'self'; frame-src 'self'; form-action 'self'; "
    b"base-uri 'none'; frame-ancestors 'none'"
)
# Whatever is in a file of a user: it runs nothing, loads nothing and has no origin.
_CONTENT = b"sandbox; default-src 'none'; frame-ancestors 'self'"


def page_headers(*, kept: bool = True) -> Headers:
    """Of a page, or a piece of one, which the browser may have `kept` until it asks anew."""
    return [
        *_EVERYWHERE,
        (b"content-security-policy", _PAGE),
        (b"x-frame-options", b"DENY"),
        (b"cache-control", b"private, no-cache" if kept else b"no-store"),
    ]


def content_headers() -> Headers:
    """Of what somebody put into a repo."""
    return [
        *_EVERYWHERE,
        (b"content-security-policy", _CONTENT),
        (b"cache-control", b"private, no-cache"),
    ]


def static_headers() -> Headers:
    """Of our own files, whose addresses change with what is in them."""
    return [*_EVERYWHERE, (b"cache-control", b"public, max-age=31536000, immutable")]
