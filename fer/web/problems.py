"""Errors as clients see them: a status and one line of JSON, never a traceback."""

from typing import Any, NoReturn

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel

# For the OpenAPI document: when a status comes, and a line that it may have.
STATUSES = {
    400: ("A form or a Range that cannot be read.", "There was an error parsing the body"),
    401: ("No token, or a wrong one, where the server asks for one.", "this server asks for its token: ..."),
    403: ("A cross-origin request, or a host name that is not the server's.", "cross-origin requests are not allowed"),
    404: ("There is no such video or result.", "there is no such video; it may have been deleted"),
    408: ("The upload stalled, or was too slow.", "the upload took too long"),
    409: ("The result is not there yet.", "the video is waiting"),
    413: ("Too many bytes, pixels or images.", "the file is larger than 10 MB"),
    415: ("Another kind of file.", "not an image in one of these formats: JPEG, PNG, WEBP, BMP"),
    416: ("A Range beyond the end of the file.", "the range is not within the file, which has 4,096 bytes"),
    422: ("A damaged file, an extreme shape, or a field that is missing or wrong.", "the file is empty (0 bytes)"),
    429: (
        "Too much at once, or per minute; Retry-After says when to come back.",
        "busy: the limit is 16 images at once",
    ),
    503: ("The server is too busy, or is closing.", "the server is too busy at the moment; try again"),
    507: ("The server keeps no more corrections.", "the limit is 10,000 corrections"),
}
ANYWHERE = (403, 429, 503)  # on every route


class Problem(BaseModel):
    """What is wrong, in one line."""

    detail: str


def refuse(status: int, detail: str, *, retry: int | None = None) -> NoReturn:
    """Raises the HTTPException of a status.

    Args:
        status: of HTTP.
        detail: one line for a person.
        retry: seconds for the header Retry-After.
    """
    raise HTTPException(status, detail, headers=None if retry is None else {"Retry-After": str(retry)})


def problem_responses(*statuses: int) -> dict[int | str, dict]:
    """The `responses` of a route that may answer with these statuses."""
    return {
        status: {
            "model": Problem,
            "description": STATUSES[status][0],
            "content": {"application/json": {"example": {"detail": STATUSES[status][1]}}},
        }
        for status in statuses
    }


def example(content: Any, **more: Any) -> dict:
    """The entry of `responses` for success with an example.

    Args:
        content: that JSON can hold.
        more: further examples by name, beside "one".
    """
    examples = {name: {"value": value} for name, value in {"one": content, **more}.items()}
    return {"content": {"application/json": {"examples": examples}}}


def add_document(app: FastAPI) -> None:
    """Corrects FastAPI's OpenAPI document: its validation errors are a `Problem` here."""
    generate = app.openapi

    def openapi() -> dict:
        document = generate()
        for operations in document["paths"].values():
            for operation in operations.values():
                found = operation["responses"].get("422", {}).get("content", {}).get("application/json", {})
                if found.get("schema", {}).get("$ref", "").endswith("/HTTPValidationError"):
                    del operation["responses"]["422"]  # only for a parameter in the path, which is any text
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(name, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def add_handlers(app: FastAPI) -> None:
    """Makes validation errors and bugs one line of JSON as well."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        lines = (f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in error.errors())
        return JSONResponse({"detail": "; ".join(lines)}, 422)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:  # Starlette logs the traceback
        return JSONResponse({"detail": "the server failed at this request"}, 500)
