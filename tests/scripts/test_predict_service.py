"""Predictions of the published model: their table, their picture, and wrong input."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import predict_service
from distml.model import manifest, saved_model
from distml.model.manifest import MANIFEST, SIGNATURE
from distml.model.variants import MODELS
from distml.publishing.versions import signature
from distml.step import outcome
from distml.step.volume import Volume
from support.bad_versions import flip_a_byte
from support.project import CLASS_NAMES
from support.signing_keys import Keys, make

PROBABILITIES = np.full((2, 10), 0.01, np.float32)
PROBABILITIES[0, [1, 3]] = 0.75, 0.17
PROBABILITIES[1, [8, 9]] = 0.5, 0.42


@pytest.fixture(scope="module")
def published(volume_with_data: Volume, tmp_path_factory: pytest.TempPathFactory) -> Volume:
    """Return a volume with the data set and one published version of an untrained model."""
    volume = Volume(tmp_path_factory.mktemp("volume"))
    volume.dataset.parent.symlink_to(volume_with_data.dataset.parent)
    saved_model.export(MODELS["plain"](), CLASS_NAMES, volume.version(1))
    manifest.write(volume.version(1), {"model": "plain", "class_names": CLASS_NAMES})
    return volume


@pytest.fixture
def predict(published: Volume, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that runs the script with arguments and returns the picture's path."""

    def predict(*arguments: object) -> Path:
        picture = tmp_path / "predictions.png"
        options = ["--volume", str(published), "--output", str(picture), *map(str, arguments)]
        predict_service.main(predict_service.parse_args(options))
        return picture

    return predict


def image_file(path: Path, shape: tuple[int, ...] = (40, 60, 3)) -> Path:
    Image.fromarray(np.full(shape, 128, np.uint8)).save(path)
    return path


def answers(labels: np.ndarray | None = None) -> predict_service.Answers:
    return predict_service.Answers(["a", "b"], np.zeros((2, 28, 28, 1), np.uint8), PROBABILITIES, labels)


