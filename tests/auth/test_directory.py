import asyncio
import logging
import secrets
import signal
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr, ValidationError

from auth.accounts import ApiKey, KeyGrant, Tenant
from auth.admission import Admitted, Stale
from auth.database import Database
from auth.directory import OPERATOR, Directory, time_zones
from auth.epochs import Epochs
from auth.identify import Identifier
from auth.keys import KeyHasher
from auth.limits import Limits
from auth.migrate import migrate
from auth.pipeline import Pipeline
from auth.plans import Plans
from auth.principal import Principal, Scope
from auth.valkey import ValkeyAdmission
from core.errors import (
    ExpiredKey,
    Forbidden,
    InvalidKey,
    InvalidRequest,
    NotFound,
    StoreUnavailable,
)
from tests.auth.servers import PostgreSQL
from tests.auth.worlds import ask_of


async def test_bootstrap_makes_one_operator_key_however_many_start_at_once(
    postgres_server: PostgreSQL, epochs: Epochs, hasher: KeyHasher, plans: Plans
):
    url = await asyncio.to_thread(postgres_server.create_database, f"d{secrets.token_hex(4)}")
    await asyncio.to_thread(migrate, url)
    database = Database(SecretStr(url))
    directory = Directory(database, epochs, hasher, plans)
    issued = await asyncio.gather(*(directory.bootstrap() for _ in range(5)))
    keys = [key for key in issued if key is not None]
    assert len(keys) == 1
    assert await directory.bootstrap() is None
    principal = await directory.principal_for(keys[0].secret.get_secret_value())
    assert principal.tenant_id == OPERATOR
    assert principal.plan == "enterprise"
    assert principal.scopes == frozenset(Scope)
    await database.aclose()


async def test_a_key_stands_for_its_tenant_and_grant(
    directory: Directory, tenant: Tenant, owner: Principal
):
    grant = KeyGrant(
        name="app",
        user_id="ada",
        scopes=frozenset({Scope.INFERENCE}),
        allowed_models=frozenset({"echo"}),
        tier="free",
        requests_per_hour=7,
    )
    issued = await directory.keys.create(owner, grant)
    principal = await directory.principal_for(issued.secret.get_secret_value())
    assert principal.tenant_id == tenant.id
    assert principal.key_id == issued.key.id
    assert (principal.plan, principal.tier) == ("pro", "free")
    assert principal.user_id == "ada"
    assert principal.scopes == {Scope.INFERENCE}
    assert principal.allowed_models == frozenset({"echo"})
    assert principal.key_requests_per_hour == 7
    assert issued.key.last_used_at is None


@pytest.mark.parametrize("change", ["secret", "id", "case", "longer"])
async def test_an_almost_right_key_is_invalid(directory: Directory, key: str, change: str):
    wrong = {
        "secret": key[:-1] + ("A" if key[-1] != "A" else "B"),
        "id": key[:3] + ("0" if key[3] != "0" else "1") + key[4:],
        "case": key.swapcase(),
        "longer": key + "A",
    }[change]
    with pytest.raises(InvalidKey):
        await directory.principal_for(wrong)


async def test_an_expired_key_says_so(directory: Directory, owner: Principal):
    soon = datetime.now(UTC) + timedelta(seconds=0.05)
    issued = await directory.keys.create(owner, KeyGrant(expires_at=soon))
    await directory.principal_for(issued.secret.get_secret_value())
    await asyncio.sleep(0.06)
    with pytest.raises(ExpiredKey):
        await directory.principal_for(issued.secret.get_secret_value())
    verification = await directory.principals.verify(issued.secret.get_secret_value())
    assert (verification.valid, verification.code) == (False, "expired_api_key")


