"""In which order an import does its steps.

    begin, fetch, one step for each plugin, one for each store, finish

Imported when the first import runs: taskflow is not small.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from taskflow import engines
from taskflow.exceptions import WrappedFailure
from taskflow.patterns import linear_flow, unordered_flow

from glance_py.importing import steps
from glance_py.importing.job import ImportJob
from glance_py.importing.sources import ImportSource


def run(
    job: ImportJob, source: ImportSource | None, plugins: Iterable[tuple[str, Any]]
) -> Mapping[str, Any]:
    """Do an import; returns the result of its task.

    :param source: what fetches the data; None when it is there already.
    :param plugins: (name, plugin) in order.
    :raises Exception: what went wrong, after all that was done has been taken back.
    """
    options = job.deps.conf.taskflow_executor
    width = job.deps.conf.image_import_opts.max_parallel_stores
    parallel = options.engine_mode == "parallel" and width > 1 and len(job.stores) > 1
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
            max_workers=min(width, options.max_workers),
        )
        if parallel
        else engines.load(flow, engine="serial")
    )
    try:
        engine.run()
    except WrappedFailure as failures:
        # Several stores failed: the first reason is as good as any.
        next(iter(failures)).reraise()
    return {"image_id": job.image.id}
