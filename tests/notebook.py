"""Execution of examples/scones_unlimited.ipynb, and what of its outputs is the same each time.

Not a test. After a change of the notebook, or of what it shows: ``python tests/notebook.py`` writes its outputs anew.
"""

from __future__ import annotations

import os
import re
import tempfile
from html import unescape
from pathlib import Path
from typing import Final

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOK: Final = Path(__file__).parents[1] / "examples" / "scones_unlimited.ipynb"
_SECONDS: Final = 90  # for each cell
_RICH: Final = {"text/html", "image/png"}
_UNSEEN: Final = r"<style>.*?</style>|<title.*?</title>|<desc.*?</desc>|<[^>]*>"  # and tags
_VARYING: Final = {
    r"(\b(\d{4}-\d\d-\d\d )?\d\d:\d\d(:\d\d)?\b ?)+": "TIME ",
    r"\bfrom TIME to TIME ": "at TIME ",
    r"(?<!\.)\b[0-9a-f]{16,64}\b": "DIGEST",
    r"<?\b[\d.]+ m?s\b": "DURATION",
}


def read() -> NotebookNode:
    """The notebook as it is committed.

    Raises:
        nbformat.ValidationError: it is not a notebook of format 4.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    return notebook


def execute(folder: Path) -> NotebookNode:
    """The notebook with the outputs of an execution, without what differs between machines and versions of Jupyter.

    Args:
        folder: where it runs, and leaves its files.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the message shows it.
    """
    notebook = read()
    place = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=_SECONDS, record_timing=False, resources=place).execute()
    for cell in code_cells(notebook):
        cell.outputs = [_portable(output, folder) for output in cell.outputs]
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    return notebook


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Its cells of code, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def words(cell: NotebookNode) -> str:
    """What a reader reads below a cell: the text of its outputs, without times and digests."""
    text = " ".join(" ".join(_text(output) for output in cell.outputs).split())
    for pattern, name in _VARYING.items():
        text = re.sub(pattern, name, text)
    return text


def _text(output: NotebookNode) -> str:
    if output.output_type == "stream":
        return str(output.text)
    if "text/html" in output.data:
        return unescape(re.sub(_UNSEEN, " ", output.data["text/html"], flags=re.DOTALL))
    return str(output.data.get("text/plain", ""))


def _portable(output: NotebookNode, folder: Path) -> NotebookNode:
    """One output: paths are relative, and what is shown as HTML or as an image is not kept as text, too."""
    if output.output_type == "stream":
        output.text = output.text.replace(f"{folder}/", "")
        return output
    rich = _RICH & set(output.data)
    kept = {kind: shown.replace(f"{folder}/", "") for kind, shown in output.data.items() if not rich or kind in rich}
    output.data = nbformat.from_dict(kept)
    return output


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        nbformat.write(execute(Path(name).resolve()), NOTEBOOK)
