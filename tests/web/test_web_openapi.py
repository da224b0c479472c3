"""The OpenAPI document says all of each route: what it does, its limits, examples, and the bodies of errors."""

import pytest
from pydantic import TypeAdapter
from support import web

from fer.web import cameras, corrections, images, server, videos

MODELS = {
    "/health": server.Health,
    "/predict": images.LabelledImage | images.LabelledImages,
    "/cameras": cameras.CameraNames,
    "/videos": videos.Created,
    "/videos/{id}": videos.Progress,
    "/corrections": corrections.Kept,
}


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    folder, token = tmp_path_factory.mktemp("corrected"), "0123456789abcdef"
    with web.connect(collect=folder, token=token, image_pixels=1_234_567, video_seconds=77.0) as client:
        return client.get("/openapi.json", headers={"Authorization": f"Bearer {token}"}).json()


@pytest.fixture(scope="module")
def operations(document):
    return {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def content(response):
    return response["content"]["application/json"]


def test_every_route_is_described(operations):
    assert {path for _, path in operations} == {*MODELS, "/videos/{id}/{result}"}
    for operation in operations.values():
        assert len(operation["description"]) > 20


def test_success_has_a_valid_example(operations):
    for (method, path), operation in operations.items():
        if method == "delete" or path == "/videos/{id}/{result}":
            continue
        (status,) = (status for status in operation["responses"] if status.startswith("2"))
        examples = content(operation["responses"][status])["examples"]
        for example in examples.values():
            TypeAdapter(MODELS[path]).validate_python(example["value"])
        assert len(examples) == (2 if path == "/predict" else 1)


def test_results_of_a_video_have_their_types_and_names(operations):
    operation = operations["get", "/videos/{id}/{result}"]
    assert set(operation["responses"]["200"]["content"]) == set(videos.RESULTS.values())
    (result,) = (one for one in operation["parameters"] if one["name"] == "result")
    assert result["schema"]["enum"] == list(videos.RESULTS)


def test_errors_are_one_line_with_an_example(document, operations):
    for (method, path), operation in operations.items():
        errors = {status: one for status, one in operation["responses"].items() if not status.startswith("2")}
        assert {"403", "429", "503"} <= set(errors), path
        assert ("401" in errors) == (path != "/health")
        assert ("413" in errors) == (method == "post")
        for error in errors.values():
            assert error["description"]
            assert content(error)["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert list(content(error)["example"]) == ["detail"]
    assert not [name for name in document["components"]["schemas"] if "ValidationError" in name]


def test_limits_are_those_of_this_server(operations):
    assert "1,234,567 pixels" in operations["post", "/predict"]["description"]
    assert "1,234,567 pixels" in operations["post", "/corrections"]["description"]
    assert "77 seconds" in operations["post", "/videos"]["description"]


def test_token_is_a_security_scheme(document, operations):
    (name,) = document["components"]["securitySchemes"]
    assert document["components"]["securitySchemes"][name]["scheme"] == "bearer"
    for (_, path), operation in operations.items():
        assert operation.get("security") == (None if path == "/health" else [{name: []}])
    with web.connect() as client:
        assert "securitySchemes" not in client.get("/openapi.json").json()["components"]


def test_labels_and_number_of_images_are_named(document):
    schemas = document["components"]["schemas"]
    (form,) = (schema for name, schema in schemas.items() if "correct" in name)
    assert form["properties"]["label"]["enum"] == list(web.classifier().labels)
    (form,) = (schema for name, schema in schemas.items() if "predict" in name)
    assert form["properties"]["image"]["maxItems"] == 16
