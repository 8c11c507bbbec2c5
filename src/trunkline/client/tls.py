"""Talking to servers over https: whom they have to be vouched for by, and what may go wrong.

`ssl` takes as long to load as all the rest of a short command, and few need it.
"""

import socket
from typing import TYPE_CHECKING

from trunkline.client.address import HttpAddress
from trunkline.errors import InvalidInput

if TYPE_CHECKING:
    import ssl

_PROBE_S = 5.0
# Numbers that OpenSSL gives to what is wrong with a certificate.
_NOT_YET, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64
_UNTRUSTED = (2, 18, 19, 20, 21)


def trusting(ca_file: str | None) -> "ssl.SSLContext":
    """What connections begin with: the file says who is trusted, else the machine.

    Raises InvalidInput for a file that can't be used.
    """
    import ssl

    try:
        context = ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise InvalidInput(
            f"{ca_file} is no PEM file with certificates; it is to say who vouches for the server "
            "(--ca-file, TRUNKLINE_CA_FILE)"
        ) from error
    except OSError as error:
        raise InvalidInput(
            f"can't read {ca_file}, which is to say who vouches for the server (--ca-file, "
            f"TRUNKLINE_CA_FILE): {error.strerror}"
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def refusal(error: OSError, name: str, address: HttpAddress) -> tuple[str, str] | None:
    """Why TLS did not come about and what to do, if that is what the error says.

    `name` is what the server's certificate was to be for.
    """
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return _distrust(error.verify_code, error.verify_message, name)
    if not isinstance(error, ssl.SSLError):
        return None
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        plain = HttpAddress(host=address.host, port=address.port)
        return "it does not speak TLS", f"if it is the right one, its address is {plain}"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "it closed the connection before TLS came about", "check the address"
    return f"TLS did not come about ({error.reason or error})", "check the address"


def _distrust(code: int, message: str, host: str) -> tuple[str, str]:
    if code == _EXPIRED:
        return "its certificate has expired", "whoever runs it has to renew that"
    if code == _NOT_YET:
        return "its certificate is not valid yet", "check the clocks of both machines"
    if code in (_OTHER_NAME, _OTHER_ADDRESS):
        return (
            f"its certificate is not for '{host}'",
            "use a name that the certificate has, or have one made for this name",
        )
    if code in _UNTRUSTED:
        return (
            "its certificate is vouched for by nobody whom this machine trusts",
            "if its authority is your own, name the certificate of that with `connect --ca-file` "
            "or TRUNKLINE_CA_FILE",
        )
    return f"its certificate is not accepted ({message})", "whoever runs it has to renew that"


def speaks_tls(address: HttpAddress) -> bool:
    """Whether a server that does not answer in HTTP does so in TLS, whoever it is."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is told to it
    try:
        with (
            socket.create_connection((address.host, address.port), _PROBE_S) as plain,
            context.wrap_socket(plain, server_hostname=address.host),
        ):
            return True
    except OSError:
        return False
