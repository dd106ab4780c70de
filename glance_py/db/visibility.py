"""The rules of ``domain/visibility.py`` as conditions in SQL, for an image and for a list.

:func:`visible` is for one image by id.  A list has a scope, written in two ways: :func:`in_scope`
is one condition without an index, for statements that read images in the order of the list;
:func:`scope_branches` are conditions without overlap that each begin with an indexed column, for
the parts of a UNION ALL.  ``tests/contract/dal/list_cases.py`` compares both with the domain.

The caller's project is the bound value ``me``, a member status ``member_status``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import sqlalchemy as sa

from glance_py.db.hints import has_row, no_index, not_deleted
from glance_py.db.tables import image_members, images
from glance_py.domain.image import Visibility

_CALLER_PROJECT = sa.bindparam("me", type_=sa.String)


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """Which images a list shows, without any value.

    :param visibility: of the query; None for all that the caller sees except the community's,
        "all" for those, too.
    :param any_member_status: also images whose membership the caller has not accepted.
    """

    is_admin: bool
    visibility: str | None
    any_member_status: bool


def membership() -> sa.ColumnElement[bool]:
    """Rows of ``image_members`` that make the caller's project a member."""
    return (image_members.c.member == sa.bindparam("me")) & not_deleted(image_members)


def visible(is_admin: bool) -> sa.ColumnElement[bool]:
    """Images that the caller may see when it asks by id."""
    if is_admin:
        return sa.true()
    return sa.or_(
        images.c.owner.is_(None),
        images.c.visibility.in_((Visibility.PUBLIC.value, Visibility.COMMUNITY.value)),
        images.c.owner == _CALLER_PROJECT,
        _shared_with_caller(any_status=True),
    )


def in_scope(scope: Scope) -> sa.ColumnElement[bool]:
    """Images in the scope of a list, as one condition that uses no index."""
    visibility, owner = no_index(images.c.visibility), no_index(images.c.owner)
    owned = owner == _CALLER_PROJECT
    if scope.is_admin:
        match scope.visibility:
            case None:
                return ~_has_visibility(Visibility.COMMUNITY, visibility) | owned
            case "all":
                return sa.true()
            case other:
                return _has_visibility(other, visibility)
    shared = _shared_with_caller(scope.any_member_status)
    public = _has_visibility(Visibility.PUBLIC, visibility)
    community = _has_visibility(Visibility.COMMUNITY, visibility)
    return {
        None: owned | public | shared,
        "all": owned | public | community | shared,
        Visibility.PUBLIC: public,
        Visibility.COMMUNITY: community,
        Visibility.PRIVATE: owned & _has_visibility(Visibility.PRIVATE, visibility),
        Visibility.SHARED: shared | (owned & _has_visibility(Visibility.SHARED, visibility)),
    }[scope.visibility]


def scope_branches(scope: Scope) -> Iterator[sa.ColumnElement[bool]]:
    """The same scope as conditions without overlap, each led by one with an index."""
    wanted = scope.visibility
    if scope.is_admin:
        yield in_scope(scope) if wanted in (None, "all") else _has_visibility(wanted)
        return
    visibility = no_index(images.c.visibility)
    owned = images.c.owner == _CALLER_PROJECT
    not_owned = sa.not_(sa.func.coalesce(no_index(images.c.owner) == _CALLER_PROJECT, sa.false()))
    if wanted in (None, "all"):
        yield owned
    elif wanted in (Visibility.PRIVATE, Visibility.SHARED):
        yield owned & _has_visibility(wanted, visibility)
    for for_others in (Visibility.PUBLIC, Visibility.COMMUNITY):
        if wanted == for_others:
            yield _has_visibility(for_others)
        elif wanted == "all" or (wanted is None and for_others == Visibility.PUBLIC):
            yield _has_visibility(for_others) & not_owned
    if wanted in (None, "all", Visibility.SHARED):
        shared_with_caller = sa.select(image_members.c.image_id).where(
            _is_member(scope.any_member_status)
        )
        yield (
            _has_visibility(Visibility.SHARED, visibility)
            & images.c.id.in_(shared_with_caller)
            & not_owned
        )


def _has_visibility(
    visibility: str, column: sa.ColumnElement[str] | None = None
) -> sa.ColumnElement[bool]:
    """:param column: ``no_index`` of the column; None for the column with its index."""
    return (images.c.visibility if column is None else column) == sa.literal(
        str(visibility), images.c.visibility.type
    )


def _is_member(any_status: bool) -> sa.ColumnElement[bool]:
    condition = membership()
    if not any_status:
        condition &= image_members.c.status == sa.bindparam("member_status")
    return condition


def _shared_with_caller(any_status: bool) -> sa.ColumnElement[bool]:
    return _has_visibility(Visibility.SHARED, no_index(images.c.visibility)) & has_row(
        image_members, _is_member(any_status), one_image_at_a_time=True
    )
