"""The command that opens the console in a browser."""

from trunkline.cli.command import command, option
from trunkline.cli.output import note, write
from trunkline.cli.session import current


@command(examples=["ui", "ui --no-browser"])
@option("--no-browser", is_flag=True, help="Print the address instead of opening it.")
def ui(no_browser: bool) -> None:
    """Open the console, which shows data, pipelines and jobs, in a browser.

    The address that it opens logs in once, within five minutes. A local server is reached through
    port 30080 of this machine, if that is free.
    """
    from trunkline import config
    from trunkline.connect.opening import open_client

    client = open_client(config.load(), context=current().context)
    try:
        address = client.console_address()
    finally:
        client.close()
    if not no_browser and config.has_display():
        import webbrowser

        if webbrowser.open(address):
            note(f"the console is at {address.partition('/login/')[0]}/")
            return
    write(address)
