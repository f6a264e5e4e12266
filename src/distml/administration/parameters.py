"""The parameters of workflow.yaml: their types and ranges, and the names that Kubernetes objects get from them.

Types and ranges are those of the scripts that read the parameters. Beyond them, Argo copies each value as text into
other objects, so a number is written in plain digits, and a list is one that Argo's `withParam` reads. The parameter
`image` is not checked: the check itself runs in that image.
"""

import argparse
import difflib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from distml.model import names
from distml.protocol.contract import MODEL_NAME
from distml.publishing.selection import quality_gate
from distml.step import command_line, outcome
from distml.training import settings as training_settings

# Numbers in a TFJob are int32; the step that waits for the job has a deadline of a minute more.
HIGHEST_NUMBER = 2**31 - 1
LONGEST_TRAINING = HIGHEST_NUMBER - 60
ALWAYS, IF_NEEDED = "always", "if-needed"
IGNORED, REQUIRED = "ignored", "required"
NAMES = (
    *("models", "seeds", "workers", "epochs", "batch-per-worker", "train-images", "training-deadline"),
    *("accuracy-floor", "class-floor", "tolerance", "signatures", "keep-runs", "train", "service"),
)
IMAGE = "image"
PLAIN_NUMBER = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?")
# Names of Services: RFC 1035, as Kubernetes checks them. KServe has the same rule for an InferenceService.
LABEL = re.compile("[a-z]([-a-z0-9]*[a-z0-9])?")
LONGEST_LABEL = 63
GENERATED = "x" * 5  # what Kubernetes adds to a job's generateName


def parse(text: str) -> dict[str, str]:
    """Parse a workflow's parameters, as Argo writes them, to their values by name (argparse type)."""
    try:
        found = [(str(entry["name"]), str(entry["value"])) for entry in json.loads(text)]
    except (ValueError, TypeError, LookupError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON list of names and values") from None
    return dict(found)


def check(values: Mapping[str, str], workflow: str, namespace: str) -> dict[str, Any]:
    """Return the parsed value of each parameter of a workflow.

    Args:
        values: the text of each parameter, by its name.
        workflow: the workflow's own name.
        namespace: its namespace, which is also that of the service.

    Raises:
        StepError: a parameter is unknown or missing, a value or a name is wrong, or two values do not fit together.
    """
    _check_names(values)
    parser = _parser()
    parsed = {name: _parse(parser, name, values[name]) for name in NAMES}
    _check_global_batch(parsed)
    _check_job_names(workflow, parsed)
    _check_service(parsed["service"], namespace)
    return parsed


def _check_names(values: Mapping[str, str]) -> None:
    known = (*NAMES, IMAGE)
    for name in values:
        if name not in known:
            similar = difflib.get_close_matches(name, known, 1)
            expected = f"did you mean {similar[0]}?" if similar else f"expected only {', '.join(known)}"
            raise outcome.StepError(f"parameter {name}: there is no parameter of this name; {expected}")
    if missing := [name for name in NAMES if name not in values]:
        raise outcome.StepError(f"parameter {missing[0]}: it is missing, expected a value, as in workflow.yaml")


def _parser() -> argparse.ArgumentParser:
    """Return a parser with an option for each parameter, of the type that the script has which reads it."""
    parser = command_line.Parser(exit_on_error=False, conflict_handler="resolve")  # seeds is another list here
    training_settings.add_options(parser)
    quality_gate.add_options(parser)
    types = {
        "models": models,
        "seeds": seeds,
        "workers": command_line.positive,
        "training-deadline": training_deadline,
        "signatures": one_of(IGNORED, REQUIRED),
        "keep-runs": command_line.integer,
        "train": one_of(ALWAYS, IF_NEEDED),
        "service": label,
    }
    for name, type_of_value in types.items():
        parser.add_argument(f"--{name}", type=type_of_value)
    return parser


def _parse(parser: argparse.ArgumentParser, name: str, value: str) -> Any:
    try:
        parsed = vars(parser.parse_args([f"--{name}={value}"]))[name.replace("-", "_")]
    except argparse.ArgumentError as error:
        raise outcome.StepError(f"parameter {name}: {error.message}") from None
    if isinstance(parsed, int) and parsed > HIGHEST_NUMBER:
        raise outcome.StepError(f"parameter {name}: {value!r} is too large, expected at most {HIGHEST_NUMBER}")
    if isinstance(parsed, int | float) and not PLAIN_NUMBER.fullmatch(value):
        plain = f"{abs(Decimal(str(parsed))):f}"  # 0.00001 for 1e-5, 0.0 for -0
        raise outcome.StepError(f"parameter {name}: {value!r} is not written in plain digits, expected {plain}")
    return parsed


def json_list(text: str, example: str) -> list[Any]:
    """Parse a JSON list that is not empty and repeats nothing."""
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        items = None
    if not isinstance(items, list) or not items:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a JSON list of one or more entries, expected one such as {example}"
        )
    (entry, times), *_ = Counter(map(json.dumps, items)).most_common(1)
    if times > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is a list that repeats {entry}, expected each entry once")
    return items


