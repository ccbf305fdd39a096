"""`reptile demo`: the browser demo, served on this machine."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from supervised_reptile.cli.checkpoint_option import checkpoint_option
from supervised_reptile.errors import counted

if TYPE_CHECKING:
    from supervised_reptile.runs.snapshot import Snapshot


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@checkpoint_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    help="Port to serve on; 0 chooses a free one.",
)
def demo(checkpoint: str | None, port: int) -> None:
    """Serve the browser demo: draw examples of a few characters, then one more to classify.

    The network adapts to your drawings in the browser. The page is served to this machine only,
    loads nothing from elsewhere and sends nothing. Ctrl-C stops the server.
    """
    from supervised_reptile.inference.demo_server import HOST, make_server, read_site
    from supervised_reptile.inference.export import web_files
    from supervised_reptile.runs.open_weights import open_snapshot
    from supervised_reptile.system.package_files import web_folder

    read_site(web_folder())  # report a missing page before importing TensorFlow
    snapshot = open_snapshot(checkpoint)
    check_drawable(snapshot)
    model = {f"model/{name}": content for name, content in web_files(snapshot).items()}
    with make_server(read_site(web_folder(), model), port) as server:
        click.echo(f"The demo is at http://{HOST}:{server.server_address[1]}/ (Ctrl-C ends it)")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    click.echo()


def check_drawable(snapshot: Snapshot) -> None:
    """Refuse weights that cannot read what is drawn on the page (UserError)."""
    from supervised_reptile.errors import UserError

    net = snapshot.net
    if net["pooling"] or list(net["image_shape"]) != [28, 28, 1]:
        height, width, channels = net["image_shape"]
        raise UserError(
            "the page draws as in Omniglot, 28x28 in black and white; these weights are for "
            f"{height}x{width} images of {counted(channels, 'channel')}: "
            "give a --checkpoint of Omniglot"
        )
    if not snapshot.drawings:
        raise UserError(
            "these weights were not trained on black-and-white drawings like those of the page: "
            "give a --checkpoint of Omniglot"
        )
    if net["way"] < 2:
        raise UserError("these weights know only one class; the demo needs two or more")
