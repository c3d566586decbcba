"""The studio and the viewer's page in Chromium, against `streamfx serve`."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect

import packs
from browsing import ALLOWED, Chromium, camera, chromium, color, until, wait_for_motion
from serving import Served, serving
from videos import make_video

TOKENS = {"publish": "publish-token", "watch": "watch-token-1", "control": "control-token"}
PATIENCE = 60_000  # milliseconds: a busy machine is slow, not wrong

expect.set_options(timeout=PATIENCE)

# A picture dropped as the browser hands it over: a DataTransfer that holds a file.
DROP = """async (kind) => {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, {width: 1600, height: 900});
    const context = canvas.getContext("2d");
    context.fillStyle = "crimson";
    context.fillRect(0, 0, 1600, 900);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
    const data = new DataTransfer();
    const bytes = kind === "image/png" ? blob : "this is no picture";
    data.items.add(new File([bytes], "red wall.png", {type: kind}));
    const event = (type) => new DragEvent(type, {dataTransfer: data, bubbles: true,
                                                 cancelable: true});
    for (const type of ["dragenter", "dragover", "drop"]) document.body.dispatchEvent(event(type));
}"""


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    folder = tmp_path_factory.mktemp("pack")
    packs.tiny_pack(folder)
    return ("--pack", folder / "tiny.stylepack", "--backend", "onnxruntime", "--threads", "1")


@pytest.fixture(scope="module")
def server(
    options: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("server"), *options) as served:
        yield served


@pytest.fixture(scope="module")
def launch() -> Iterator[Chromium]:
    with chromium() as launcher:
        yield launcher


@pytest.fixture(scope="module")
def browser(launch: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    film = tmp_path_factory.mktemp("camera") / "bar.y4m"
    with launch(ALLOWED, *camera(film)) as launched:
        yield launched


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A person's browser; what a page throws fails the test."""
    opened = browser.new_context(viewport={"width": 1440, "height": 900})
    opened.set_default_timeout(PATIENCE)
    thrown: list[str] = []
    opened.on("weberror", lambda error: thrown.append(str(error.error)))
    yield opened
    opened.close()
    assert not thrown


def open_studio(context: BrowserContext, url: str) -> Page:
    page = context.new_page()
    page.goto(url)
    expect(page.locator("body")).to_have_attribute("data-state", "idle")
    return page


def start(page: Page, source: str) -> None:
    page.get_by_role("button", name=source).click()
    expect(page.locator("#status")).to_have_text("Live")
    wait_for_motion(page, "#after")


def stream_of(page: Page) -> dict[str, Any]:
    """The stream of the page's tab, as the API tells."""
    script = """async () => {
        const id = sessionStorage.getItem("streamfx.stream");
        const answer = await fetch(`/api/streams/${id}`);
        return answer.ok ? answer.json() : {};
    }"""
    found: dict[str, Any] = page.evaluate(script)
    return found


def blueness(page: Page) -> float:
    """How much more blue than red the restyled picture is, -255..255."""
    red, _, blue = color(page, "#after")
    return float(blue - red)


def apart(viewer: Page, page: Page) -> float:
    """How far the viewer's picture is from the studio's, 0..255."""
    return float(np.abs(color(viewer, "#video") - color(page, "#after")).max())


def test_what_a_person_does(server: Served, context: BrowserContext) -> None:
    """Camera, styles, strength, a picture, a snapshot, a second viewer, the end."""
    page = open_studio(context, server.url)
    start(page, "Camera")
    wait_for_motion(page, "#before")

    # The second style of the pack adds 40 to U, so grey turns blue; the first one adds to luma.
    assert abs(blueness(page)) < 15
    page.get_by_role("radio", name="Starry Night").check(force=True)
    until(page, "a bluer picture", lambda: blueness(page) > 60)
    page.get_by_label("Strength").fill("0")
    until(page, "the picture as it was", lambda: abs(blueness(page)) < 15)
    assert stream_of(page)["strength"] == 0
    page.get_by_label("Strength").fill("100")
    until(page, "a bluer picture again", lambda: blueness(page) > 60)
    page.get_by_role("switch").uncheck()
    until(page, "the style switched off", lambda: abs(blueness(page)) < 15)
    page.get_by_role("switch").check()
    until(page, "the style switched on", lambda: blueness(page) > 60)

    with page.expect_download() as download:
        page.get_by_role("button", name="Snapshot").click()
    saved = Image.open(download.value.path())
    assert download.value.suggested_filename.endswith(".png")
    assert (saved.format, saved.size) == ("PNG", tuple(stream_of(page)["stats"]["size_out"]))
    red, _, blue = np.asarray(saved.convert("RGB")).mean(axis=(0, 1))
    assert blue - red > 60

    page.evaluate(DROP, "image/png")
    chosen = page.locator(".card", has=page.locator("input:checked"))
    expect(chosen).to_contain_text("red wall")
    expect(chosen).to_contain_text("your picture")
    until(page, "its style", lambda: stream_of(page)["style"].startswith("picture-"))

    page.get_by_role("button", name="OBS").click()
    viewer = context.new_page()
    viewer.goto(page.get_by_label("For viewers").input_value())
    wait_for_motion(viewer, "#video")
    until(viewer, "the same picture", lambda: apart(viewer, page) < 10)
    page.get_by_role("button", name="Done").click()
    expect(page.locator("[data-figure=viewers]")).to_have_text("2")
    for figure in ("fps_in", "fps_out", "delay"):
        assert float(page.locator(f"[data-figure={figure}]").inner_text()) > 0

    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#status")).to_have_text("Nothing on the air")
    expect(page.get_by_role("button", name="Camera")).to_be_enabled()
    until(page, "the end of the stream", lambda: stream_of(page) == {})
    expect(viewer.locator("#status")).to_have_text("Waiting for the stream")


