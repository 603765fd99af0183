"""`carillon`: the operator's command.

Place: the outermost layer. Each command parses its options here and does its work in the module
of its name, imported when it is needed so that `carillon --help` is quick. This module turns
failures into one line on standard error and exit status 1.
"""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.account_commands import keys, tenants
from cli.failure import Failure
from cli.screen import ERR, OUT
from core.errors import CarillonError, StoreUnavailable
from core.settings import ROOT, environment, state_directory

commands = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Operate Carillon: one cluster, many models, one governed API.",
)
commands.add_typer(keys, name="keys")
commands.add_typer(tenants, name="tenants")

Config = Annotated[Path, typer.Argument(help="The file that says what is served.", dir_okay=False)]
DEFAULT_CONFIG = ROOT / "serve_config.yaml"
CHANGES = 2
"""Exit status of `plan` when there is something to do."""


def app() -> None:
    """Entry point: failures that people can act on are one line, not a traceback."""
    try:
        commands()
    except StoreUnavailable as error:
        ERR.print(f"carillon: {error}. Is Carillon running? Start it with: make serve")
        sys.exit(1)
    except (Failure, CarillonError) as error:
        ERR.print(f"carillon: {error}", style="red")
        sys.exit(1)


@commands.command()
def up(
    config: Config = DEFAULT_CONFIG,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="HTTP port [CARILLON_PORT, else the file's]."),
    ] = None,
) -> None:
    """Start everything in the foreground; Ctrl-C stops it."""
    from cli.up import Up

    Up(config, port or _port_from_environment(), state_directory()).run()


@commands.command()
def down() -> None:
    """Stop exactly what `up` started, also after it was killed."""
    from cli import down as module

    module.down(state_directory())


@commands.command()
def status() -> None:
    """Show applications, replicas, stores and the ledger."""
    from cli.status import show_status

    raise typer.Exit(0 if show_status(state_directory()) else 1)


@commands.command()
def check(config: Config = DEFAULT_CONFIG) -> None:
    """Judge a configuration strictly; needs no cluster."""
    from cli import deploy as module

    module.check(config)
    OUT.print(f"{config} is valid.")


@commands.command()
def plan(config: Config = DEFAULT_CONFIG) -> None:
    """Say what a configuration would restart. Exit status 0: nothing changes; 2: something."""
    from cli.deploy import show_plan

    raise typer.Exit(CHANGES if show_plan(config, state_directory()) else 0)


@commands.command()
def deploy(
    config: Config = DEFAULT_CONFIG,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove what the file lacks.")] = False,
) -> None:
    """Check a configuration and apply it to the running cluster."""
    from cli import deploy as module

    module.deploy(config, state_directory(), yes=yes)


@commands.command()
def scale(
    application: Annotated[str, typer.Argument(help="As in the configuration.")],
    replicas: Annotated[str, typer.Argument(help="A number, or a range such as 0-2.")],
) -> None:
    """Give one model more or fewer replicas, now."""
    from cli.scale import scale

    scale(application, replicas, state_directory())


@commands.command()
def prepare() -> None:
    """Make tables, pepper and the first key in the stores of DATABASE_URL and REDIS_URL.

    `up` does this by itself; clusters of several machines need it once.
    """
    from cli import accounts

    OUT.print(f"The operator's API key is in {accounts.prepare(state_directory())}")


@commands.command()
def backup(to: Annotated[Path, typer.Argument(help="File to write: .tar.gz, mode 0600.")]) -> None:
    """Write the database, the secrets and local media to one file."""
    from cli.backup import back_up

    OUT.print(f"{back_up(state_directory(), to)} is written. It holds secrets: keep it like one.")


@commands.command()
def restore(backup: Annotated[Path, typer.Argument(help="File that `backup` wrote.")]) -> None:
    """Make an installation of a backup, in an empty state directory."""
    from cli import backup as module

    made = module.restore(state_directory(), backup)
    OUT.print(f"Restored what was there on {made:%Y-%m-%d %H:%M} UTC. Start it with: make serve")


@commands.command()
def archive(
    month: Annotated[str, typer.Argument(help="A month that is over, as 2026-08.")],
    to: Annotated[Path, typer.Argument(help="File to write: .csv.gz.")],
    keep: Annotated[bool, typer.Option("--keep", help="Leave the rows in the database.")] = False,
) -> None:
    """Take a month of the ledger out of the database, into a file."""
    from cli import ledger_archive
    from cli.accounts import choose_embedded

    choose_embedded(state_directory())
    rows = ledger_archive.archive(month, to, keep=keep)
    OUT.print(f"{rows} rows are in {to}" + ("." if keep else ", and no longer in the database."))


@commands.command()
def reconcile(
    day: Annotated[
        str | None, typer.Option(help="As 2026-08-31, UTC; yesterday when not said.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Drift that is not an error, as a share.")
    ] = 0.001,
) -> None:
    """Compare the ledger with what engines counted. Exit status 1: they drift apart."""
    from cli.accounts import choose_embedded
    from cli.reconcile import reconcile

    choose_embedded(state_directory())
    raise typer.Exit(0 if reconcile(day, tolerance) else 1)


@commands.command("env")
def show_environment() -> None:
    """Print what Ray's own tools need: eval "$(carillon env)"; serve status."""
    from cli.environment import exports

    OUT.print(exports(state_directory()))


@commands.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(context: typer.Context) -> None:
    """Measure against the peers; options go to the benchmark."""
    command = [sys.executable, "-m", "benchmarks", *context.args]
    raise typer.Exit(subprocess.run(command, cwd=ROOT, check=False).returncode)


def _port_from_environment() -> int | None:
    text = environment("CARILLON_PORT")
    if text is None:
        return None
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise Failure(f"CARILLON_PORT must be a port number, not {text!r}")
    return int(text)


if __name__ == "__main__":
    app()
