"""--token: nothing but /health without it, for programs by a header and for people by a cookie."""

import re
import time

import numpy as np
import pytest

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

from starlette.testclient import WebSocketDenialResponse
from support.web import connect, encode, line

from fer import FerError
from fer.cli import app
from fer.web.auth import COOKIE, PUBLIC_PATHS

TOKEN = "a-long-token-for-tests"
IMAGE = encode(np.full((100, 100, 3), 90, np.uint8))
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def client():
    with connect(token=TOKEN) as client:
        yield client


def log_in(client, token=TOKEN, **options):
    return client.post("/login", data={"token": token}, follow_redirects=False, **options)


def test_health_is_open(client):
    assert client.get("/health").json()["protected"]
    for path in PUBLIC_PATHS:
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Cookie": f"{COOKIE}=x"}]
)
def test_everything_else_is_closed(client, headers):
    for method, path in (
        *(("GET", path) for path in ("/cameras", "/openapi.json", "/static/main.js", "/videos/x", "/nothing")),
        *(("POST", path) for path in ("/predict", "/videos")),
    ):
        answer = client.request(method, path, headers=headers)
        if answer.status_code == 429:  # after ten wrong tokens
            assert "failed logins" in line(answer)
            continue
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "token" in line(answer)
        assert TOKEN not in answer.text
    for path in ("/live", "/cameras/door"):
        with pytest.raises(WebSocketDenialResponse) as denied:
            client.websocket_connect(f"ws://localhost{path}", headers=headers).__enter__()
        assert denied.value.status_code in (401, 429)


