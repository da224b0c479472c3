"""schemathesis asks the page what its OpenAPI document allows, and much that it does not: no 500, answers as said."""

import pytest

pytest.importorskip("schemathesis", reason="schemathesis is not installed: requirements-dev.txt")
pytest.importorskip("visiting", reason="requirements-app.txt is not installed")

import schemathesis
import visiting
from hypothesis import HealthCheck, settings


@pytest.fixture(scope="module")
def document():
    with visiting.listening() as (host, port):
        yield schemathesis.openapi.from_url(f"http://{host}:{port}/openapi.json")


@schemathesis.pytest.from_fixture("document").parametrize()
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_the_document_says(case):
    case.call_and_validate(timeout=20)
