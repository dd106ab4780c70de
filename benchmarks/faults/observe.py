"""The state of a service after the faults, as its API, its tools and its directories show it."""

from __future__ import annotations

import json
import pathlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from benchmarks.faults.api import Answer, Api, member_token
from benchmarks.faults.backends import Store
from benchmarks.faults.processes import Service, run_manage
from benchmarks.faults.shadow import Outcome, Record
from benchmarks.faults.verify import Findings, ObservedImage, find_orphans

#: How often a request is tried that is not answered, or with 5xx.
MAX_TRIES = 4
#: Bytes of the uploads that try whether usage adds up.
PROBE_BYTES = 1000


class Observer:
    """Looks at a service without faults.

    :param directory: configuration for glance-manage.
    :param shared_staging: all hosts have one staging directory.
    """

    def __init__(
        self,
        api: Api,
        hosts: Sequence[Service],
        store: Store,
        directory: pathlib.Path,
        shared_staging: bool,
    ) -> None:
        self._api, self._hosts, self._store = api, hosts, store
        self._directory = directory
        self._staging = {str(each.directory / "staging"): each.name for each in hosts}
        if shared_staging:
            self._staging = {str(directory.parent / "staging"): "staging"}
        self._turn = 0

    # ------------------------------------------------------------ quiet

    def in_motion(self, records: Iterable[Record]) -> list[str]:
        """What is still being done, one line for each image."""
        found = []
        for record in records:
            if record.created is Outcome.REFUSED or record.deleted is Outcome.ACKNOWLEDGED:
                continue
            seen = self.show(record.image_id)
            if seen is not None and (motion := seen.in_motion()):
                found.append(f"{record.image_id} {motion}")
        return found

    # ------------------------------------------------------------ images

    def show(self, image_id: str) -> ObservedImage | None:
        """An image with its tasks; None when there is none."""
        answer = self._ask("GET", f"/v2/images/{image_id}")
        if answer.status == 404:
            return None
        if answer.status != 200:
            return ObservedImage(image_id, f"unknown ({answer})")
        image = answer.json()
        tasks = self._ask("GET", f"/v2/images/{image_id}/tasks")
        return ObservedImage(
            image_id,
            image["status"],
            image.get("size"),
            image.get("os_hash_value"),
            frozenset(filter(None, image.get("stores", "").split(","))),
            "os_glance_import_task" in image,
            image.get("serial"),
            tasks=[(each["status"], each["message"]) for each in tasks.json()["tasks"]]
            if tasks.status == 200
            else [("unknown", str(tasks))],
        )

    def _download(self, seen: ObservedImage) -> None:
        for host in range(len(self._hosts)):
            answer, digest = self._api.download(host, seen.image_id)
            if digest is not None and (answer.status == 200 or not seen.size):
                seen.downloaded, seen.failure = digest, ""
                return
            seen.failure = f"host {host + 1} answers {answer}"
        time.sleep(0.5)

    def _listed(self) -> frozenset[str]:
        ids: set[str] = set()
        path = "/v2/images?limit=100"
        while path:
            answer = self._ask("GET", path)
            if answer.status != 200:
                break
            page = answer.json()
            ids |= {image["id"] for image in page["images"]}
            path = page.get("next", "")
        return frozenset(ids)

    # ------------------------------------------------------------ everything

    def look(self, records: Sequence[Record], tick: Callable[[str], None]) -> Findings:
        """Images with their data, without stores and staging areas."""
        images = {}
        for number, record in enumerate(records):
            tick(f"looking at image {number + 1} of {len(records)}")
            if record.created is Outcome.REFUSED:
                continue
            seen = self.show(record.image_id)
            if seen is None:
                continue
            images[record.image_id] = seen
            if seen.status == "active":
                self._download(seen)
        return Findings(images=images, listed=self._listed())

    def look_at_stores(
        self, findings: Findings, seconds: float, tick: Callable[[str], None]
    ) -> float:
        """Add objects and staged files; orphans have some seconds to be removed.

        :returns: seconds until there were none, or until the end of the patience.
        """
        began = time.monotonic()
        while True:
            tick(f"waiting for the sweep, {time.monotonic() - began:.0f} s")
            for image_id in [each.image_id for each in find_orphans(findings) if each.image_id]:
                # A sweep may also end what was in motion.
                seen = self.show(image_id)
                old = findings.images.get(image_id)
                if seen is not None and old is not None:
                    seen.downloaded, seen.failure = old.downloaded, old.failure
            findings.objects = self._store.objects()
            findings.unfinished = self._store.unfinished()
            findings.staged = [
                (host, each.name)
                for place, host in self._staging.items()
                for each in pathlib.Path(place).iterdir()
            ]
            findings.check = self._check("--older-than", "0")
            passed = time.monotonic() - began
            orphans = [each for each in findings.check if each["kind"] == "orphan"]
            if not (orphans or find_orphans(findings)) or passed > seconds:
                tick("comparing the hashes of all copies")
                findings.check = self._check("--older-than", "0", "--verify-hash")
                return passed
            time.sleep(3)

    def _check(self, *words: str) -> list[dict]:
        done = run_manage(self._directory, "store", "check", "--json", *words)
        if done.returncode not in (0, 3):
            return [
                {
                    "kind": "store check failed",
                    "image_id": "",
                    "store": None,
                    "url": "",
                    "detail": done.stderr[-500:],
                }
            ]
        return [found for line in done.stdout.splitlines() if "kind" in (found := json.loads(line))]

    # ------------------------------------------------------------ usage

    def usage(
        self,
        findings: Findings,
        projects: Mapping[str, str],
        limited: Callable[[int], AbstractContextManager[Api]],
        tick: Callable[[str], None],
    ) -> list[str]:
        """Does the usage that the service counts equal the sum over its images?

        Deletes what has no data.  Then for each project sets a quota of a little more than
        what it uses, and tries to upload a byte too much, and as much as fits.

        :param projects: of images by their ids.
        :param limited: starts a host with a ``user_storage_quota``.
        """
        for image_id in findings.listed:
            seen = findings.images.get(image_id)
            if seen is None or seen.status != "active":
                self._ask("DELETE", f"/v2/images/{image_id}")
        used = dict.fromkeys(projects.values(), 0)
        for image_id in self._listed():
            seen = self.show(image_id)
            if seen is not None and image_id in projects:
                used[projects[image_id]] += (seen.size or 0) * max(1, len(seen.stores))
        problems = []
        for project, number in used.items():
            tick(f"trying the quota of {project}")
            with limited(number + PROBE_BYTES) as api:
                problems += self._probe(api, project, number)
        return problems

    def _probe(self, api: Api, project: str, used: int) -> Iterator[str]:
        token, probe = member_token(project), str(uuid.uuid4())
        created = api.call(
            0,
            "POST",
            "/v2/images",
            {"id": probe, "disk_format": "raw", "container_format": "bare"},
            token,
        )
        for size, expected in ((PROBE_BYTES + 1, 413), (PROBE_BYTES, 204)):
            answer = api.send(0, f"/v2/images/{probe}/file", iter([bytes(size)]), size, token)
            if answer.status != expected:
                yield (
                    f"images of {project} use {used} bytes, {PROBE_BYTES} are left of the quota; "
                    f"an upload of {size}: {answer} (creation: {created.status})"
                )
        self._ask("DELETE", f"/v2/images/{probe}")

    def _ask(self, method: str, path: str) -> Answer:
        """A request that is repeated through other hosts while the service is not available."""
        for _ in range(MAX_TRIES):
            self._turn += 1
            answer = self._api.ask(self._turn % len(self._hosts), method, path, timeout=30)
            if answer.status and answer.status < 500:
                break
            time.sleep(0.5)
        return answer