def test_the_keyboard_is_enough(server: Served, context: BrowserContext) -> None:
    page = open_studio(context, server.url)
    page.get_by_role("button", name="Demo scene").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("Live")
    expect(page.get_by_label("Compare before and after")).to_be_hidden()  # there is no before
    page.get_by_role("radio", name="Great Wave").focus()
    page.keyboard.press("ArrowRight")
    until(page, "the next style", lambda: stream_of(page)["style"] == "starry-night")

    page.get_by_label("Blend with").focus()
    page.keyboard.type("The Harv")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Its share")).to_be_focused()
    page.keyboard.press("ArrowRight")
    blend = "starry-night:0.59+the-harvesters:0.41"
    until(page, "a blend", lambda: stream_of(page)["style"] == blend)

    page.get_by_role("button", name="Stop").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("Nothing on the air")


def test_a_video_file_is_compared_recorded_and_stopped(
    server: Served, context: BrowserContext, tmp_path: Path
) -> None:
    film = tmp_path / "film.mp4"
    make_video(film, frames=60, size=(320, 180))
    page = open_studio(context, server.url)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Video file").click()
    chooser.value.set_files(film)
    expect(page.locator("#status")).to_have_text("Live")
    wait_for_motion(page, "#after")

    seam = page.get_by_label("Compare before and after")
    seam.focus()
    page.keyboard.press("End")
    before = page.locator("#before")
    clip = before.evaluate("(video) => getComputedStyle(video).clipPath")
    assert clip == "inset(0px 0% 0px 0px)"  # all of it shows
    box = page.locator("#stage").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 60, steps=4)
    page.mouse.up()
    expect(seam).to_have_value("25")

    record = page.locator("#record")
    record.click()
    expect(record).to_contain_text("0:02")
    with page.expect_download() as download:
        record.click()
    with av.open(str(download.value.path())) as recording:
        assert sum(1 for _ in recording.decode(video=0)) > 5
    page.get_by_role("button", name="Stop").click()
    until(page, "the end of the stream", lambda: stream_of(page) == {})


def test_a_server_that_was_killed_is_found_again(
    options: tuple[object, ...], context: BrowserContext, tmp_path: Path
) -> None:
    with serving(tmp_path, *options) as first:
        page = open_studio(context, first.url)
        start(page, "Camera")
        page.get_by_role("radio", name="Starry Night").check(force=True)
        until(page, "the style", lambda: stream_of(page)["style"] == "starry-night")
        viewer = context.new_page()
        viewer.goto(f"{first.url}/watch/{stream_of(page)['id']}?clean=1")
        wait_for_motion(viewer, "#video")
        for element in ("html", "body", "#player"):
            ground = viewer.locator(element).evaluate("(e) => getComputedStyle(e).backgroundColor")
            assert ground == "rgba(0, 0, 0, 0)"
        expect(viewer.locator(".controls")).to_be_hidden()
        first.process.kill()
        first.process.wait()
    for left in (page, viewer):
        expect(left.locator("#status")).to_contain_text("The server does not answer")
    with serving(tmp_path, *options, "--port", first.port):
        for back, video in ((page, "#after"), (viewer, "#video")):
            expect(back.locator("#status")).to_have_text("Live")
            wait_for_motion(back, video)
        assert stream_of(page)["style"] == "starry-night"


