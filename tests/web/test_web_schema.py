"""schemathesis sends what the OpenAPI document allows, and much that it does not: no 500, responses as documented."""

from contextlib import suppress

import pytest

pytest.importorskip("schemathesis", reason="schemathesis is not installed: requirements-dev.txt")
pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from support import web

pytestmark = pytest.mark.slow
EVERYTHING = {
    ("GET", "/health"),
    ("POST", "/predict"),
    ("GET", "/cameras"),
    ("POST", "/videos"),
    ("GET", "/videos/{id}"),
    ("GET", "/videos/{id}/{result}"),
    ("DELETE", "/videos/{id}"),
}


@pytest.fixture(scope="module")
def document():
    with web.listening() as (host, port):
        yield schemathesis.openapi.from_url(f"http://{host}:{port}/openapi.json")


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_responses_match_the_document(document, mode):
    asked = set()
    for found in document.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        def ask(case):
            response = case.call(timeout=20)
            excluded = [positive_data_acceptance]  # random bytes are no image
            each_by_itself = response.status_code == 200 and "results" in response.json()
            if response.status_code == 413 or each_by_itself:  # refusals that schemathesis does not know as such
                excluded.append(negative_data_rejection)
            case.validate_response(response, excluded_checks=excluded)
            asked.add((case.method, case.path))

        with suppress(Unsatisfiable):  # nothing can be wrong with a request without a body
            ask()
    assert asked >= (EVERYTHING if mode == GenerationMode.POSITIVE else {("POST", "/predict")})