def test_predict_service_classifies_and_draws_test_images(
    predict: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    picture = predict("--samples", 3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("version 1 answers: plain, digest ")
    assert [line.startswith("test image ") for line in lines[4:7]] == [True] * 3
    assert lines[8].startswith(tuple(f"{right} of 3 right" for right in range(4)))
    assert Image.open(picture).format == "PNG"


def test_the_seed_chooses_the_test_images(predict: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    outputs = []
    for seed in (1, 1, 2):
        predict("--samples", 2, "--seed", seed)
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != outputs[2]


def test_image_files_of_any_size_get_answers_without_a_verdict(
    predict: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [image_file(tmp_path / "a.png"), image_file(tmp_path / "b.jpg", (9, 5))]
    assert predict(*files).is_file()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[4:6]] == [str(file) for file in files]
    assert "right" not in "".join(lines)


def test_an_image_gets_the_same_answer_as_a_png_and_as_an_array(published: Volume) -> None:
    model, _ = saved_model.load(published.version(1))
    test = predict_service.ask_about_test_set(model, predict_service.parse_args(["--volume", str(published)]))
    content = io.BytesIO()
    Image.fromarray(test.images[0, ..., 0]).save(content, "PNG")
    file = predict_service.ask_about_files(model, {Path("a.png"): (content.getvalue(), test.images[0])})
    np.testing.assert_allclose(file.probabilities[0], test.probabilities[0], atol=1e-6)


def test_the_table_of_predictions_marks_right_and_wrong_answers() -> None:
    assert predict_service.answer_table(answers(np.array([1, 9])), CLASS_NAMES) == "\n".join(
        (
            "image  predicted  probability  second guess      true",
            "-----  ---------  -----------  ----------------  ----------  -----",
            "a      Trouser          75.0%  Dress 17.0%       Trouser     right",
            "b      Bag              50.0%  Ankle boot 42.0%  Ankle boot  WRONG",
        )
    )


def test_an_images_title_is_green_if_right_red_if_wrong_else_black() -> None:
    known = answers(np.array([1, 9]))
    assert predict_service.title(known, 0, CLASS_NAMES) == ("Trouser 75%\ntrue: Trouser", "green")
    assert predict_service.title(known, 1, CLASS_NAMES) == ("Bag 50%\ntrue: Ankle boot", "red")
    assert predict_service.title(answers(), 1, CLASS_NAMES) == ("Bag 50%\nb", "black")


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_a_file_that_is_not_an_image_is_refused_before_any_answer(
    predict: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    good, bad = image_file(tmp_path / "good.png"), tmp_path / "bad.png"
    bad.write_bytes(content)
    with pytest.raises(outcome.StepError, match=f"{bad} is not an intact PNG or JPEG image"):
        predict(good, bad)
    assert capsys.readouterr().out == ""
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bad.png", "good.png"]


def test_a_truncated_image_is_refused(tmp_path: Path) -> None:
    complete, truncated = image_file(tmp_path / "complete.jpg"), tmp_path / "truncated.jpg"
    truncated.write_bytes(complete.read_bytes()[:-20])
    with pytest.raises(outcome.StepError, match="is not an intact PNG or JPEG image"):
        predict_service.read_image(truncated)


def test_the_error_about_a_missing_image_file_names_the_file(predict: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(outcome.StepError, match=r"none\.png: No such file or directory; expected a PNG or JPEG file"):
        predict(tmp_path / "none.png")


def test_predict_service_on_an_empty_volume_asks_to_publish(predict: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(outcome.StepError, match=r"no published model in .*; publish one or choose another --volume"):
        predict("--volume", tmp_path / "empty")


@pytest.mark.parametrize("output", ["missing/predictions.png", "."])
def test_an_output_that_cannot_be_written_is_refused(predict: Callable[..., Path], tmp_path: Path, output: str) -> None:
    with pytest.raises(outcome.StepError, match=r"cannot write .*--output /tmp/predictions.png"):
        predict("--output", tmp_path / output)


@pytest.mark.parametrize("samples", ["0", "101", "ten"])
def test_a_number_of_samples_outside_its_range_is_refused(samples: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        predict_service.parse_args(["--samples", samples])
    assert "argument --samples" in capsys.readouterr().err


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make(tmp_path, "key")


@pytest.fixture
def signed(published: Volume, tmp_path: Path, keys: Keys) -> Volume:
    """Return a volume with the signed versions 1 and 2."""
    volume = Volume(tmp_path / "signed")
    for number in (1, 2):
        shutil.copytree(published.version(1), volume.version(number))
        facts = manifest.read(volume.version(number))
        manifest.write(volume.version(number), {**facts, "version": number})
        signature.sign(volume.version(number), keys.private)
    return volume


def test_a_signed_version_answers(
    predict: Callable[..., Path], signed: Volume, keys: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = image_file(tmp_path / "a.png")
    predict(file, "--volume", signed, "--public-key", keys.public)
    assert capsys.readouterr().out.startswith("version 2 answers: plain, digest ")


def files(version: Path) -> list[Path]:
    return sorted(path for path in version.rglob("*") if path.is_file())


def test_a_changed_byte_in_any_file_of_the_newest_version_is_refused(
    predict: Callable[..., Path], signed: Volume, keys: Keys, tmp_path: Path
) -> None:
    version, image = signed.version(2), image_file(tmp_path / "a.png")
    assert {"saved_model.pb", MANIFEST, SIGNATURE} <= {path.name for path in files(version)}
    for path in files(version):
        flip_a_byte(path)
        with pytest.raises(outcome.StepError, match=f"{version}"):
            predict(image, "--volume", signed, "--public-key", keys.public)
        flip_a_byte(path)
    signature.verify(version, keys.public)


def test_a_version_that_is_unsigned_or_signed_otherwise_is_refused(
    predict: Callable[..., Path], signed: Volume, keys: Keys, tmp_path: Path
) -> None:
    image, other = image_file(tmp_path / "a.png"), make(tmp_path, "other")
    options = (image, "--volume", signed, "--public-key")
    with pytest.raises(signature.NotVerified, match="2 was not signed with the private key of "):
        predict(*options, other.public)
    shutil.copytree(signed.version(1), signed.version(3))
    with pytest.raises(signature.NotVerified, match="3 was signed as version 1; remove the folder"):
        predict(*options, keys.public)
    (signed.version(3) / SIGNATURE).unlink()
    with pytest.raises(signature.NotVerified, match="3 is not signed; publish it with --signing-key "):
        predict(*options, keys.public)
