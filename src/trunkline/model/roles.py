"""What callers may: each role does what those before it do. Imported by every command, so short."""

READER = "reader"  # whatever changes nothing
WRITER = "writer"  # data, pipelines and jobs
ADMIN = "admin"  # the server: tokens, secrets, defaults, purges, collections, checks
ROLES = (READER, WRITER, ADMIN)

# The header of a server that asks another one for its callers, whose roles it has looked at.
FOR_OTHERS = "Trunkline-For-Others"


def allows(role: str, needed: str) -> bool:
    """Whether who has a role may do what needs another one; unknown roles allow nothing."""
    return role in ROLES and ROLES.index(role) >= ROLES.index(needed)
