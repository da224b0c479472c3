"""Several images at once in Chromium: chosen files, zip archives, a table, CSV and JSON."""

import base64
import csv
import io
import json
import shlex
import zipfile

import cv2
import numpy as np
import pytest
from support import browsing, portrait

from fer.core.labels import FER2013
from fer.inference.results import COLUMNS

pytestmark = pytest.mark.browser


def encode(image, suffix=".jpg"):
    return cv2.imencode(suffix, image)[1].tobytes()


@pytest.fixture
def tab(site):
    with site.visit("image", viewport={"width": 1200, "height": 850}) as page:
        yield page


@pytest.fixture(scope="module")
def files():
    """Names and contents: two with a face, one without, one that is no image."""
    face = portrait.astronaut()
    return {
        "a.jpg": encode(face),
        "b.png": encode(np.full((300, 400, 3), 90, np.uint8), ".png"),
        'c, "quoted".jpg': encode(np.hstack([face] * 2)),
        "d.jpg": b"no image",
    }


def choose(page, files):
    chosen = [{"name": name, "mimeType": "", "buffer": data} for name, data in files.items()]
    page.set_input_files("#image input[type=file]", chosen)


def pack(files, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def lines(page):
    return [row.locator("td").all_inner_texts()[1:] for row in page.locator("#image .many tbody tr").all()]


def test_table_csv_and_json_of_several_images(tab, files):
    choose(tab, files)
    browsing.status(tab, "image", "4 images labelled, 1 of them refused")
    shown = lines(tab)
    assert [name for name, *_ in shown] == list(files)
    assert [count for _, count, _ in shown] == ["1", "0", "2", ""]
    assert "not an image" in shown[3][2]
    name, data = browsing.downloaded(tab, "#image .many .csv")
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert name == "expressions.csv"
    assert tuple(rows[0])[: len(COLUMNS)] == COLUMNS
    assert set(tuple(rows[0])[len(COLUMNS) :]) == set(FER2013)  # this model has no threshold
    quoted = 'c, "quoted".jpg'
    assert [row["source"] for row in rows] == ["a.jpg", "b.png", quoted, quoted, "d.jpg"]
    assert [row["status"] for row in rows] == ["ok", "no_face", "ok", "ok", "unreadable"]
    assert [row["face"] for row in rows] == ["0", "", "0", "1", ""]
    assert sum(float(rows[0][label]) for label in FER2013) == pytest.approx(1, abs=0.001)
    name, data = browsing.downloaded(tab, "#image .many .json")
    said = json.loads(data)
    assert [one["name"] for one in said] == list(files)
    assert "detail" in said[3]
    assert len(said[2]["faces"]) == 2
    tab.click("#image .many tbody tr:first-child button")
    browsing.status(tab, "image", "1 face found")
    assert tab.is_visible("#image .result")
    assert len(lines(tab)) == 4  # the table stays
    assert len(browsing.downloaded(tab, "#image .many .json")[1]) == len(data)


def test_a_busy_server_is_asked_again_and_what_it_did_not_label_is_not_unreadable(tab, files):
    answers = [
        {"status": 429, "headers": {"Retry-After": "1"}, "json": {"detail": "busy"}},
        {"status": 408, "json": {"detail": "too late"}},
    ]

    def answer(route):
        if answers:
            route.fulfill(**answers.pop(0))
        else:
            route.continue_()

    tab.route("**/predict", answer)
    choose(tab, files)
    browsing.status(tab, "image", "4 images labelled, 2 of them refused")
    tab.unroute("**/predict")
    rows = list(csv.DictReader(io.StringIO(browsing.downloaded(tab, "#image .many .csv")[1].decode())))
    assert {row["source"] for row in rows if row["status"] == "unreadable"} == {"d.jpg"}
    assert len({row["source"] for row in rows}) == 3


def test_a_dropped_folder_is_searched_for_images_to_its_end(tab):
    count = """async () => {
        const { dropped } = await import("/static/files.js");
        const file = (name) => (done) => done(new File([""], name));
        const entry = (name) => ({ isFile: true, name, fullPath: `/f/${name}`, file: file(name) });
        const pages = [Array.from({ length: 1400 }, (_, i) => entry(`${i}.${i % 2 ? "jpg" : "cr2"}`)), []];
        const folder = { isDirectory: true, createReader: () => ({ readEntries: (done) => done(pages.shift()) }) };
        return (await dropped({ items: [{ webkitGetAsEntry: () => folder }], files: [] })).length;
    }"""
    assert tab.evaluate(count) == 700


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_is_unpacked_in_the_browser(tab, files, method):
    content = {f"holiday/{name}": data for name, data in files.items()} | {"notes.txt": b"no image"}
    browsing.upload(tab, "image", pack(content, method), "holiday.zip")
    browsing.status(tab, "image", "4 images labelled, 1 of them refused")
    assert [name for name, *_ in lines(tab)] == [f"holiday/{name}" for name in files]


def test_paths_in_a_zip_are_only_names(tab, files):
    browsing.upload(tab, "image", pack({"../../etc/a.jpg": files["a.jpg"], "/tmp/b.jpg": files["a.jpg"]}), "x.zip")
    browsing.status(tab, "image", "2 images labelled, 0 of them refused")


def test_zip_bomb_is_refused(tab):
    bomb = pack({f"{number}.jpg": bytes(100 * 2**20) for number in range(3)})
    browsing.upload(tab, "image", bomb, "bomb.zip")
    browsing.status(tab, "image", "holds too many images", problem=True)


def test_lying_zip_is_refused(tab):
    data = bytearray(pack({"a.jpg": bytes(10 * 2**20), "b.jpg": bytes(10)}))
    at = data.index(b"PK\x01\x02") + 24
    for place, lie in ((at, 1000), (at, 11 * 2**20), (at - 8, 0)):  # smaller, larger, another checksum
        lying = data[:place] + lie.to_bytes(4, "little") + data[place + 4 :]
        browsing.upload(tab, "image", bytes(lying), "bomb.zip")
        browsing.status(tab, "image", "the archive is damaged", problem=True)
        tab.evaluate("document.querySelector('#image .status').textContent = ''")


def test_zip_with_a_damaged_list_is_refused(tab, files):
    """The images before the damage would look like all there are."""
    data = bytearray(pack({"a.jpg": files["a.jpg"], "b.png": files["b.png"]}))
    data[data.rindex(b"PK\x01\x02")] = 0
    browsing.upload(tab, "image", bytes(data), "x.zip")
    browsing.status(tab, "image", "the archive is damaged", problem=True)


def test_live_table_says_when_it_is_full(tab):
    fill = """async () => {
        const { Rows } = await import("/static/rows.js");
        const rows = new Rows({ columns: ["source"], labels: [], uncertain_below: null });
        const full = [];
        for (let i = 0; i < 200_002; i++) { rows.add("webcam", null); full.push(rows.full); }
        return [rows.lines.length, full.indexOf(true)];
    }"""
    assert tab.evaluate(fill) == [200_000, 199_999]


FAR = b"\xff" * 4  # an offset beyond the file
ENTRY = b"PK\x01\x02" + bytes(6) + b"\x08\x00" + bytes(16) + b"\x05\x00" + bytes(12) + FAR + b"a.jpg"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is not a zip archive"),
        (b"PK", "is not a zip archive"),
        (b"no archive" * 50, "is not a zip archive"),
        (b"PK\x05\x06" + bytes(18), "There is no image"),
        (b"PK\x05\x06" + bytes(6) + b"\x01\x00" + bytes(4) + FAR + bytes(2), "the archive is damaged"),
        (ENTRY + b"PK\x05\x06" + bytes(6) + b"\x01\x00" + bytes(10), "the archive is damaged"),
    ],
)
def test_broken_archives_are_refused_in_one_line(tab, data, words):
    browsing.upload(tab, "image", data, "broken.zip")
    browsing.status(tab, "image", words, problem=True)