def test_tokens_are_asked_for_and_travel_in_fragments(
    options: tuple[object, ...], browser: Browser, context: BrowserContext, tmp_path: Path
) -> None:
    flags = [part for kind, token in TOKENS.items() for part in (f"--token-{kind}", token)]
    with serving(tmp_path, *options, *flags) as served:
        page = context.new_page()
        page.goto(served.url)
        for kind, token in (TOKENS | {"control": "a wrong one"}).items():
            page.get_by_label(f"Token to {kind}").fill(token)
        page.get_by_role("button", name="Sign in").click()
        # What was wrong is asked for again, and nothing else.
        expect(page.get_by_label("Token to watch")).to_be_hidden()
        page.get_by_label("Token to control").fill(TOKENS["control"])
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("body")).to_have_attribute("data-state", "idle")
        start(page, "Camera")
        page.get_by_role("button", name="OBS").click()
        expect(page.get_by_label("Bearer token")).to_have_value(TOKENS["publish"])
        address = page.locator("#link-browser").input_value()
        assert urlsplit(address).fragment == f"watch={TOKENS['watch']}"

        other = browser.new_context()
        viewer = other.new_page()
        viewer.goto(address)
        wait_for_motion(viewer, "#video")
        assert TOKENS["watch"] not in viewer.url
        other.close()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{served.url}/api/streams")
    assert not [token for token in TOKENS.values() if token in (tmp_path / "serve.log").read_text()]


def test_a_full_server_says_so(
    options: tuple[object, ...], context: BrowserContext, tmp_path: Path
) -> None:
    with serving(tmp_path, *options, MAX_STREAMS=1) as served:
        first = open_studio(context, served.url)
        start(first, "Demo scene")
        second = open_studio(context, served.url)
        second.get_by_role("button", name="Camera").click()
        expect(second.get_by_role("alert")).to_contain_text("no room")
        expect(second.get_by_role("button", name="Camera")).to_be_enabled()


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--use-fake-device-for-media-stream", "may not use the camera"),
        (ALLOWED, "No camera was found"),
    ],
)
def test_camera_troubles_in_words(server: Served, launch: Chromium, flag: str, said: str) -> None:
    with launch(flag) as browser:
        page = open_studio(browser.new_context(), server.url)
        page.get_by_role("button", name="Camera").click()
        expect(page.get_by_role("alert")).to_contain_text(said)
        expect(page.locator("#status")).to_have_text("Nothing on the air")


def test_what_is_no_picture_is_refused_in_words(server: Served, context: BrowserContext) -> None:
    page = open_studio(context, server.url)
    page.evaluate(DROP, "image/jpeg")
    expect(page.get_by_role("alert")).to_contain_text("red wall.png is not a picture")
    expect(page.locator("#veil")).to_be_hidden()


@pytest.mark.parametrize("width", [320, 390, 768, 1440])
def test_nothing_is_wider_than_the_window(server: Served, browser: Browser, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = open_studio(context, server.url)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    top = page.locator("#stage").bounding_box()
    assert top is not None and top["y"] < 120
    context.close()


def test_a_style_is_found_and_kept(server: Served, context: BrowserContext) -> None:
    """Nine variations of the running picture, two liked, nine more, one kept."""
    page = open_studio(context, server.url)
    start(page, "Demo scene")
    page.get_by_role("button", name="Find a style of your own").click()
    tries = page.locator("#candidates .try")
    expect(tries).to_have_count(9)
    drawn = "() => [...document.querySelectorAll('#candidates img')].every(i => i.naturalWidth)"
    until(page, "nine previews", lambda: page.evaluate(drawn))

    tries.nth(1).click()
    until(page, "the variation", lambda: stream_of(page)["style"].startswith("great-wave~"))
    liked = [tries.nth(number).get_attribute("title") for number in (1, 4)]
    for number in (1, 4):
        page.get_by_label(f"I like style {number + 1}").check(force=True)
    page.get_by_role("button", name="More", exact=True).click()
    expect(tries.first).not_to_have_attribute("title", "")
    until(page, "nine others", lambda: tries.nth(1).get_attribute("title") != liked[0])
    for number in range(9):
        bred = tries.nth(number).get_attribute("title")
        assert bred and any(parent and parent in bred for parent in liked)

    page.get_by_label("Keep what is shown as").fill("My evening sea")
    page.get_by_role("button", name="Keep", exact=True).click()
    chosen = page.locator(".card", has=page.locator("input:checked"))
    expect(chosen).to_contain_text("My evening sea")
    until(page, "the kept style", lambda: stream_of(page)["style"] == "my-evening-sea")
    chosen.get_by_role("button", name="Remove the style My evening sea").click()
    expect(page.locator(".card", has_text="My evening sea")).to_have_count(0)
