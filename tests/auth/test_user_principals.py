"""Users as principals, for requests and for jobs that outlive them."""

import asyncio
import signal

import pytest

from auth.accounts import Tenant
from auth.attempts import Attempts
from auth.database import Database
from auth.directory import Directory
from auth.epochs import Epochs
from auth.keys import KeyHasher
from auth.members import MemberEdit, Members, add_member
from auth.pipeline import Pipeline
from auth.principal import Principal, Role, Scope
from auth.roles import SCOPES, require_rank
from auth.sessions import Sessions
from auth.user_principals import UserPrincipals, key_id_for
from auth.users import User, Users, add_user
from core.errors import Forbidden, InvalidCredentials, InvalidKey, LimitReached, StoreUnavailable
from tests.auth.servers import Valkey


@pytest.fixture
def principals(database: Database, epochs: Epochs) -> UserPrincipals:
    return UserPrincipals(database, epochs)


@pytest.fixture
async def user(database: Database, tenant: Tenant) -> User:
    async with database.transaction() as connection:
        user = await add_user(connection, None, "Ada", None)
        await add_member(connection, tenant.id, user.id, Role.MEMBER)
    return user


async def test_a_job_runs_on_its_users_rights_while_the_membership_holds(
    directory: Directory, database: Database, tenant: Tenant, user: User, owner: Principal
):
    key_id = key_id_for(user.id, tenant.id)
    principal = await directory.principal_of(key_id)
    assert (principal.key_id, principal.user_id, principal.plan) == (key_id, user.id, "pro")
    assert principal.scopes == SCOPES[Role.MEMBER]
    await Members(database, directory.announce, directory.plans).remove(owner, user.id)
    with pytest.raises(InvalidKey):
        await directory.principal_of(key_id)


@pytest.mark.parametrize("key_id", ["user:", "user:@", "user:u-nobody@t-nowhere", "user:x"])
async def test_nobody_is_no_principal(directory: Directory, key_id: str):
    with pytest.raises(InvalidKey):
        await directory.principal_of(key_id)


async def test_every_change_renews_the_epoch(
    directory: Directory, database: Database, tenant: Tenant, user: User, owner: Principal
):
    members = Members(database, directory.announce, directory.plans)
    users = Users(database, directory.announce)
    seen = {await directory.epoch(tenant.id)}
    await members.change(owner, user.id, MemberEdit(Role.ADMIN))
    seen.add(await directory.epoch(tenant.id))
    await users.set_active(user.id, active=False)
    seen.add(await directory.epoch(tenant.id))
    await users.set_active(user.id, active=True)
    seen.add(await directory.epoch(tenant.id))
    await members.remove(owner, user.id)
    seen.add(await directory.epoch(tenant.id))
    assert len(seen) == 5


async def test_a_session_stands_until_it_is_closed(
    principals: UserPrincipals,
    directory: Directory,
    database: Database,
    hasher: KeyHasher,
    tenant: Tenant,
    user: User,
):
    sessions = Sessions(database, hasher, directory.announce, 60)
    one = await sessions.open(user.id, tenant.id)
    two = await sessions.open(user.id, tenant.id)
    assert (await principals.of(user.id, tenant.id, one.id)).session == one.id
    await sessions.close_all(user.id, but=two.id)
    with pytest.raises(InvalidKey):
        await principals.of(user.id, tenant.id, one.id)
    assert await principals.of(user.id, tenant.id, two.id)
    with pytest.raises(InvalidCredentials):
        await sessions.refresh(one.refresh_token)
    assert await sessions.refresh(two.refresh_token)


@pytest.mark.parametrize("role", list(Role))
def test_no_role_is_the_operators(role: Role):
    assert Scope.ADMIN not in SCOPES[role]


def test_ranks_hold_for_users_and_for_keys():
    def who(role: Role | None, *scopes: Scope) -> Principal:
        return Principal("t", "k", "pro", "e", frozenset(scopes), role=role)

    every = frozenset(Scope) - {Scope.ADMIN}
    require_rank(who(Role.OWNER, *every), Role.OWNER)
    require_rank(who(None, *every), Role.ADMIN)
    require_rank(who(None, Scope.ADMIN), Role.OWNER)
    for principal, role in (
        (who(Role.ADMIN, *every), Role.OWNER),
        (who(None, *every), Role.OWNER),
        (who(None, Scope.MEMBERS), Role.VIEWER),
        (who(Role.MEMBER, *SCOPES[Role.MEMBER]), Role.ADMIN),
    ):
        with pytest.raises(Forbidden):
            require_rank(principal, role)


async def test_attempts_are_counted_together_and_their_window_ends(
    store: Pipeline, hasher: KeyHasher, prefix: str
):
    attempts = Attempts(store, hasher, prefix, limit=3, window_s=1)
    results = await asyncio.gather(
        *(attempts.begin("ada@example.com", None) for _ in range(10)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, LimitReached)]
    assert len(refused) == 7
    assert all(0 < (error.retry_after_s or 0) <= 1 for error in refused)
    await asyncio.sleep(1.1)
    await attempts.begin("ada@example.com", None)


async def test_names_of_counters_tell_nothing_and_every_one_ends(
    store: Pipeline, hasher: KeyHasher, prefix: str
):
    attempts = Attempts(store, hasher, prefix)
    await attempts.begin("ada@example.com", "203.0.113.7")
    await attempts.succeeded("ada@example.com", "203.0.113.7")
    await attempts.succeeded("eve@example.com", "203.0.113.8")  # its window has ended meanwhile
    await attempts.begin("bob@example.com", "203.0.113.7")
    _, found = await store.call("SCAN", 0, "MATCH", f"{prefix}:attempts:*", "COUNT", 100_000)
    assert found
    assert not [key for key in found if b"example" in key]
    ends = await store.call("ZRANGE", f"{prefix}:attempts-end", 0, -1)
    assert sorted(ends) == sorted(found)
    for key in found:
        await store.call("ZADD", f"{prefix}:attempts-end", 1, key)
    await attempts.begin("eve@example.com", None)
    _, found = await store.call("SCAN", 0, "MATCH", f"{prefix}:attempts:*", "COUNT", 100_000)
    assert len(found) == 1, "what is over is removed"


async def test_who_cannot_be_counted_cannot_log_in(
    valkey_server: Valkey, store: Pipeline, hasher: KeyHasher, prefix: str
):
    attempts = Attempts(store, hasher, prefix)
    await attempts.begin("ada@example.com", None)
    valkey_server.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable):
            await attempts.begin("ada@example.com", None)
    finally:
        valkey_server.send_signal(signal.SIGCONT)