async def test_verify_tells_tier_and_quota_of_a_good_key_and_nothing_of_a_bad_one(
    directory: Directory, owner: Principal, key: str
):
    good = await directory.principals.verify(key)
    assert (good.valid, good.tier, good.requests_per_hour) == (True, "pro", 1_000)
    limited = await directory.keys.create(owner, KeyGrant(tier="free", requests_per_hour=20))
    good = await directory.principals.verify(limited.secret.get_secret_value())
    assert (good.tier, good.requests_per_hour) == ("free", 20)
    limits = {"requests": {"hour": 15}}
    grant = KeyGrant.model_validate({"limits": limits, "requests_per_hour": 20})
    limited = await directory.keys.create(owner, grant)
    good = await directory.principals.verify(limited.secret.get_secret_value())
    assert good.requests_per_hour == 15
    bad = await directory.principals.verify("nonsense")
    assert (bad.valid, bad.code, bad.tenant_id) == (False, "invalid_api_key", None)


async def test_a_revoked_key_is_invalid_and_revoking_again_changes_nothing(
    directory: Directory, owner: Principal, key: str
):
    key_id = key.split("-")[1]
    revoked = (await directory.keys.revoke(owner, key_id)).key
    assert revoked.revoked_at is not None
    assert not revoked.is_active
    with pytest.raises(InvalidKey):
        await directory.principal_for(key)
    assert (await directory.keys.revoke(owner, key_id)).key.revoked_at == revoked.revoked_at


async def test_another_tenants_key_is_not_found(directory: Directory, tenant: Tenant, key: str):
    other = await directory.create_tenant("Other")
    theirs = Principal(other.id, "their-key", other.plan, "e", frozenset({Scope.KEYS}))
    with pytest.raises(NotFound):
        await directory.keys.revoke(theirs, key.split("-")[1])
    with pytest.raises(Forbidden):
        await directory.keys.revoke(theirs, key.split("-")[1], tenant.id)
    assert (await directory.keys.list(other.id)).items == ()
    assert (await directory.principal_for(key)).tenant_id == tenant.id


async def test_an_inactive_tenants_keys_are_invalid_until_it_is_active_again(
    directory: Directory, tenant: Tenant, key: str
):
    assert not (await directory.deactivate(tenant.id)).is_active
    with pytest.raises(InvalidKey):
        await directory.principal_for(key)
    await directory.set_active(tenant.id, active=True)
    assert await directory.principal_for(key)


async def test_every_change_makes_remembered_principals_stale_at_once(
    directory: Directory,
    tenant: Tenant,
    owner: Principal,
    hasher: KeyHasher,
    store: Pipeline,
    prefix: str,
    plans: Plans,
    key: str,
):
    """Two gateways that both remember the key; neither is told, both stop at the next request."""
    admission, limits = ValkeyAdmission(store, prefix), Limits(plans)
    gateways = [Identifier(directory, hasher) for _ in range(2)]

    async def verdicts() -> set[type]:
        found = [await gateway.identify(key) for gateway in gateways]
        asks = [ask_of(tenant=tenant.id, epoch=p.epoch, scopes=limits.scopes(p)) for p in found]
        return {type(await admission.admit(ask)) for ask in asks}

    async def plan_after_identifying_again() -> set[str]:
        for gateway in gateways:
            gateway.forget(key)
        return {(await gateway.identify(key)).plan for gateway in gateways}

    assert await verdicts() == {Admitted}
    await directory.set_plan(tenant.id, "enterprise")
    assert await verdicts() == {Stale}
    assert await plan_after_identifying_again() == {"enterprise"}
    assert await verdicts() == {Admitted}
    await directory.keys.revoke(owner, key.split("-")[1])
    assert await verdicts() == {Stale}
    with pytest.raises(InvalidKey):
        await plan_after_identifying_again()


async def test_a_new_key_leaves_principals_of_the_old_ones_current(
    directory: Directory, owner: Principal, key: str
):
    before = (await directory.principal_for(key)).epoch
    await directory.keys.create(owner, KeyGrant())
    assert (await directory.principal_for(key)).epoch == before


async def test_a_change_made_while_valkey_is_away_is_announced_later(
    directory: Directory,
    database: Database,
    hasher: KeyHasher,
    plans: Plans,
    tenant: Tenant,
    key: str,
):
    before = (await directory.principal_for(key)).epoch
    nowhere = Epochs(Pipeline(SecretStr("unix:///nowhere/v.sock")))
    cut_off = Directory(database, nowhere, hasher, plans)
    with pytest.raises(StoreUnavailable):
        await cut_off.set_plan(tenant.id, "free")
    assert await directory.announce() >= 1
    after = await directory.principal_for(key)
    assert after.epoch != before
    assert after.plan == "free"


