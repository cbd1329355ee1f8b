"""The ``scones`` command: one module per group of verbs; parsing, printing and exit codes only.

Exit codes: 0 done; 1 an expected error, one line that names the thing and the remedy; 2 usage; 3 an alarm that was
requested; 130 interrupted.

Internal: may change without notice.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from scones_ml.errors import MissingExtraError, SconesError
from scones_ml.printable import printable

if TYPE_CHECKING:
    from scones_ml.cli.context import Backends

__all__ = ["main"]

_INTERRUPTED = 130  # a shell's own: 128 and the number of SIGINT, 2


def main(arguments: Sequence[str] | None = None, backends: Backends | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: what follows ``scones``; None for ``sys.argv``.
        backends: factory of backends by their ``--on`` name; None for :mod:`scones_ml.backends`.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite end, like Ctrl-C
    try:
        return _run(arguments, backends)
    except SconesError as exc:
        return _complain(str(exc), _INTERRUPTED if isinstance(exc.__cause__, KeyboardInterrupt) else 1)
    except BrokenPipeError:  # before OSError, of which it is one
        sys.stderr.close()  # whoever read us has left; Python would complain of the rest
        return 1
    except OSError as exc:
        return _complain(f"{exc.filename}: {exc.strerror}" if exc.filename else str(exc), 1)
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
        return _interrupted() if code == _INTERRUPTED else code


def _run(arguments: Sequence[str] | None, backends: Backends | None) -> int:
    try:
        import typer

        from scones_ml.cli.app import app

        code = app(args=arguments, prog_name="scones", obj=backends, standalone_mode=False)
    except ModuleNotFoundError as exc:
        missing = str(exc.name).partition(".")[0]
        if missing in ("rich", "typer"):
            raise MissingExtraError(missing, "cli") from exc
        raise
    except typer.Abort:  # Ctrl-C at a question
        return _interrupted()
    except _usage_error() as exc:
        return _explain(exc)
    return _interrupted() if code == _INTERRUPTED else int(code or 0)


def _usage_error() -> type[Exception]:
    """Click's UsageError, of which typer exports a subclass alone."""
    import typer

    return cast("type[Exception]", typer.BadParameter.__base__)


def _explain(error: Exception) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":  # its text is the whole help
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    from scones_ml.cli.usage import usage_line

    return _complain(usage_line(error), 2)


def _interrupted() -> int:
    return _complain("interrupted; what was finished is kept", _INTERRUPTED)


def _complain(message: str, code: int) -> int:
    from scones_ml.cli.fitting import columns_of, wrapped
    from scones_ml.cli.invocation import as_typed

    line = f"scones: {printable(as_typed(message))}"
    columns = columns_of(sys.stderr)
    print(wrapped(line, columns) if columns else line, file=sys.stderr)  # noqa: T201 - typer may not be installed
    return code
