"""Errors as clients see them: a status and one line of JSON, never a traceback."""

from typing import NoReturn

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel


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
    return {status: {"model": Problem} for status in statuses}


def add_handlers(app: FastAPI) -> None:
    """Makes validation errors and bugs one line of JSON as well."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        lines = (f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in error.errors())
        return JSONResponse({"detail": "; ".join(lines)}, 422)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:  # Starlette logs the traceback
        return JSONResponse({"detail": "the server failed at this request"}, 500)
