"""The page in real headless Chromium: images in, answers out."""

from pathlib import Path

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver import ActionChains, Keys

from distml.model import image_decoding
from distml.protocol import limits
from support.browser import OpenPage
from support.images import image_file
from support.predictor_process import Predictor
from support.predictor_requests import NOT_AN_IMAGE, Ask
from support.project import CLASS_NAMES

COLOURS = image_file("RGB", "PNG", 60, 40)
LARGEST_BODY = f"the body is longer than {limits.MAX_BYTES_OF_BODY:,} bytes"
LARGEST_FILE = (
    f"a file may have about {limits.MAX_BYTES_OF_BODY * 3 // 4 // 10**6} MB, because base64 makes it a third longer;"
    " choose a smaller one"
)
BUSY = "too many requests are waiting; retry in a second"


def probabilities(opened: OpenPage) -> np.ndarray:
    return np.array([float(text.removesuffix("%")) for text in opened.percentages]) / 100


@pytest.mark.parametrize("way", ["drop", "paste", "choose"])
def test_an_image_file_gets_the_saved_models_answer(opened: OpenPage, saved: Ask, way: str, tmp_path: Path) -> None:
    if way == "choose":
        (tmp_path / "image.png").write_bytes(COLOURS)
        opened.find("#file").send_keys(str(tmp_path / "image.png"))
        opened.wait_for_answer()
    else:
        getattr(opened, way)(COLOURS)
    expected = saved([COLOURS])[0]
    np.testing.assert_allclose(probabilities(opened), expected, atol=0.00051)
    assert opened.answer == (CLASS_NAMES[expected.argmax()], f"{100 * expected.max():.1f}%")
    assert (opened.text("true-class"), opened.text("answer-version")) == ("not known", "1")
    assert opened.seen == image_decoding.decode(COLOURS).ravel().tolist()


def test_a_sample_is_taken_with_the_keyboard_only(opened: OpenPage, saved: Ask) -> None:
    reached: list[str] = []
    while "Sample: Coat" not in reached:
        assert len(reached) < 20
        ActionChains(opened.browser).send_keys(Keys.TAB).perform()
        focused = opened.browser.switch_to.active_element
        reached.append(opened.script("return arguments[0].querySelector('img')?.alt ?? arguments[0].id", focused))
    assert reached == ["file", "clear", *(f"Sample: {name}" for name in CLASS_NAMES[:5])]
    assert focused.value_of_css_property("outline-style") == "solid"
    focused.send_keys(Keys.ENTER)
    opened.wait_for_answer()
    best = int(probabilities(opened).argmax())
    verdict = "right" if best == 4 else "wrong, its true class is Coat"
    assert opened.answer == (CLASS_NAMES[best], f"{opened.percentages[best]} · {verdict}")
    assert opened.text("true-class") == "Coat"


def test_each_sample_shows_its_class(opened: OpenPage) -> None:
    opened.take_sample("Ankle boot")
    names = opened.script("return Array.from(document.querySelectorAll('#samples img'), (image) => image.alt)")
    assert names == [f"Sample: {name}" for name in CLASS_NAMES]
    assert opened.text("true-class") == "Ankle boot"


def draw_a_line(opened: OpenPage) -> None:
    canvas = opened.find("#drawing")
    strokes = ActionChains(opened.browser, duration=10).move_to_element_with_offset(canvas, -50, 0)
    strokes.click_and_hold().move_by_offset(100, 0).release().perform()
    opened.wait(lambda: opened.answer[0] in CLASS_NAMES)


def test_a_drawing_is_white_on_black_and_in_the_tile(opened: OpenPage) -> None:
    draw_a_line(opened)
    seen = np.reshape(opened.seen, (28, 28))
    assert (seen[14, 14] > 200, seen[:10].max(), seen[18:].max()) == (True, 0, 0)
    opened.wait(lambda: opened.script("return document.getElementById('preview').naturalWidth") == 280)


def test_clearing_a_drawing_clears_only_its_own_answer(opened: OpenPage) -> None:
    draw_a_line(opened)
    opened.find("#clear").click()
    assert opened.answer == ("No image yet", "Take a sample to begin.")
    assert (opened.percentages, set(opened.seen)) == (["–"] * 10, {0})
    assert [opened.find(one).is_displayed() for one in ("#preview", "#drop-hint")] == [False, True]
    opened.take_sample("Bag")
    opened.find("#clear").click()
    assert opened.text("true-class") == "Bag"


