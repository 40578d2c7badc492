"""Endpoints of tasks: taken now, drawn later, asked for by id; a task survives a restart or says that it is lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Body, Header, Path, Response
from starlette.concurrency import run_in_threadpool

from zimage_core import clock
from zimage_core.engines.exchange import FailureForm, GenerateBody, to_text
from zimage_core.errors import EngineError
from zimage_core.serving.denials import Denied
from zimage_core.serving.forms import (
    DOOR,
    GENERATE_EXAMPLES,
    LOOKING,
    DrawBody,
    IdempotencyKey,
    PriorityHeader,
    TaskAnswer,
    TaskTaken,
    responses,
)
from zimage_core.serving.intake import Order, body_name, fresh_name
from zimage_core.serving.routes_draw import JSON, key_is_taken, order_of
from zimage_core.serving.services import Caller, Here, Services
from zimage_core.serving.taskbook import FINISHED, TaskRow
from zimage_core.serving.work import Picture, Priority, Work

TASKS_PATH = "/api/v1/tasks"
TAKE_PATH = "/api/v1/generate"
PNG = "image/png"
_RUNNING_MOST = 0.95

TaskId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", description="As answered when the task was taken.")]

router = APIRouter(tags=["tasks"])


@router.post(
    TAKE_PATH,
    status_code=202,
    responses=responses(*DOOR, 409, 422)
    | {
        202: {
            "description": "The task is written down.",
            "headers": {"Location": {"description": "The task's own address.", "schema": {"type": "string"}}},
            "links": {
                operation: {"operationId": operation, "parameters": {"task_id": "$response.body#/task_id"}}
                for operation in ("look_at_task", "task_result", "cancel_task", "cancel_task_by_post")
            },
        }
    },
    summary="Take a task, to be drawn later",
    operation_id="take_task",
)
async def take(
    response: Response,
    services: Here,
    caller: Caller,
    body: Annotated[DrawBody, Body(openapi_examples=GENERATE_EXAMPLES)],
    idempotency_key: IdempotencyKey = None,
    x_priority: PriorityHeader = "normal",
) -> TaskTaken:
    """Write a task down and answer with its id. It is on disk before this answer: a restart does not lose it."""
    name = fresh_name() if idempotency_key is None else f"{caller}:{idempotency_key}"
    order = await order_of(services, body, name)
    row = await run_in_threadpool(_promise, services, order, caller, idempotency_key, body, x_priority)
    url = f"{TASKS_PATH}/{row.task_id}"
    response.headers["Location"] = url
    return TaskTaken(task_id=row.task_id, state=row.state, url=url)


@router.get(
    f"{TASKS_PATH}/{{task_id}}",
    responses=responses(*LOOKING, 404, 422),
    response_description="How it stands.",
    summary="How a task stands",
    operation_id="look_at_task",
)
def look(task_id: TaskId, services: Here, caller: Caller) -> TaskAnswer:
    """Answer with the task's state, its place in the queue and an estimate of when it is done."""
    return _answer(services, _row(services, task_id, caller))


@router.get(
    f"{TASKS_PATH}/{{task_id}}/result",
    response_class=Response,
    responses=responses(*LOOKING, 404, 406, 409, 410, 422)
    | {
        200: {
            "description": "The picture: the PNG itself, or with `Accept: application/json` our exchange's answer.",
            "content": {
                PNG: {"schema": {"type": "string", "format": "binary"}},
                JSON: {"schema": {"$ref": "#/components/schemas/GenerateAnswer"}},
            },
        }
    },
    summary="The picture of a task",
    operation_id="task_result",
)
def result(
    task_id: TaskId,
    services: Here,
    caller: Caller,
    accept: Annotated[str, Header(description="image/png, or application/json.")] = PNG,
) -> Response:
    """Answer with the picture of a task that is done."""
    kind = _kind(accept)
    row = _row(services, task_id, caller)
    if row.state != "done":
        raise _no_picture(services, row)
    picture = services.results.get(row.content_key)
    if picture is None:
        raise Denied(410, "The picture was made, but is not kept any more; take the task again.")
    return Response(picture.png, media_type=PNG) if kind == PNG else _as_json(picture)


@router.delete(
    f"{TASKS_PATH}/{{task_id}}",
    responses=responses(*LOOKING, 404, 409, 422),
    response_description="It is cancelled.",
    summary="Cancel a task",
    operation_id="cancel_task",
)
@router.post(
    f"{TASKS_PATH}/{{task_id}}/cancel",
    responses=responses(*DOOR, 404, 409, 422),
    response_description="It is cancelled.",
    summary="Cancel a task (for clients that cannot send DELETE)",
    operation_id="cancel_task_by_post",
)
def cancel(task_id: TaskId, services: Here, caller: Caller) -> TaskAnswer:
    """Cancel a task that still waits. What is being drawn is drawn to its end; what has ended stays as it is."""
    row = _row(services, task_id, caller)
    if row.state == "queued" and services.desk.withdraw(task_id):
        services.book.finished([task_id], "cancelled", reason="Its caller cancelled it.")
        row = _row(services, task_id, caller)
    if row.state != "cancelled":
        raise Denied(409, f"The task is {row.state}; only a task that waits can be cancelled.")
    return _answer(services, row)


