"""The members of an image: the projects that it is shared with."""

from __future__ import annotations

import webob

from glance_py.domain import errors
from glance_py.domain.ports import ImageOperations, MemberOperations
from glance_py.http.request import Request, json_response, no_content
from glance_py.wire.dump import dump_member, dump_members
from glance_py.wire.load import load_member, load_member_status, project_id_text


class MembersController:
    """Members of one image."""

    def __init__(self, images: ImageOperations, members: MemberOperations) -> None:
        self._images = images
        self._members = members

    def index(self, request: Request, image_id: str) -> webob.Response:
        """GET /v2/images/{image_id}/members"""
        image = self._images.resolve(request.context, image_id)
        return json_response(dump_members(self._members.list(request.context, image)))

    def create(self, request: Request, image_id: str) -> webob.Response:
        """POST /v2/images/{image_id}/members"""
        project = load_member(request.read_json_body())
        image = self._images.resolve(request.context, image_id)
        member = self._members.create(request.context, image, project_id_text(project))
        return json_response(dump_member(member, shown_id=project))

    def show(self, request: Request, image_id: str, member_id: str) -> webob.Response:
        """GET /v2/images/{image_id}/members/{member_id}"""
        image = self._images.resolve(request.context, image_id)
        try:
            member = self._members.get(request.context, image, member_id)
        except errors.Forbidden:
            # wire: a caller who may not see the member gets 404, in this request only.
            raise errors.MemberNotFound(member_id, image_id) from None
        return json_response(dump_member(member))

    def update(self, request: Request, image_id: str, member_id: str) -> webob.Response:
        """PUT /v2/images/{image_id}/members/{member_id}"""
        status = load_member_status(request.read_json_body())
        image = self._images.resolve(request.context, image_id)
        member = self._members.resolve(request.context, image, member_id)
        return json_response(
            dump_member(self._members.update(request.context, image, member, status))
        )

    def delete(self, request: Request, image_id: str, member_id: str) -> webob.Response:
        """DELETE /v2/images/{image_id}/members/{member_id}"""
        image = self._images.resolve(request.context, image_id)
        member = self._members.resolve(request.context, image, member_id)
        self._members.delete(request.context, image, member)
        return no_content()
