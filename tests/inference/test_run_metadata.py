"""The file beside a table of results that says which model and detector wrote it."""

import json

import pytest

from fer import FerError
from fer.core.files import file_sha256
from fer.inference.run_metadata import check_own, check_resumable, describe_run, metadata_path, write_metadata


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("rows\n")
    return path


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(b"abc")
    return path


def test_the_file_names_model_detector_and_versions(table, model):
    write_metadata(describe_run(table, model, detector="yunet", detector_model=model, uncertain_below=0.5), table)
    assert metadata_path(table).name == "results.meta.json"
    written = json.loads(metadata_path(table).read_text())
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert written["model_sha256"] == written["detector_model_sha256"] == digest == file_sha256(model)
    assert (written["results"], written["detector"], written["uncertain_below"]) == ("results.csv", "yunet", 0.5)
    assert {"fer", "opencv", "python"} == set(written["versions"])


def test_a_table_whose_metadata_belong_to_another_is_refused(table, model):
    check_own(table)  # there are none
    write_metadata(describe_run(table, model, detector="auto"), table)
    check_own(table)
    with pytest.raises(FerError, match=r"results\.jsonl: results\.meta\.json belongs to results\.csv"):
        check_own(table.with_suffix(".jsonl"))
    table.unlink()
    check_own(table.with_suffix(".jsonl"))  # of a table that is gone


def test_the_same_run_is_resumed(table, model, log_lines):
    write_metadata(describe_run(table, model, detector="auto"), table)
    check_resumable(describe_run(table, model, detector="auto"), table)
    assert log_lines == []


@pytest.mark.parametrize(
    "changes", [{"detector": "none"}, {"uncertain_below": 0.5}, {"detector_model": "model", "detector": "auto"}]
)
def test_another_detector_or_threshold_is_refused(table, model, changes):
    write_metadata(describe_run(table, model, detector="auto"), table)
    changes = {"detector": "auto"} | {key: model if value == "model" else value for key, value in changes.items()}
    with pytest.raises(FerError, match=r"results\.csv: another model or detector wrote it"):
        check_resumable(describe_run(table, model, **changes), table)


def test_another_model_of_the_same_name_is_refused(table, model):
    write_metadata(describe_run(table, model, detector="auto"), table)
    model.write_bytes(b"other")
    with pytest.raises(FerError, match=r"model_sha256 ba78.*, now "):
        check_resumable(describe_run(table, model, detector="auto"), table)


def test_other_versions_are_a_line_of_the_log(table, model, log_lines):
    run = describe_run(table, model, detector="auto")
    write_metadata(run | {"versions": {"fer": "0.9"}}, table)
    check_resumable(run, table)
    assert len(log_lines) == 1
    assert "{'fer': '0.9'}" in log_lines[0]


@pytest.mark.parametrize("text", [None, "{", "[]", "{}", '{"results": "results.jsonl"}'])
def test_a_table_without_metadata_is_not_resumed(table, model, text):
    if text is not None:
        metadata_path(table).write_text(text)
    with pytest.raises(FerError, match=r"results\.meta\.json .* unknown; start again with --overwrite"):
        check_resumable(describe_run(table, model, detector="auto"), table)


def test_without_a_table_there_is_nothing_to_compare(tmp_path, model):
    run = describe_run(tmp_path / "new.csv", model, detector="auto")
    check_resumable(run, tmp_path / "new.csv")
    (tmp_path / "new.csv").touch()
    check_resumable(run, tmp_path / "new.csv")


def test_a_folder_of_parts_holds_its_own(tmp_path, model):
    folder = tmp_path / "out.v2"
    run = describe_run(folder, model, detector="haar")
    assert check_resumable(run, folder) is None
    folder.mkdir()
    assert check_resumable(run, folder) is None
    write_metadata(run, folder)
    assert [path.name for path in folder.iterdir()] == ["_results.meta.json"]
    assert check_resumable(run, folder) == json.loads(metadata_path(folder).read_text())
    model.write_bytes(b"another")
    with pytest.raises(FerError, match="another model or detector wrote it"):
        check_resumable(describe_run(folder, model, detector="haar"), folder)
