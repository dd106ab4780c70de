"""Rules about images, their data, locations and members."""

from __future__ import annotations

from glance_py.policies.base import (
    ADMIN,
    ADMIN_OR_MEMBER,
    ADMIN_OR_READER,
    CREATE_IMAGE,
    DEFAULT,
    DOWNLOAD_IMAGE,
    GET_IMAGE,
    MEMBER_ITSELF,
    READ_MEMBERS,
    SERVICE,
    SERVICE_OR_MEMBER,
    rule,
)

_SINCE = "W"

_ALL = "/v2/images"
_ONE = f"{_ALL}/{{image_id}}"
_MEMBERS = f"{_ONE}/members"
_MEMBER = f"{_MEMBERS}/{{member_id}}"
_TAG = f"{_ONE}/tags/{{tag}}"
_COPY = "/v2/stores/{store_id}/{image_id}"

RULES = (
    rule("add_image", CREATE_IMAGE, "Create an image", "POST /v2/images",
         old=DEFAULT, since=_SINCE),
    rule("delete_image", ADMIN_OR_MEMBER, "Delete an image", "DELETE /v2/images/{image_id}",
         old=DEFAULT, since=_SINCE),
    rule("get_image", GET_IMAGE, "See one image; a list leaves out what it refuses",
         f"GET {_ONE}", f"GET {_ALL}", f"GET {_ONE}/tasks", f"GET {_MEMBERS}", f"POST {_MEMBERS}",
         f"GET {_MEMBER}", f"PUT {_MEMBER}", f"DELETE {_MEMBER}", old=DEFAULT, since=_SINCE),
    rule("get_images", ADMIN_OR_READER, "List images", "GET /v2/images",
         old=DEFAULT, since=_SINCE),
    rule("modify_image", ADMIN_OR_MEMBER, "Change an image, stage and import its data",
         f"PATCH {_ONE}", f"PUT {_TAG}", f"DELETE {_TAG}", f"PUT {_ONE}/stage",
         f"POST {_ONE}/import", old=DEFAULT, since=_SINCE),
    rule("publicize_image", ADMIN, "Make an image visible to all projects",
         f"PATCH {_ONE}", f"POST {_ALL}"),
    rule("communitize_image", ADMIN_OR_MEMBER, "Make an image available to all who know its id",
         f"PATCH {_ONE}", f"POST {_ALL}", old=DEFAULT, since=_SINCE),
    rule("download_image", DOWNLOAD_IMAGE, "Download the data of an image",
         "GET /v2/images/{image_id}/file", old=DEFAULT, since=_SINCE),
    rule("download_from_store", DOWNLOAD_IMAGE, "Say from which store to download",
         "GET /v2/images/{image_id}/file"),
    rule("upload_image", ADMIN_OR_MEMBER, "Upload the data of an image",
         "PUT /v2/images/{image_id}/file", old=DEFAULT, since=_SINCE),
    rule("delete_image_location", ADMIN, "Remove a location of an image, or its copy in a store",
         f"PATCH {_ONE}", f"DELETE {_COPY}", old=DEFAULT, since=_SINCE),
    rule("get_image_location", ADMIN_OR_READER,
         "Find the copy of an image in a store that is to be removed",
         f"DELETE {_COPY}", old=DEFAULT, since=_SINCE),
    rule("set_image_location", ADMIN_OR_MEMBER, "Set the locations of an image",
         "PATCH /v2/images/{image_id}", old=DEFAULT, since=_SINCE),
    rule("add_image_location", SERVICE_OR_MEMBER, "Register data that lies in a store already",
         "POST /v2/images/{image_id}/locations"),
    rule("fetch_image_location", SERVICE, "Read where the data of an image lies",
         "GET /v2/images/{image_id}/locations"),
    rule("add_member", ADMIN_OR_MEMBER, "Share an image with a project",
         "POST /v2/images/{image_id}/members", old=DEFAULT, since=_SINCE),
    rule("delete_member", ADMIN_OR_MEMBER, "Stop sharing an image with a project",
         "DELETE /v2/images/{image_id}/members/{member_id}", old=DEFAULT, since=_SINCE),
    rule("get_member", READ_MEMBERS, "See one member of an image, and change or remove it",
         f"GET {_MEMBER}", f"PUT {_MEMBER}", f"DELETE {_MEMBER}", f"GET {_MEMBERS}",
         old=DEFAULT, since=_SINCE),
    rule("get_members", READ_MEMBERS, "List the members of an image",
         "GET /v2/images/{image_id}/members", old=DEFAULT, since=_SINCE),
    rule("modify_member", MEMBER_ITSELF, "Accept or reject a shared image",
         "PUT /v2/images/{image_id}/members/{member_id}", old=DEFAULT, since=_SINCE),
    rule("manage_image_cache", ADMIN, "Manage the image cache through its old API"),
    rule("deactivate", ADMIN_OR_MEMBER, "Deactivate an image",
         "POST /v2/images/{image_id}/actions/deactivate", old=DEFAULT, since=_SINCE),
    rule("reactivate", ADMIN_OR_MEMBER, "Reactivate an image",
         "POST /v2/images/{image_id}/actions/reactivate", old=DEFAULT, since=_SINCE),
    rule("copy_image", ADMIN, "Copy the data of an image to other stores",
         "POST /v2/images/{image_id}/import"),
    rule("list_cached_nodes", ADMIN, "See which nodes have an image in their cache",
         "GET /v2/cache/nodes/{image_id}"),
)
