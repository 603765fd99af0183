"""`carillon keys` and `carillon tenants`.

Place: options and tables only; `cli/accounts.py` reaches the directory, which has the rules.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.table import Table

from auth.accounts import ApiKey, KeyGrant, Tenant
from auth.directory import FIRST_PLAN, OPERATOR, Directory
from auth.principal import Scope
from cli.accounts import operator, with_directory
from cli.limit_words import limits_of, words_of
from cli.screen import OUT
from core.settings import parse, state_directory

keys = typer.Typer(no_args_is_help=True, help="API keys.")
tenants = typer.Typer(no_args_is_help=True, help="Tenants and their plans.")

TenantId = Annotated[str, typer.Option("--tenant", help="Tenant that owns the key.")]
PAGE = 100


@keys.command("create")
def create_key(
    tenant: TenantId = OPERATOR,
    name: Annotated[str, typer.Option(help="What people call the key.")] = "default",
    scope: Annotated[
        list[Scope] | None, typer.Option(help="Repeat for several [inference, usage].")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Allow only this model; repeat for several.")
    ] = None,
    requests_per_hour: Annotated[int | None, typer.Option(help="The key's own limit.")] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METER.SPAN=AMOUNT",
            help="A limit of the key's own, as plans.yaml words them: tokens.day=50000,"
            " money.month=25, concurrency=2, storage_gb=1. Repeat for several.",
        ),
    ] = None,
    expires_in_days: Annotated[float | None, typer.Option(help="Never when not given.")] = None,
    user: Annotated[str | None, typer.Option(help="Who uses it, for the ledger.")] = None,
    trusted: Annotated[
        bool, typer.Option("--trusted", help="Open WebUI may name, signed, the human behind it.")
    ] = False,
) -> None:
    """Make a key. It is shown once."""
    said = {
        "name": name,
        "scopes": scope or None,
        "allowed_models": model or None,
        "requests_per_hour": requests_per_hour,
        "limits": limits_of(limit) if limit else None,
        "expires_at": _in_days(expires_in_days),
        "user_id": user,
        "trusted": trusted,
    }
    grant = parse(KeyGrant, {k: v for k, v in said.items() if v is not None}, "the key")
    issued = with_directory(lambda d: d.keys.create(operator(), grant, tenant), state_directory())
    OUT.print(issued.secret.get_secret_value())


@keys.command("list")
def list_keys(tenant: TenantId = OPERATOR) -> None:
    """List a tenant's keys, without their secrets."""

    async def every(directory: Directory) -> list[ApiKey]:
        found: list[ApiKey] = []
        more = True
        while more:
            page = await directory.keys.list(tenant, found[-1].id if found else None, PAGE)
            found += page.items
            more = page.has_more
        return found

    table = _table("id", "name", "active", "scopes", "limits", "created", "last used", "expires")
    for key in with_directory(every, state_directory()):
        scopes = ", ".join(sorted(key.scopes))
        active = "yes" if key.is_active else "revoked"
        dates = (_date(key.created_at), _date(key.last_used_at), _date(key.expires_at))
        limits = ", ".join(words_of(key.limits, key.requests_per_hour)) or "-"
        table.add_row(key.id, key.name, active, scopes, limits, *dates)
    OUT.print(table)


@keys.command("revoke")
def revoke_key(
    key_id: str,
    tenant: TenantId = OPERATOR,
    keep_successors: Annotated[
        bool, typer.Option(help="Leave the keys that it rotated, itself among them.")
    ] = False,
) -> None:
    """End a key, the keys that it made and rotated, and its invitations, everywhere at once."""
    ended = with_directory(
        lambda d: d.keys.revoke(operator(), key_id, tenant, keep_successors=keep_successors),
        state_directory(),
    )
    OUT.print(f"{key_id} is revoked.")
    for key in ended.made:
        OUT.print(f"{key.id}, which it made or rotated, is revoked too.")
    for invitation_id in ended.invitations:
        OUT.print(f"Its invitation {invitation_id} is taken back.")
    for user_id in ended.members:
        OUT.print(f"{user_id} has joined by its invitation, and is a member still.")


@tenants.command("create")
def create_tenant(name: str, plan: str = FIRST_PLAN) -> None:
    """Make a tenant; prints its id."""
    tenant = with_directory(lambda d: d.create_tenant(name, plan), state_directory())
    OUT.print(tenant.id)


@tenants.command("list")
def list_tenants() -> None:
    """List tenants."""

    async def every(directory: Directory) -> list[Tenant]:
        found: list[Tenant] = []
        more = True
        while more:
            page = await directory.tenants(found[-1].id if found else None, PAGE)
            found += page.items
            more = page.has_more
        return found

    table = _table("id", "name", "plan", "active", "created")
    for tenant in with_directory(every, state_directory()):
        active = "yes" if tenant.is_active else "no"
        table.add_row(tenant.id, tenant.name, tenant.plan, active, _date(tenant.created_at))
    OUT.print(table)


@tenants.command("plan")
def set_plan(tenant_id: str, plan: str) -> None:
    """Move a tenant to another plan, at once."""
    tenant = with_directory(lambda d: d.set_plan(tenant_id, plan), state_directory())
    OUT.print(f"{tenant.id} is on the plan '{tenant.plan}'.")


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    return table


def _date(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if moment else "-"


def _in_days(days: float | None) -> datetime | None:
    return None if days is None else datetime.now(UTC) + timedelta(days=days)