# ---------------------------------------------------------------- taking


def _promise(
    services: Services, order: Order, caller: str, key: str | None, body: GenerateBody, priority: Priority
) -> TaskRow:
    """Write a task down, then let it wait; when it may not wait after all, strike it out again."""

    def still_good(before: TaskRow) -> bool:
        kept = before.state != "done" or services.results.get(before.content_key) is not None
        return before.state in ("queued", "running", "done") and kept

    row = TaskRow(
        task_id=clock.fresh_id(),
        caller=caller,
        state="queued",
        priority=priority,
        fingerprint=services.desk.info.fingerprint,
        content_key=order.work.content_key,
        request=to_text(order.form).encode(),
        reason="",
        failure="",
        starts=0,
        created_s=clock.now().timestamp(),
        started_s=None,
        finished_s=None,
    )
    with services.taking:
        claim, row = services.book.promise(row, key=key, body=body_name(TAKE_PATH, body), still_good=still_good)
        if claim == "other":
            raise key_is_taken(key or "")
        if claim == "new":
            try:
                _let_wait(services, order.work, priority, row.task_id)
            except EngineError:
                services.book.strike_out(row.task_id)
                raise
    return services.book.get(row.task_id, caller) or row


def _let_wait(services: Services, work: Work, priority: Priority, task_id: str) -> None:
    """Let a promised task wait, be drawn along with the same work, or be done where its picture is kept and whole."""
    while True:
        ticket = services.desk.file(work, priority, task_id=task_id)
        if ticket is not None:
            if ticket.started_s is not None:
                services.book.begun([task_id])
            return
        if services.results.get(work.content_key) is not None:
            services.book.finished([task_id], "done")
            return
        # its file was damaged, or went between the two questions; the next answer is a ticket


# ---------------------------------------------------------------- looking


def _row(services: Services, task_id: str, caller: str) -> TaskRow:
    row = services.book.get(task_id, caller)
    if row is None:
        raise Denied(404, "There is no such task of yours, or it ended so long ago that it is forgotten.")
    return row


def _answer(services: Services, row: TaskRow) -> TaskAnswer:
    desk = services.desk
    ticket = desk.ticket_of(row.task_id)
    ahead = desk.ahead_of(ticket) if ticket is not None and row.state == "queued" else None
    progress, eta_s = (1.0 if row.state == "done" else 0.0), None
    if ahead is not None:
        eta_s = desk.pace.seconds_for(ahead + desk.batch_limit)
    elif row.state == "running" and ticket is not None and ticket.started_s is not None:
        whole_s = max(desk.pace.seconds_for(desk.batch_limit), 1e-3)
        drawn_s = clock.elapsed_s() - ticket.started_s
        progress, eta_s = min(_RUNNING_MOST, drawn_s / whole_s), max(0.0, whole_s - drawn_s)
    return TaskAnswer(
        task_id=row.task_id,
        state=row.state,
        priority=row.priority,
        position=ahead,
        eta_s=eta_s,
        progress=progress,
        created_at=_moment(row.created_s),
        started_at=None if row.started_s is None else _moment(row.started_s),
        finished_at=None if row.finished_s is None else _moment(row.finished_s),
        reason=row.reason,
        failure=FailureForm.model_validate_json(row.failure) if row.failure else None,
        result_url=f"{TASKS_PATH}/{row.task_id}/result" if row.state == "done" else None,
    )


def _no_picture(services: Services, row: TaskRow) -> Denied:
    if row.state not in FINISHED:
        wait_s = services.desk.come_back_after_s()
        return Denied(409, f"The task is {row.state}; ask again later.", retry_after_s=wait_s)
    why = FailureForm.model_validate_json(row.failure).sentence if row.failure else row.reason
    return Denied(409, f"The task is {row.state}: {why}")


def _kind(accept: str) -> str:
    """Return which of the two forms is wanted more, by an Accept header; the PNG where both are alike."""
    best = {PNG: 0.0, JSON: 0.0}
    for part in (accept.strip() or PNG).split(","):
        media, *parameters = (word.strip().lower() for word in part.split(";"))
        for kind in best:
            if media in ("*/*", kind, f"{kind.partition('/')[0]}/*"):
                best[kind] = max(best[kind], _weight(parameters))
    if not any(best.values()):
        raise Denied(406, "A result can be had as image/png or as application/json.")
    return PNG if best[PNG] >= best[JSON] else JSON


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


def _as_json(picture: Picture) -> Response:
    return Response(to_text(picture.answer()), media_type=JSON)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
