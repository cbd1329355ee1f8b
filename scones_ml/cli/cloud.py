"""``scones cost`` and ``scones package``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scones_ml.cli import terminal
from scones_ml.cli.options import Json, names
from scones_ml.ports import RealTime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scones_ml.cost.estimate import DesignEstimate

__all__ = ["cost", "package"]

_INSTANCE = RealTime().instance_type  # what `scones deploy` takes

Images = Annotated[float, typer.Option("--images", min=0, help="Images per month.")]
Designs = Annotated[str | None, typer.Option("--design", help="Designs to compare, comma-separated (default: all).")]
Region = Annotated[str, typer.Option("--region", help="AWS region of the list prices.")]
MeasuredModel = Annotated[
    Path | None,
    typer.Option("--model", help="Model folder or model.tar.gz; its inference time is measured here and used."),
]
Instance = Annotated[str, typer.Option("--instance", help="Instance type of an always-on endpoint.")]
Formulas = Annotated[bool, typer.Option("--formulas", help="Show what each design pays for and the formula.")]
Architecture = Annotated[
    Literal["arm64", "x86_64"], typer.Option("--architecture", help="Processor architecture of the functions.")
]
PythonVersion = Annotated[str, typer.Option("--python", help="Python version of the Lambda runtime.")]
ClassifierKind = Annotated[
    Literal["sagemaker", "onnx"],
    typer.Option("--classifier", help="Call an endpoint, or run the model inside the function."),
]
ModelFolder = Annotated[Path | None, typer.Option("--model", help="Model folder to include in the package.")]
Folder = Annotated[Path, typer.Option("--folder", help="Output folder; the template expects build/lambda.")]
Tracing = Annotated[bool, typer.Option("--tracing", help="Include the X-Ray SDK, which SCONES_TRACING=1 needs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and do nothing.")]


def cost(
    images: Images = 100_000,
    design: Designs = None,
    region: Region = "us-east-1",
    instance: Instance = _INSTANCE,
    model: MeasuredModel = None,
    formulas: Formulas = False,
    json: Json = False,
) -> None:
    """Estimate the monthly AWS cost of each design from dated list prices; needs no account."""
    from scones_ml.cost import estimate as costs
    from scones_ml.cost.prices import price_table
    from scones_ml.cost.workload import Workload

    prices = price_table(region)
    prices.instance(instance)
    workload = Workload(instance=instance)
    if model is not None:
        workload = dataclasses.replace(workload, model_ms=_model_ms(model))
    rows = costs.estimate(images, names(design), workload=workload, prices=prices)
    break_evens = costs.break_evens(rows)
    if json:
        terminal.print_json(
            {
                "images": images,
                "prices_as_of": prices.as_of,
                "model_ms": workload.model_ms,
                "designs": [_document(row) for row in rows],
                "break_evens": [dataclasses.asdict(one) for one in break_evens],
            }
        )
        return
    _show(rows)
    if formulas:
        for row in rows:
            terminal.out.print()
            lines = [(line.what, f"${line.dollars(images):,.2f}", line.formula) for line in row.lines]
            terminal.print_table((row.design, "a month", "how it is counted"), lines, right=("a month",))
    terminal.say(f"{images:,.0f} images a month, list prices of {region} as of {prices.as_of}; not a quotation")
    terminal.say(_whose_time(workload.model_ms, model))
    for one in break_evens[:8] if design else ():
        terminal.say(f"from {one.images:,.0f} images a month on, {one.above} costs less than {one.below}")


def package(
    architecture: Architecture = "arm64",
    python: PythonVersion = "3.13",
    classifier: ClassifierKind = "sagemaker",
    model: ModelFolder = None,
    folder: Folder = Path("build/lambda"),
    tracing: Tracing = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Build reproducible Lambda packages, named as in the template."""
    from scones_ml.inference.model import read_card
    from scones_ml.packaging import PackageRequest, Target, build, plan

    planned = plan(PackageRequest(folder, Target(python, architecture), classifier, model, tracing))
    if model is not None:
        read_card(model)  # a broken one is told before anything is built
    if dry_run:
        for function in planned.functions:
            terminal.out.print(f"{function.folder}: {', '.join(map(str, function.pins)) or 'our own code'}")
        return
    with terminal.progress("package") as progress:
        built = build(planned, progress)
    if json:
        terminal.print_json(
            [{**dataclasses.asdict(item), "folder": str(item.folder), "archive": str(item.archive)} for item in built]
        )
        return
    rows = [
        (item.name, f"{item.zipped_bytes / 1e6:.1f} MB", f"{item.unzipped_bytes / 1e6:.1f} MB", str(item.folder))
        for item in built
    ]
    terminal.print_table(("function", "zipped", "unzipped", "folder"), rows, right=("zipped", "unzipped"))
    if not all(item.compiled for item in built):
        terminal.say(f"no python{python} found to compile bytecode with: cold starts take about twice as long")
    terminal.say_command("next: ", "sam deploy --guided --template-file workflows/template.yaml")


def _model_ms(model: Path) -> float:
    """Inference time per image in ms: measured here, doubled since AWS's processors may be slower."""
    from scones_ml.cost.workload import DEAR_SIDE
    from scones_ml.inference.model import load_classifier
    from scones_ml.inference.timing import milliseconds_per_image

    return DEAR_SIDE * round(milliseconds_per_image(load_classifier(model)), 1)


def _whose_time(model_ms: float, model: Path | None) -> str:
    from scones_ml.cost.workload import DEAR_SIDE

    whose = "measured here" if model else "that of a photographs' model; for yours add --model MODEL"
    return f"the model takes {model_ms:g} ms an image: {DEAR_SIDE:g} x {model_ms / DEAR_SIDE:g} ms, {whose}"


def _show(rows: Sequence[DesignEstimate]) -> None:
    cells = [
        (
            row.design,
            f"${row.per_month:,.2f}",
            f"${row.idle_per_month:,.2f}",
            f"${row.per_thousand:,.4f}",
            row.description,
        )
        for row in rows
    ]
    columns = ("design", "a month", "idle month", "1,000 more", "")
    terminal.print_table(columns, cells, right=columns[1:4])


def _document(row: DesignEstimate) -> dict[str, object]:
    return {
        "design": row.design,
        "description": row.description,
        "per_month": row.per_month,
        "idle_per_month": row.idle_per_month,
        "per_thousand": row.per_thousand,
        "lines": [dataclasses.asdict(line) for line in row.lines],
    }
