"""The choice of a camera in Chromium with two fake ones, by mouse and keyboard; front and back on a phone."""

import pytest
from support import browsing

pytestmark = pytest.mark.browser

RUNNING = "document.querySelector('#webcam video').srcObject?.getVideoTracks()[0]?.getSettings().deviceId"
VALUES = "[...document.querySelectorAll('#webcam .devices option')].map((option) => option.value)"
# What the page asks of the browser, and what it would get from a phone's camera.
ASKED = """window.asked = [];
const media = navigator.mediaDevices, own = media?.getUserMedia.bind(media);
if (media) media.getUserMedia = async (wanted) => {
  asked.push(wanted.video);
  const stream = await own({ video: true });
  const track = stream.getVideoTracks()[0], settings = track.getSettings();
  track.getSettings = () => ({ ...settings, facingMode: wanted.video.facingMode?.ideal });
  return stream;
};"""


@pytest.fixture(scope="module")
def site(tmp_path_factory, light_four_block):
    flags = ("--use-fake-device-for-media-stream=device-count=2",)
    with browsing.site(tmp_path_factory.mktemp("server"), light_four_block, browser_flags=flags) as site:
        yield site


def test_a_camera_is_chosen_before_and_while_it_runs(site):
    with site.visit(permissions=["camera"]) as page:
        page.locator("#webcam .devices").wait_for()  # the permission is there: the browser tells the names at once
        first, second = page.evaluate(VALUES)
        page.select_option("#webcam .devices select", second)
        assert page.is_visible("#webcam .start")  # a choice alone starts nothing
        page.click("#webcam .start")
        browsing.until(page, f"{RUNNING} === '{second}'")
        page.focus("#webcam .devices select")
        page.keyboard.press("ArrowUp")
        browsing.until(page, f"{RUNNING} === '{first}'")
        assert page.eval_on_selector("#webcam .devices select", "(it) => it.value") == first
        labels = page.locator("#webcam .devices option").all_inner_texts()
        assert len(set(labels)) == 2
        assert "Front camera" not in labels  # of phones


def test_names_are_told_after_the_first_start(site):
    with site.visit() as page:
        assert page.is_hidden("#webcam .devices")
        page.context.grant_permissions(["camera"])
        page.click("#webcam .start")
        page.locator("#webcam .devices").wait_for()
        assert page.evaluate(f"{VALUES}.includes({RUNNING})")


def test_select_is_reached_by_keyboard(site):
    with site.visit(permissions=["camera"]) as page:
        page.locator("#webcam .devices").wait_for()
        page.focus("#webcam .start")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.matches('#webcam .devices select')")


def test_phone_offers_front_and_back_and_mirrors_the_front_alone(site):
    phone = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}
    with site.visit(before=ASKED, permissions=["camera"], **phone) as page:
        page.locator("#webcam .devices").wait_for()
        labels = page.locator("#webcam .devices option").all_inner_texts()
        assert labels[:2] == ["Front camera", "Back camera"]
        assert len(labels) == 4
        page.click("#webcam .start")
        browsing.until(page, "asked.length === 1 && document.querySelector('#webcam video').srcObject?.active")
        assert page.evaluate("asked[0].facingMode") == {"ideal": "user"}
        assert page.is_checked("#webcam .mirror")
        page.select_option("#webcam .devices select", "environment")
        browsing.until(page, "asked.length === 2 && !document.querySelector('#webcam .mirror').checked")
        assert page.evaluate("asked[1].facingMode") == {"ideal": "environment"}
        assert page.eval_on_selector("#webcam .devices select", "(it) => it.value") == "environment"
        page.check("#webcam .mirror")  # a choice of the person stays
        page.click("#webcam .stop")
        page.click("#webcam .start")
        browsing.until(page, "asked.length === 3 && document.querySelector('#webcam video').srcObject?.active")
        assert page.is_checked("#webcam .mirror")
        page.select_option("#webcam .devices select", index=3)
        browsing.until(page, "asked.length === 4")
        assert page.evaluate("typeof asked[3].deviceId.exact") == "string"