async def test_a_change_is_announced_once_however_many_announce_it(
    database: Database, hasher: KeyHasher, plans: Plans, epochs: Epochs, tenant: Tenant
):
    renewed = []

    class Slow(Epochs):
        async def renew(self, tenant_id: str) -> None:
            await asyncio.sleep(0.05)
            renewed.append(tenant_id)
            await super().renew(tenant_id)

    directory = Directory(database, Slow(epochs._store, epochs._prefix), hasher, plans)
    await database.execute("UPDATE tenants SET revision = revision + 1 WHERE id = $1", tenant.id)
    before = await directory.epoch(tenant.id)
    ended = [asyncio.create_task(directory.announce()) for _ in range(5)]
    for each in asyncio.as_completed(ended):
        await each
        assert await directory.epoch(tenant.id) != before, "it holds when anybody has announced it"
    assert renewed.count(tenant.id) == 1


async def test_lists_come_in_pages(directory: Directory, owner: Principal, tenant: Tenant):
    made = [(await directory.keys.create(owner, KeyGrant(name=f"k{n}"))).key.id for n in range(5)]
    seen: list[ApiKey] = []
    page = await directory.keys.list(tenant.id, limit=2)
    while True:
        seen += page.items
        if not page.has_more:
            break
        page = await directory.keys.list(tenant.id, after=seen[-1].id, limit=2)
    assert [key.id for key in seen] == made
    tenants = await directory.tenants(limit=1)
    assert len(tenants.items) == 1


async def test_a_key_grants_only_what_it_has(directory: Directory, tenant: Tenant):
    own_end = datetime.now(UTC) + timedelta(days=1)
    granter = Principal(
        tenant.id,
        "k",
        "pro",
        "e",
        frozenset({Scope.KEYS, Scope.INFERENCE}),
        allowed_models=frozenset({"echo", "fraud"}),
        key_requests_per_hour=50,
        tier="free",
        expires_at=own_end,
    )
    inference = frozenset({Scope.INFERENCE})
    inherited = (await directory.keys.create(granter, KeyGrant(scopes=inference))).key
    assert inherited.allowed_models == frozenset({"echo", "fraud"})
    assert (inherited.requests_per_hour, inherited.tier) == (50, "free")
    assert inherited.expires_at == own_end
    less = KeyGrant(scopes=inference, allowed_models=frozenset({"echo"}), requests_per_hour=5)
    assert (await directory.keys.create(granter, less)).key.requests_per_hour == 5
    for more in (
        {"scopes": frozenset({Scope.ADMIN})},
        {"allowed_models": frozenset({"echo", "secret-model"})},
        {"requests_per_hour": 51},
        {"tier": "enterprise"},
        {"expires_at": own_end + timedelta(days=1)},
    ):
        with pytest.raises(Forbidden):
            await directory.keys.create(granter, KeyGrant(**({"scopes": inference} | more)))


async def test_only_a_key_with_the_right_makes_keys_and_only_an_admin_for_others(
    directory: Directory, tenant: Tenant, owner: Principal
):
    other = await directory.create_tenant("Other")
    with pytest.raises(Forbidden):
        await directory.keys.create(owner, KeyGrant(), tenant_id=other.id)
    mute = Principal(tenant.id, "k", "pro", "e", frozenset({Scope.INFERENCE, Scope.USAGE}))
    with pytest.raises(Forbidden):
        await directory.keys.create(mute, KeyGrant())
    admin = Principal(OPERATOR, "k", "enterprise", "e", frozenset(Scope))
    assert (await directory.keys.create(admin, KeyGrant(), tenant_id=other.id)).key.tenant_id == (
        other.id
    )
    with pytest.raises(NotFound):
        await directory.keys.create(admin, KeyGrant(), tenant_id="t-none")


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "nul\x00"},
        {"requests_per_hour": 0},
        {"scopes": ["root"]},
        {"expires_at": "2030-01-01T00:00:00"},
        {"extra": 1},
        {"requests_per_hour": 2**40},
    ],
)
def test_a_grant_that_makes_no_sense_is_refused(fields: dict):
    with pytest.raises(ValidationError):
        KeyGrant.model_validate(fields)


