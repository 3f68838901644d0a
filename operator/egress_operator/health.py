"""Owns `/healthz` and `/metrics` of the operator."""

from __future__ import annotations

from time import monotonic

from aiohttp import web

from egress_operator.kube import Kube
from egress_operator.metrics import Metrics
from egress_operator.workqueue import WorkQueue

RECONCILE_LIMIT = 180.0
"""Seconds that one reconciliation may take before the process counts as stuck."""


def problem(*, oldest_reconcile: float, api_silence: float, api_limit: float) -> str:
    """Return why the process is not alive any more, "" when it is. All in seconds."""
    if oldest_reconcile > RECONCILE_LIMIT:
        return f"a reconciliation has been running for {oldest_reconcile:.0f} s"
    if api_silence > api_limit:
        return f"the API server has not answered for {api_silence:.0f} s"
    return ""


async def serve(
    kube: Kube, queue: WorkQueue, metrics: Metrics, *, bind: str, port: int, api_limit: float
) -> tuple[web.AppRunner, int]:
    """Start the server. Returns it and the port it listens on; the caller cleans it up."""

    async def healthz(_: web.Request) -> web.Response:
        trouble = problem(
            oldest_reconcile=queue.oldest_busy(),
            api_silence=monotonic() - kube.last_success,
            api_limit=api_limit,
        )
        return web.Response(text=trouble or "ok", status=503 if trouble else 200)

    async def show_metrics(_: web.Request) -> web.Response:
        metrics.queue_depth.set(len(queue))
        return web.Response(body=metrics.render(), content_type="text/plain", charset="utf-8")

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/metrics", show_metrics)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, bind, port)
    await site.start()
    return runner, int(runner.addresses[0][1])
