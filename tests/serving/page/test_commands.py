"""The page's curl commands, run in a shell."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By

from support.browser import OpenPage
from support.images import image_file
from support.programs import program_or_skip

COLOURS = image_file("RGB", "PNG", 60, 40)
FORMS = ["V1, image file", "V1, pixels", "TensorFlow Serving, columns", "V2, JSON"]


def copied(opened: OpenPage, form: str) -> str:
    """Return the command that a click on this form's button shows, once the page has reported the copy."""
    before = opened.text("copied")
    opened.browser.find_element(By.XPATH, f"//button[text()='{form}']").click()
    opened.wait(lambda: opened.text("copied") != before)
    return opened.script("return document.getElementById('command').value")


def run(command: str, folder: Path) -> Any:
    """Run a command in a shell in `folder`, and return the JSON that it prints."""
    program_or_skip("curl", "curl")
    shell = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(shell.stdout)


def class_in(answer: dict) -> str:
    """Return the class name in an answer for one image, of V1 in rows or columns, or of V2."""
    if "predictions" in answer:
        return answer["predictions"][0]["class_name"]
    if isinstance(answer["outputs"], dict):
        return answer["outputs"]["class_name"][0]
    return {output["name"]: output["data"][0] for output in answer["outputs"]}["class_name"]


@pytest.mark.parametrize("form", FORMS)
def test_a_copied_command_gets_the_answer_that_the_page_shows(opened: OpenPage, form: str, tmp_path: Path) -> None:
    opened.take_sample("Dress")
    command = copied(opened, form)
    assert opened.text("copied") == "Copied. Paste it into a shell:"
    assert class_in(run(command, tmp_path)) == opened.answer[0]


@pytest.mark.parametrize("form", [FORMS[0], FORMS[2], FORMS[3]])
def test_a_command_for_a_large_image_reads_its_file(opened: OpenPage, form: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (300, 300, 3), np.uint8)
    file = tmp_path / "it's an image.png"
    Image.fromarray(noise).save(file)
    opened.drop(file.read_bytes(), name=file.name)
    command = copied(opened, form)
    assert opened.text("copied") == "Copied. Paste it into a shell in the folder of it's an image.png:"
    assert len(command) < 500
    assert class_in(run(command, tmp_path)) == opened.answer[0]


def test_a_command_disappears_with_its_image(opened: OpenPage) -> None:
    opened.take_sample("Dress")
    for content in (COLOURS, b"not an image"):
        copied(opened, FORMS[0])
        opened.drop(content)
        assert (opened.text("copied"), opened.find("#command").is_displayed()) == ("", False)


def test_without_the_clipboard_the_command_is_selected(opened: OpenPage) -> None:
    opened.take_sample("Dress")
    opened.script("navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed'))")
    command = copied(opened, FORMS[3])
    assert opened.script("return getSelection().toString()") == command
    assert "Copy the selected command with Ctrl+C" in opened.text("copied")


def test_without_an_answer_no_command_can_be_copied(opened: OpenPage) -> None:
    enabled = "return document.querySelectorAll('#forms button:enabled').length"
    counts = [opened.script(enabled)]
    opened.take_sample("Dress")
    counts.append(opened.script(enabled))
    opened.drop(b"not an image")
    assert [*counts, opened.script(enabled)] == [0, 4, 0]
