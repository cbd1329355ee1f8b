"""``scones asl``: run, redrive, validate and draw any state machine."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from scones_ml import strict_json
from scones_ml.bounded import read_at_most
from scones_ml.cli import terminal
from scones_ml.cli.context import backends_of
from scones_ml.cli.help import Group
from scones_ml.cli.options import Json, Workspace
from scones_ml.errors import ConfigurationError, ExecutionFailedError, InvalidDefinitionError
from scones_ml.wording import counted

if TYPE_CHECKING:
    from scones_ml import asl
    from scones_ml.ports import Backend

__all__ = ["app", "graph", "redrive", "run", "validate"]

_INVOKE = "arn:aws:states:::lambda:invoke"
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_LONGEST_FILE = 200_000_000  # bytes; a definition has one megabyte at most, a history what 25,000 events say

app = typer.Typer(
    cls=Group,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run, validate and draw any Amazon States Language definition.",
)

Definition = Annotated[Path, typer.Argument(help="State machine definition (JSON file).", show_default=False)]
Drawn = Annotated[
    str,
    typer.Argument(
        metavar="DEFINITION|NAME", help="State machine definition (JSON file), or the name of one of our workflows."
    ),
]
GraphFormat = Annotated[
    Literal["mermaid", "svg"] | None,
    typer.Option("--format", help="Mermaid text or an SVG image (default: mermaid; svg when --output ends in .svg)."),
]
Output = Annotated[Path | None, typer.Option("--output", help="File to write (default: standard output).")]
Definitions = Annotated[list[Path], typer.Argument(help="State machine definitions (JSON files).", show_default=False)]
Input = Annotated[str, typer.Option("--input", help="Execution input: JSON text, or @FILE.")]
Resources = Annotated[
    list[str] | None,
    typer.Option("--resource", help="Python function that implements a Resource: ARN=module:function; repeatable."),
]
ExecutionFile = Annotated[
    Path | None,
    typer.Option(
        "--execution",
        help="Execution to colour the states by: output of `scones asl run --json` or of AWS's get-execution-history.",
    ),
]
FailedExecution = Annotated[
    str,
    typer.Argument(
        help="Execution ARN, or a file with the output of `scones asl run --json` or of AWS's get-execution-history.",
        show_default=False,
    ),
]
RedrivenDefinition = Annotated[
    Path | None,
    typer.Option("--definition", help="Definition of its state machine (default: downloaded, when an ARN is given)."),
]
Model = Annotated[
    Path | None, typer.Option("--model", help="Model that our handlers classify with (default: SCONES_CLASSIFIER).")
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold", min=0, max=1, help="Minimum confidence to accept, above 0 and at most 1 (default: the model's)."
    ),
]


HandlersModel = Annotated[
    Path | None, typer.Option("--model", help="Run our own handlers, which classify with this model.")
]
ImageFile = Annotated[
    Path | None,
    typer.Option("--image", help="Image to upload to the workspace and to pass as the input, with --model."),
]


@app.command()
def run(
    context: typer.Context,
    definition: Definition,
    input: Input = "{}",  # noqa: A002
    resource: Resources = None,
    model: HandlersModel = None,
    threshold: Threshold = None,
    image: ImageFile = None,
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Run a state machine on this machine, with Python functions as its Resources."""
    from scones_ml import asl

    if model is None and (image or threshold is not None):
        raise ConfigurationError("--image and --threshold are for our own handlers: add --model MODEL")
    text = _read(definition)
    functions = dict(_function(spec) for spec in resource or ())
    if model is None:
        execution = asl.run(text, _document(input), resources=functions, on_event=_show)
    else:
        from scones_ml import lifecycle
        from scones_ml.local import workflow

        classifier = lifecycle.workflow_model(model, threshold)
        backend = backends_of(context).backend("local", workspace)
        document = _uploaded(backend, image) if image else _document(input)
        buckets, output = workspace / "buckets", backend.buckets.output
        execution = workflow.execute(text, document, buckets, output, classifier, functions, _show)
    _end(execution, json)


