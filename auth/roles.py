"""Roles: what a user may do in a tenant, and which roles a principal may give.

Place in the path: step 2 for users, and before every change of a membership. The operator's right
(`Scope.ADMIN`) comes from no role.
"""

from auth.principal import Principal, Role, Scope
from core.errors import Forbidden

ALL_OF_A_TENANT = frozenset(Scope) - {Scope.ADMIN}
SCOPES: dict[Role, frozenset[Scope]] = {
    Role.OWNER: ALL_OF_A_TENANT,
    Role.ADMIN: ALL_OF_A_TENANT,
    Role.MEMBER: frozenset({Scope.INFERENCE, Scope.USAGE}),
    Role.VIEWER: frozenset({Scope.USAGE}),
}
RANK = {Role.VIEWER: 0, Role.MEMBER: 1, Role.ADMIN: 2, Role.OWNER: 3}


def require_rank(principal: Principal, role: Role) -> None:
    """Raise Forbidden unless `principal` may give, change or take away `role`.

    Nobody gives a role above its own, a key gives none that does more than the key, and the key of
    an owner is no owner: a key makes admins at most.
    """
    if Scope.ADMIN in principal.scopes:
        return
    if RANK[role] > RANK[principal.role or Role.ADMIN] or SCOPES[role] - principal.scopes:
        raise Forbidden(f"these credentials cannot grant the role '{role}'", "role")
    if principal.is_limited:
        raise Forbidden("who has limits of its own cannot grant roles", "role")