def test_page_leads_to_the_login(client):
    answer = client.get("/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    page = client.get("/login")
    assert 'name="token"' in page.text
    assert not re.search(r"(src|href)=.(https?:)?//", page.text)


def test_program_sends_a_header(client):
    assert client.post("/predict", files={"image": IMAGE}, headers=BEARER).status_code == 200
    with client.websocket_connect("ws://localhost/live", headers=BEARER) as socket:
        socket.send_bytes(IMAGE)
        assert socket.receive_json()["faces"] is not None


def test_person_gets_a_cookie(client):
    answer = log_in(client)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie
    assert TOKEN not in cookie
    assert client.get("/").status_code == 200
    assert client.post("/predict", files={"image": IMAGE}).status_code == 200
    with client.websocket_connect("ws://localhost/live") as socket:
        socket.send_bytes(IMAGE)
        assert socket.receive_json()["faces"] is not None


def test_logging_out_takes_the_cookie_away(client):
    log_in(client)
    assert client.post("/logout", headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.get("/logout").status_code == 404  # a link of another page must not log out
    assert client.get("/cameras").status_code == 200
    answer = client.post("/logout", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert client.get("/cameras").status_code == 401


def test_cookie_is_secure_over_https():
    with connect(token=TOKEN) as client:
        client.base_url = "https://localhost"
        assert "secure" in log_in(client).headers["set-cookie"].lower()


def test_new_token_ends_sessions(client):
    log_in(client)
    with connect(token="another-long-token") as other:
        other.cookies = client.cookies
        assert other.get("/cameras").status_code == 401


def test_wrong_token_gets_no_cookie(client):
    answer = log_in(client, "wrong")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login#wrong")
    assert "set-cookie" not in answer.headers
    assert client.post("/login", content=b"x" * 20_000).status_code == 413
    assert client.put("/login").status_code == 405


def test_cross_origin_login_is_refused(client):
    assert log_in(client, headers={"Origin": "http://evil.example"}).status_code == 403


def test_guessing_is_slowed_down():
    with connect(token=TOKEN, failed_logins_per_minute=3) as client:
        for _ in range(3):
            assert log_in(client, "wrong").status_code == 303
        answer = log_in(client, "wrong")
        assert answer.status_code == 429
        assert re.search(r'id="busy" class="problem" role="alert">Too many', answer.text)
        assert answer.headers["referrer-policy"] == "same-origin"  # or browsers send its form with "Origin: null"
        assert 'role="alert" hidden' in client.get("/login").text
        assert int(answer.headers["retry-after"]) > 0
        assert client.get("/cameras", headers={"Authorization": "Bearer wrong"}).status_code == 429
        assert client.get("/health").status_code == 200
        assert client.get("/cameras").status_code == 401  # no guess
        assert client.get("/login").status_code == 200


@pytest.mark.parametrize("token", ["short", "a-long-token-with-ä", "a-long-token\nof-two-lines"])
def test_bad_tokens_are_refused(token):
    with pytest.raises(FerError, match="16 characters of ASCII"):
        connect(token=token)


@pytest.mark.parametrize("header", [b"Bearer \xff\xfe", b"Bearer", b"Bearer  ", b"\xff"])
def test_strange_headers(client, header):
    assert client.get("/cameras", headers={"Authorization": header}).status_code == 401
    assert client.get("/cameras", headers={"Cookie": header}).status_code == 401


def test_token_file(tmp_path):
    path = tmp_path / "token.txt"
    path.write_text(TOKEN + "\n", encoding="utf-8")
    assert app.read_token(app.parse_args(["--token-file", str(path)])) == TOKEN
    assert app.read_token(app.parse_args(["--token", TOKEN])) == TOKEN
    assert app.read_token(app.parse_args([])) is None
    path.write_text(TOKEN, encoding="utf-8-sig")  # as editors of Windows do
    assert app.read_token(app.parse_args(["--token-file", str(path)])) == TOKEN
    for content in ("", "one\ntwo\n"):
        path.write_text(content)
        with pytest.raises(FerError, match="one line"):
            app.read_token(app.parse_args(["--token-file", str(path)]))
    with pytest.raises(FerError, match="cannot be opened"):
        app.read_token(app.parse_args(["--token-file", str(tmp_path / "missing")]))


def test_wrong_tokens_of_a_neighbour_lock_nobody_out(client):
    """Behind one address, a proxy's for example, there are strangers and honest programs."""
    for _ in range(12):
        other = client.get("/cameras", headers={"Authorization": "Bearer wrong"})
    assert other.status_code == 429
    assert client.get("/cameras", headers=BEARER).status_code == 200
    assert log_in(client).headers["location"] == "/"
    assert client.get("/cameras").status_code == 200
    assert client.get("/cameras", headers={"Cookie": "", "Authorization": "Bearer wrong"}).status_code == 429


@pytest.mark.parametrize("token", [None, TOKEN])
def test_cookies_are_not_given_to_a_slow_parser(token):
    """Python's own takes a minute for this one before 3.11.10 (CVE-2024-7592), and FastAPI asks it for every route."""
    cookie = f'{COOKIE}="' + "\\" * 50_000 + '"'
    with connect(token=token) as client:
        begun = time.process_time()
        for path in ("/cameras", "/health"):
            client.get(path, headers={"Cookie": cookie})
        assert time.process_time() - begun < 3


def test_cookie_is_found_among_others(client):
    log_in(client)
    value = client.cookies[COOKIE]
    client.cookies.clear()
    for cookie, status in (
        (f'a="b=c"; {COOKIE}={value};d', 200),
        (f"{COOKIE}=x;{COOKIE}={value}", 200),
        (f"{COOKIE}={value[:-1]}", 401),
        (f"x{COOKIE}={value}", 401),
        (f"={COOKIE}={value}", 401),
    ):
        assert client.get("/cameras", headers={"Cookie": cookie}).status_code == status, cookie


def test_guesses_at_files_count_as_requests():
    """The files of the page are not counted for those who guess nothing."""
    with connect(token=TOKEN, requests_per_minute=3) as client:
        for headers in ({"Authorization": "Bearer wrong"}, {"Cookie": f"{COOKIE}=x"}, {"Authorization": "Bearer x"}):
            assert client.get("/static/main.js", headers=headers).status_code == 401
        assert "requests per minute" in line(client.get("/static/main.js", headers=BEARER))
        assert client.get("/static/style.css").status_code == 200