def test_what_looks_like_a_formula_is_text_in_the_csv(tab, files):
    names = ["=1+1.jpg", "+a.jpg", "-a.jpg", "@a.jpg", "\ta.jpg", "a=1.jpg"]
    browsing.upload(tab, "image", pack(dict.fromkeys(names, files["b.png"])), "x.zip")
    browsing.status(tab, "image", "6 images labelled")
    rows = csv.DictReader(io.StringIO(browsing.downloaded(tab, "#image .many .csv")[1].decode()))
    assert {row["source"] for row in rows} == {*(f"'{name}" for name in names[:-1]), names[-1]}
    said = json.loads(browsing.downloaded(tab, "#image .many .json")[1])
    assert {one["name"] for one in said} == set(names)


def test_what_macos_adds_to_archives_is_left_out(tab, files):
    content = {"a.jpg": files["a.jpg"], "c.jpg": files["b.png"], "__MACOSX/._a.jpg": b"x", "__MACOSX/a.jpg": b"x"}
    browsing.upload(tab, "image", pack(content), "x.zip")
    browsing.status(tab, "image", "2 images labelled, 0 of them refused")


def test_encrypted_archive_is_refused(tab, files):
    data = bytearray(pack({"a.jpg": files["a.jpg"]}))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    browsing.upload(tab, "image", bytes(data), "x.zip")
    browsing.status(tab, "image", "packed in a way that this page cannot read", problem=True)


def test_entries_that_share_their_bytes_are_refused(tab):
    """A stored entry of a thousand takes all of the archive, and says that it holds nothing."""
    end = b"PK\x05\x06" + bytes(6) + (1000).to_bytes(2, "little") + bytes(4) + (100).to_bytes(4, "little") + bytes(2)
    entry = b"PK\x01\x02" + bytes(16) + (1000).to_bytes(4, "little") + bytes(4) + b"\x05\x00" + bytes(16) + b"a.jpg"
    browsing.upload(tab, "image", b"PK\x03\x04" + bytes(96) + entry * 1000 + end, "x.zip")
    browsing.status(tab, "image", "the archive is damaged", problem=True)


def test_copied_command_names_one_file(site, files):
    with site.visit("image", permissions=["clipboard-read", "clipboard-write"]) as page:
        browsing.upload(page, "image", files["a.jpg"], """it's",key;"\\.jpg""")
        browsing.status(page, "image", "1 face found")
        page.click("#image .curl")
        browsing.status(page, "image", "Copied")
        (_, _, form, _) = shlex.split(page.evaluate("navigator.clipboard.readText()"))
    assert form == r'''image=@"it's\",key;\"\\.jpg"'''


def test_example_and_copy_as_curl(site):
    with site.visit("image", permissions=["clipboard-read", "clipboard-write"]) as page:
        page.click("#image .example")
        browsing.status(page, "image", "3 faces found")
        page.click("#image .curl")
        browsing.status(page, "image", "Copied")
        command = page.evaluate("navigator.clipboard.readText()")
        assert command == f"""curl -F 'image=@"example.jpg"' {site.address}/predict"""


def test_images_can_be_dropped_together(tab, files):
    data = [base64.b64encode(files[name]).decode() for name in ("a.jpg", "b.png")]
    tab.evaluate(
        """(files) => {
          const transfer = new DataTransfer();
          files.forEach((data, i) => transfer.items.add(
            new File([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], `${i}.jpg`)));
          document.querySelector("#image .drop").dispatchEvent(
            new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
        }""",
        data,
    )
    browsing.status(tab, "image", "2 images labelled")
