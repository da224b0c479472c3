"""The page of a server without cameras, and of one that asks for a token, in Chromium."""

import pytest
from support import browsing

pytestmark = pytest.mark.browser


def test_without_cameras_their_tab_is_hidden(tmp_path, light_four_block):
    with browsing.site(tmp_path, light_four_block) as site, site.visit("camera") as page:
        browsing.until(page, "!document.querySelector('#webcam').hidden")
        assert not page.is_visible("#tab-camera")
        assert "--camera" not in page.inner_text("body")
        page.focus("#tab-webcam")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == "tab-image"


def test_corrections_need_consent(tmp_path, light_four_block):
    folder = tmp_path / "collected"
    with browsing.site(tmp_path, light_four_block, "--collect", folder) as site, site.visit("image") as page:
        assert "kept for training" in page.inner_text("footer")
        page.click("#image .example")
        browsing.status(page, "image", "found")
        first = "#image .face:first-child"
        page.click(f"{first} summary")
        page.select_option(f"{first} select", "surprise")
        page.click(f"{first} form button")  # the browser asks for the tick
        page.wait_for_timeout(300)
        assert not list(folder.rglob("*.png"))
        page.check(f"{first} [type=checkbox]")
        page.click(f"{first} form button")
        page.locator(f"{first} [role=status]", has_text="Kept as surprise").wait_for()
        assert [path.parent.name for path in folder.rglob("*.png")] == ["surprise"]


def test_login_form(tmp_path, light_four_block):
    token = "a-long-token-for-tests"
    with browsing.site(tmp_path, light_four_block, "--token", token, "--failed-logins-per-minute", "1") as site:
        context = site.browser.new_context(permissions=["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.goto(site.address)
        assert page.url == f"{site.address}/login"
        assert not page.is_visible("#wrong")
        page.fill("#token", "wrong")
        page.click("button")
        page.wait_for_url("**/login#wrong")
        assert page.is_visible("#wrong")
        assert not page.is_visible("#busy")
        page.fill("#token", "wrong")
        page.click("button")
        page.locator("#busy").wait_for()
        page.fill("#token", token)
        page.click("button")
        page.locator("#model", has_text="four-block").wait_for()
        assert "fer_session" not in page.evaluate("document.cookie")  # HttpOnly
        page.click("#tab-image")
        page.click("#image .example")
        browsing.status(page, "image", "found")
        page.click("#image .curl")
        browsing.status(page, "image", "Copied; run it in the folder of the image, with the token")
        command = page.evaluate("navigator.clipboard.readText()")
        assert command.startswith('curl -H "Authorization: Bearer $TOKEN" -F')
        assert token not in page.content()
        page.click("#leave")
        page.wait_for_url("**/login")
        page.goto(site.address)
        assert page.url == f"{site.address}/login"
        context.close()