def _uploaded(backend: Backend, image: Path) -> asl.Json:
    """The input that names an image, once that is in the workspace's bucket."""
    from scones_ml import lifecycle

    try:
        (ref,) = lifecycle.upload(backend, [(image.name, image.read_bytes())])
    except OSError as exc:
        raise ConfigurationError(f"--image: {_reason(image, exc)}") from exc
    return cast("asl.Json", ref.to_event())


@app.command()
def redrive(
    execution: FailedExecution,
    definition: RedrivenDefinition = None,
    resource: Resources = None,
    model: Model = None,
    threshold: Threshold = None,
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Redrive a failed AWS execution on this machine, with our handlers or your own.

    Images are read from where they are; outcomes go to the workspace; nothing on AWS changes.
    """
    from scones_ml import backends, lifecycle
    from scones_ml.local import workflow
    from scones_ml.plans import mark_workspace

    if threshold is not None and model is None:
        raise ConfigurationError("--threshold needs --model: without it SCONES_CLASSIFIER and SCONES_THRESHOLD hold")
    if execution.startswith("arn:"):
        found = backends.failed_execution(execution)
        machine, history = found.definition, found.history
    elif not Path(execution).is_file():
        raise ConfigurationError(
            f"there is no file {execution}, and it is no execution's ARN either, which begins with arn:aws:states: and "
            "which `aws stepfunctions list-executions` tells"
        )
    elif definition is None:
        raise ConfigurationError(
            f"{execution} holds a history, which does not tell its state machine: give --definition FILE, too"
        )
    else:
        machine, history = "", _history(Path(execution))
    mark_workspace(workspace)
    ended = workflow.redrive(
        history,
        _read(definition) if definition else machine,
        workspace / "buckets",
        lifecycle.workflow_model(model, threshold) if model else None,
        dict(_function(spec) for spec in resource or ()),
        _show,
    )
    _end(ended, json)


def _end(execution: asl.Execution, json: bool) -> None:
    if json:
        terminal.print_json(
            {
                "status": execution.status,
                "output": execution.output,
                "error": execution.error,
                "cause": execution.cause,
                "events": [event.to_json() for event in execution.history],
            }
        )
    elif execution.status == "SUCCEEDED":
        terminal.print_json(execution.output)
    if execution.status != "SUCCEEDED":
        raise ExecutionFailedError(execution.error or execution.status, _message(execution.cause or ""))


def _message(cause: str) -> str:
    """A cause in one line: of what Lambda sends the message, without the stack, which ``--json`` prints."""
    try:
        sent = strict_json.parse(cause)
    except ValueError:
        return cause
    return str(sent["errorMessage"]) if isinstance(sent, dict) and "errorMessage" in sent else cause


@app.command()
def validate(files: Definitions, json: Json = False) -> None:
    """Validate state machine definitions; exit code 1 on an error."""
    from scones_ml import asl

    found = {str(path): asl.validate(_read(path)) for path in files}
    if json:
        terminal.print_json({name: [dataclasses.asdict(item) for item in items] for name, items in found.items()})
    else:
        rows = [(name, item.severity, item.path, item.message) for name, items in found.items() for item in items]
        if rows:
            terminal.print_table(("file", "severity", "where", "what"), rows)
        terminal.say(f"{len(files)} checked, {counted(len(rows), 'finding')}")
    if any(item.severity == "error" for items in found.values() for item in items):
        raise typer.Exit(1)


@app.command()
def graph(
    definition: Drawn = "image_classification",
    format: GraphFormat = None,  # noqa: A002
    execution: ExecutionFile = None,
    output: Output = None,
) -> None:
    """Draw a state machine as Mermaid text or SVG, coloured by an execution's states."""
    from scones_ml import asl

    svg = format == "svg" or (format is None and output is not None and output.suffix.lower() == ".svg")
    draw = asl.svg if svg else asl.mermaid
    drawing = draw(_machine(definition), _history(execution) if execution else None)
    if output is None:
        typer.echo(drawing, nl=False)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(drawing, encoding="utf-8")
    except OSError as exc:
        raise ConfigurationError(f"--output: {output} cannot be written: {exc.strerror}") from exc
    terminal.say(f"the graph is {output}")


def _machine(definition: str) -> str:
    """The text of a definition that is a file, or one of our workflows."""
    from scones_ml.workflows import WORKFLOWS

    if definition in WORKFLOWS and not Path(definition).exists():
        return WORKFLOWS[definition]().to_text()
    try:
        return _text(Path(definition))
    except FileNotFoundError as exc:
        names = ", ".join(WORKFLOWS)
        raise InvalidDefinitionError(f"{definition} is neither a file nor one of the workflows {names}") from exc
    except (OSError, ValueError) as exc:
        raise InvalidDefinitionError(_reason(Path(definition), exc)) from exc


def _read(path: Path) -> str:
    try:
        return _text(path)
    except (OSError, ValueError) as exc:
        raise InvalidDefinitionError(_reason(path, exc)) from exc


def _document(text: str) -> asl.Json:
    source = "--input"
    if not text.startswith("@") and text.endswith(".json"):
        raise ConfigurationError(f"--input {text} is the name of a file: give @{text}")
    if text.startswith("@"):
        source = text[1:]
        try:
            text = _text(Path(source))
        except (OSError, ValueError) as exc:
            raise ConfigurationError(f"--input: {_reason(Path(source), exc)}") from exc
    try:
        return cast("asl.Json", strict_json.parse(text))
    except ValueError as exc:
        raise ConfigurationError(f"{source} {exc}") from exc


def _text(path: Path) -> str:
    data = read_at_most(path, _LONGEST_FILE)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ValueError("is not a text file in UTF-8") from exc


def _reason(path: Path, exc: OSError | ValueError) -> str:
    if isinstance(exc, FileNotFoundError):
        return f"there is no file {path}"
    return f"{path} cannot be read: {exc.strerror}" if isinstance(exc, OSError) else f"{path} {exc}"


def _function(spec: str) -> tuple[str, Callable[[asl.Json], object]]:
    """Parse ``ARN=module:function`` and import the function, from the working directory too."""
    arn, _, target = spec.rpartition("=")
    module, _, name = target.partition(":")
    if not (arn and module and name):
        raise ConfigurationError(f"--resource {spec!r}: give it as ARN=module:function")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        function = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as exc:
        raise ConfigurationError(f"--resource {spec!r}: there is no module {exc.name}") from exc
    except AttributeError as exc:
        raise ConfigurationError(f"--resource {spec!r}: {module} has no function {name}") from exc
    return arn, _as_lambda(arn, name, function) if _is_handler(function) else function


def _is_handler(function: Callable[..., object]) -> bool:
    """Whether a function takes an event and a context, as Lambda's handlers do."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C
        return False
    return sum(one.default is one.empty and one.kind in _POSITIONAL for one in parameters) == 2


def _as_lambda(arn: str, name: str, handler: Callable[..., object]) -> Callable[[asl.Json], object]:
    """Call a handler as Lambda does; the integration ``lambda:invoke`` wraps its event and its answer."""
    from scones_ml.local.handlers import LambdaContext

    def invoke(parameters: asl.Json) -> object:
        if arn.startswith(_INVOKE) and isinstance(parameters, dict):
            answer = handler(parameters.get("Payload", {}), LambdaContext(name))
            return {"ExecutedVersion": "$LATEST", "Payload": answer, "StatusCode": 200}
        return handler(parameters, LambdaContext(name))

    return invoke


def _show(event: asl.Event) -> None:
    """Print one line per entered state and per error."""
    if event.type.endswith("StateEntered"):
        terminal.say(f"  {event.state}")
    elif event.type.endswith(("Failed", "TimedOut", "Aborted")):
        terminal.say(f"  {event.type}: {event.data.get('error', '')}", "red")


def _history(path: Path) -> dict[str, asl.Json]:
    try:
        document = strict_json.parse(_read(path))
    except ValueError as exc:
        raise ConfigurationError(f"{path} {exc}") from exc
    if not isinstance(document, dict) or not isinstance(document.get("events"), list):
        raise ConfigurationError(f"{path} is not what `scones asl run --json` or AWS's get-execution-history printed")
    return document