def models(text: str) -> list[str]:
    """Parse a JSON list of names of models (argparse type)."""
    example = json.dumps(names.MODELS[:2])
    found = json_list(text, example)
    for name in found:
        if name not in names.MODELS:
            known = ", ".join(names.MODELS)
            raise argparse.ArgumentTypeError(f"{name!r} is not a model, expected a JSON list of some of {known}")
    return found


def seeds(text: str) -> list[int]:
    """Parse a JSON list of seeds (argparse type)."""
    found = json_list(text, "[1, 2]")
    for seed in found:
        # Argo copies each number as it is written into a label, which cannot be -0.
        if type(seed) is not int or "-0" in text:
            raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers, expected one such as [1, 2]")
        command_line.seed(str(seed))
    if len(found) > command_line.MOST_SEEDS:
        raise argparse.ArgumentTypeError(f"{len(found)} seeds are too many, expected at most {command_line.MOST_SEEDS}")
    return found


def training_deadline(text: str) -> int:
    """Parse a number of seconds that a pod's deadline can be (argparse type)."""
    return command_line.integer(text, 1, LONGEST_TRAINING)


def label(text: str) -> str:
    """Accept a name that a Service may have (argparse type)."""
    if not LABEL.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a valid name, expected lower-case letters, digits and hyphens, a letter first and no"
            f" hyphen last, such as {MODEL_NAME}"
        )
    return text


def one_of(*values: str) -> Callable[[str], str]:
    """Return a function that accepts only these values (argparse type)."""

    def parse_value(text: str) -> str:
        if text not in values:
            raise argparse.ArgumentTypeError(f"{text!r} is not known, expected {' or '.join(values)}")
        return text

    return parse_value


def _check_global_batch(values: Mapping[str, Any]) -> None:
    workers, batch, images = values["workers"], values["batch-per-worker"], values["train-images"]
    if excess := training_settings.excess_of_global_batch(batch, workers, images):
        raise outcome.StepError(
            f"parameters workers and batch-per-worker: {excess}; lower one of the two, or raise train-images"
        )


def _check_job_names(workflow: str, values: Mapping[str, Any]) -> None:
    try:
        label(workflow)
    except argparse.ArgumentTypeError as error:
        raise outcome.StepError(f"the workflow's name: {error}; its TFJobs are named after it") from None
    model = max(values["models"], key=len)
    service = f"{workflow}-{model}-{max(values['seeds'])}-{GENERATED}-worker-{values['workers'] - 1}"
    _check_length("the workflow's name", workflow, "the Service of a worker", service)


def _check_service(service: str, namespace: str) -> None:
    """Check the two longest names that KServe 0.21 makes of a service's: a label, and the first part of a host."""
    _check_length("the namespace's name", namespace, "the predictor of a service", f"s-predictor-{namespace}")
    longest = max(f"isvc.{service}-predictor", f"{service}-predictor-{namespace}", key=len)
    _check_length("parameter service", service, "its predictor", longest)


def _check_length(what: str, name: str, owner: str, longest: str) -> None:
    if (excess := len(longest) - LONGEST_LABEL) > 0:
        raise outcome.StepError(
            f"{what}: {name!r} has {len(name)} characters, expected at most {len(name) - excess}, since {owner} gets"
            f" the name {longest}, and Kubernetes allows {LONGEST_LABEL}"
        )