def test_a_file_that_is_not_an_image_shows_the_servers_sentence(opened: OpenPage) -> None:
    opened.take_sample("Bag")
    opened.drop(b"not an image")
    assert opened.answer == ("Refused", NOT_AN_IMAGE)
    assert opened.percentages == ["–"] * 10


def test_a_file_over_the_limit_is_told_the_limit_of_files(opened: OpenPage) -> None:
    opened.drop(COLOURS, padding=2**23)
    assert opened.answer == ("Refused", f"{LARGEST_BODY}; {LARGEST_FILE}")


def test_a_drop_without_a_file_says_what_to_do(opened: OpenPage) -> None:
    opened.script(
        "document.body.dispatchEvent(new DragEvent('drop', {bubbles: true, dataTransfer: new DataTransfer()}))"
    )
    sentence = "The drop holds no file; an image from another page must be saved first."
    assert opened.answer == ("Not sent", sentence)


@pytest.mark.parametrize(
    "document",
    [
        "null",
        '{"outputs": null}',
        '{"outputs": [null, {"name": "probabilities", "data": "1"}]}',
        f'{{"outputs": [{{"name": "probabilities", "data": [1]}}, {{"name": "images", "data": {[0] * 783}}}]}}',
    ],
    ids=["null", "no outputs", "no numbers", "too few pixels"],
)
def test_an_answer_of_another_shape_is_a_problem(opened: OpenPage, document: str) -> None:
    opened.script(f"window.fetch = async () => Response.json({document})")
    opened.take_sample("Bag")
    assert opened.answer == ("No answer", "The answer has status 200 and is not from the model's server.")


def test_an_error_that_is_not_a_sentence_is_not_shown(opened: OpenPage) -> None:
    opened.script('window.fetch = async () => Response.json({error: {code: "bad_gateway"}}, {status: 502})')
    opened.take_sample("Bag")
    expected = "The answer has status 502 and is not from the model's server."
    assert opened.answer == ("The server failed", expected)


def test_metrics_of_another_server_are_not_taken_for_an_answer(browser: webdriver.Chrome, server: Predictor) -> None:
    opened = OpenPage(browser, server.page, "window.fetch = async () => new Response('<p>Sign in</p>')")
    opened.wait(lambda: opened.text("state") == "answers without metrics")


@pytest.mark.parametrize(
    "change",
    ["answer.outputs[2].data = ['Hat']", "answer.outputs[0].data.push(0)"],
    ids=["another name", "one class more"],
)
def test_other_classes_than_the_pages_are_a_problem(opened: OpenPage, change: str) -> None:
    parts = "const answer = await (await real(...request)).json()", change, "return Response.json(answer)"
    opened.script(f"window.real = fetch; window.fetch = async (...request) => {{ {'; '.join(parts)} }}")
    opened.take_sample("Bag")
    assert opened.answer == ("No answer", "The model's classes have changed; reload the page.")


def test_a_request_that_met_overload_can_be_sent_again(opened: OpenPage) -> None:
    refusal = f'new Response(\'{{"error": "{BUSY}"}}\', {{status: 503}})'
    opened.script(f"window.real = fetch; window.fetch = async () => {refusal}")
    opened.take_sample("Bag")
    assert opened.answer == ("The server is busy", BUSY)
    opened.script("window.fetch = window.real")
    opened.find("#again").click()
    opened.wait_for_answer()
    assert opened.text("true-class") == "Bag"
    assert not opened.find("#again").is_displayed()


def test_a_visit_leaves_no_error_in_the_console(opened: OpenPage) -> None:
    opened.take_sample("Sandal")
    opened.drop(COLOURS)
    opened.find("#forms button").click()
    opened.wait(lambda: opened.text("state") == "answers")
    opened.find("#clear").click()
    assert opened.browser.get_log("browser") == []


def test_a_prefix_without_a_slash_stays_in_the_pages_requests(browser: webdriver.Chrome, server: Predictor) -> None:
    opened = OpenPage(browser, server.page, "history.replaceState(null, '', '/x')")
    opened.wait(lambda: opened.text("state") == "no metrics: status 404")
    asked = opened.script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [address for address in asked if address.startswith("http")] == [f"{server.page}x/metrics"]
    assert opened.find("footer a").get_attribute("href") == f"{server.page}x/openapi.json"


def test_other_clients_get_kserves_json_at_the_root(server: Predictor) -> None:
    assert server.get("/") == (200, {"status": "alive"})