async def test_unknown_names_are_named(directory: Directory, owner: Principal):
    with pytest.raises(InvalidRequest):
        await directory.create_tenant("X", "platinum")
    with pytest.raises(InvalidRequest):
        await directory.keys.create(owner, KeyGrant(tier="platinum"))
    yesterday = datetime.now(UTC) - timedelta(days=1)
    with pytest.raises(InvalidRequest):
        await directory.keys.create(owner, KeyGrant(expires_at=yesterday))


@pytest.mark.parametrize("identifier", ["t-none", "nul\x00", "'; DROP TABLE tenants; --", "é"])
async def test_an_id_that_names_nothing_is_not_found(directory: Directory, identifier: str):
    admin = Principal("operator", "o", "enterprise", "e", frozenset(Scope))
    with pytest.raises(NotFound):
        await directory.tenant(identifier)
    with pytest.raises(NotFound):
        await directory.set_plan(identifier, "free")
    with pytest.raises(NotFound):
        await directory.keys.revoke(admin, identifier, identifier)


async def test_a_frozen_or_stopped_postgresql_is_unavailable_not_an_invalid_key(
    store_directory, epochs: Epochs, hasher: KeyHasher, plans: Plans
):
    server = PostgreSQL(store_directory / "own")
    server.start()
    try:
        url = await asyncio.to_thread(server.create_database, "own")
        await asyncio.to_thread(migrate, url)
        database = Database(SecretStr(url), timeout_s=0.5)
        directory = Directory(database, epochs, hasher, plans)
        first = await directory.bootstrap()
        assert first is not None
        key = first.secret.get_secret_value()
        identifier = Identifier(directory, hasher)
        server.send_signal(signal.SIGSTOP)
        with pytest.raises(StoreUnavailable):
            async with asyncio.timeout(3):
                await identifier.identify(key)
        server.send_signal(signal.SIGCONT)
        assert (await directory.principal_for(key)).tenant_id == OPERATOR
        await asyncio.to_thread(server.stop)
        for call in (
            directory.principal_for(key),
            identifier.identify(key),
            directory.principals.verify(key),
            directory.tenants(),
            directory.keys.list(OPERATOR),
        ):
            with pytest.raises(StoreUnavailable):
                await call
        await asyncio.to_thread(server.start)
        assert (await identifier.identify(key)).tenant_id == OPERATOR
        await database.aclose()
    finally:
        server.kill()


async def test_a_key_appears_in_no_row_no_log_and_no_repr(
    directory: Directory,
    owner: Principal,
    database: Database,
    hasher: KeyHasher,
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.DEBUG)
    issued = await directory.keys.create(owner, KeyGrant(name="canary"))
    key = issued.secret.get_secret_value()
    identifier = Identifier(directory, hasher)
    principal = await identifier.identify(key)
    with pytest.raises(InvalidKey) as caught:
        await identifier.identify(key[:-1] + ("A" if key[-1] != "A" else "B"))
    rows = await database.fetch("SELECT * FROM api_keys WHERE id = $1", issued.key.id)
    canary = key.removeprefix(f"ck-{issued.key.id}-")[:-1]
    texts = (caplog.text, repr(issued), repr(principal), repr(rows), repr(caught.value))
    assert not any(canary in text for text in texts)


async def test_a_time_zone_that_a_tenant_may_choose_is_one_of_the_databases(database: Database):
    """Its daily usage would fail ever after: what Python knows is not all that PostgreSQL knows."""
    query = "SELECT count(now() AT TIME ZONE name) AS zones FROM unnest($1::text[]) AS name"
    row = await database.row(query, sorted(time_zones()))
    assert row is not None
    assert row["zones"] == len(time_zones()) > 400
