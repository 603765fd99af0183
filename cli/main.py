"""`carillon`: the operator's command.

Place: the outermost layer. Each command parses its options here and does its work in the module
of the same name, imported when it is needed so that `carillon --help` is quick. This module
turns failures into one line on standard error and exit status 1.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.failure import Failure
from cli.screen import ERR
from core.errors import CarillonError
from core.settings import ROOT, environment, state_directory

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Operate Carillon.")

Config = Annotated[Path, typer.Argument(help="What to serve.", dir_okay=False)]
DEFAULT_CONFIG = ROOT / "serve_config.yaml"


def main() -> None:
    """Entry point: failures that people can act on are one line, not a traceback."""
    try:
        app()
    except (Failure, CarillonError) as error:
        ERR.print(f"carillon: {error}", style="red")
        sys.exit(1)


@app.command()
def up(
    config: Config = DEFAULT_CONFIG,
    port: Annotated[
        int | None, typer.Option(help="HTTP port; the file's when not given [CARILLON_PORT].")
    ] = None,
) -> None:
    """Start everything in the foreground; Ctrl-C stops it."""
    from cli.up import Up

    Up(config, port or _port_from_environment(), state_directory()).run()


@app.command()
def down() -> None:
    """Stop exactly what `up` started, also after it was killed."""
    from cli.down import down as stop

    stop(state_directory())


def _port_from_environment() -> int | None:
    text = environment("CARILLON_PORT")
    if text is None:
        return None
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise Failure(f"CARILLON_PORT must be a port number, not {text!r}")
    return int(text)


if __name__ == "__main__":
    main()
