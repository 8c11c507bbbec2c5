"""`trunkline ui` against the local server, which it starts like any other command."""

import http.client
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit


def test_the_printed_address_logs_in_once_on_the_users_own_server(
    command: Callable, tmp_path: Path
) -> None:
    command("trunkline", "create", "repo", "my-data", cwd=tmp_path)
    printed = command("trunkline", "ui", "--no-browser", cwd=tmp_path).stdout.strip()
    again = command("trunkline", "ui", "--no-browser", cwd=tmp_path).stdout.strip()

    address = urlsplit(printed)
    assert address.hostname == "127.0.0.1"
    assert urlsplit(again).netloc == address.netloc  # one listener, however often it is asked for
    connection = http.client.HTTPConnection(address.netloc, timeout=20)
    connection.request("GET", address.path)
    entered = connection.getresponse()
    entered.read()
    cookie = entered.headers["set-cookie"].partition(";")[0]
    connection.request("GET", "/ui/", headers={"Cookie": cookie})
    assert b"my-data" in connection.getresponse().read()
    connection.request("GET", "/api/v1/repos", headers={"Cookie": cookie})
    assert connection.getresponse().status == 401
    connection.close()
