"""The order of the steps of an import.

    begin, fetch, one step for each plugin, one for each store, finish

This module and ``steps`` are the only ones that depend on TaskFlow.  It is imported by the first
import of a process, since importing TaskFlow takes long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from taskflow import engines
from taskflow.exceptions import WrappedFailure
from taskflow.patterns import linear_flow, unordered_flow

from glance_py.importing import steps
from glance_py.importing.job import ImportJob
from glance_py.importing.plugins.base import ImportPlugin
from glance_py.importing.sources import ImportSource


def run(
    job: ImportJob, source: ImportSource | None, plugins: Iterable[tuple[str, ImportPlugin]]
) -> Mapping[str, object]:
    """Do an import; returns the result of its task.

    :param source: fetches the data; None when it is staged or stored already.
    :param plugins: (name, plugin) in order.
    :raises Exception: the error of the first step that failed, after everything was undone.
    """
    settings = job.deps.tasks
    width = job.deps.imports.max_parallel_stores
    parallel = settings.engine_mode == "parallel" and width > 1 and len(job.stores) > 1
    pattern = unordered_flow if parallel else linear_flow
    flow = linear_flow.Flow("import").add(steps.RollbackGuard(job))
    if source is not None:
        flow.add(steps.Fetch(job, source))
    flow.add(*(steps.RunPlugin(job, name, plugin) for name, plugin in plugins))
    copies = [steps.CopyToStore(job, store) for store in job.stores]
    if copies:
        flow.add(pattern.Flow("stores").add(*copies))
    flow.add(steps.Finish(job))
    engine = (
        engines.load(
            flow,
            engine="parallel",
            executor="threaded",
            max_workers=min(width, settings.max_workers),
        )
        if parallel
        else engines.load(flow, engine="serial")
    )
    try:
        engine.run()
    except WrappedFailure as failures:
        # Several stores failed at the same time; the task reports one reason.
        next(iter(failures)).reraise()
    return {"image_id": job.image.id}
