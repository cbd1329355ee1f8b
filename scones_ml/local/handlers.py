"""The real Lambda handlers, loaded by path and called as Lambda calls them."""

from __future__ import annotations

import importlib.util
import json
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import cast

from scones_ml.errors import ConfigurationError
from scones_ml.limits import LAMBDA_SECONDS
from scones_ml.workflows.handlers import handler_file, handler_files

__all__ = ["LambdaContext", "handler_behind", "load_handler"]

Handler = Callable[[object, "LambdaContext"], object]


@dataclass(frozen=True)
class LambdaContext:
    """Context object that the Lambda runtime passes to a handler."""

    function_name: str
    memory_limit_in_mb: int = 512
    aws_request_id: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def invoked_function_arn(self) -> str:
        """ARN of a fictitious account."""
        return f"arn:aws:lambda:local:000000000000:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """Local invocations have no deadline of their own; the Task's timeout holds."""
        return 1_000 * LAMBDA_SECONDS


@lru_cache(maxsize=64)
def handler_behind(function: str) -> str:
    """The handler that a Lambda function runs.

    Args:
        function: ``${ClassifyImageDataFunctionArn}``, or the name or ARN of a deployed function; names by
            CloudFormation hold 24 characters of the logical name.

    Raises:
        ConfigurationError: the function runs none of our handlers.
    """
    for path in handler_files():
        if path.stem.title().replace("_", "") in function:
            return path.stem
    raise ConfigurationError(f"the function {function} runs none of our handlers")


@lru_cache(maxsize=16)
def load_handler(name: str) -> Handler:
    """Load ``lambda_handler`` of ``handlers/NAME.py``, from the wheel or the checkout.

    Events and results pass through JSON, as they do in Lambda.

    Raises:
        ConfigurationError: there is no such handler.
    """
    path = handler_file(name)
    spec = importlib.util.spec_from_file_location(f"scones_ml._handlers.{name}", path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # before it runs: pydantic and dataclasses look up the module of a class
    spec.loader.exec_module(module)
    handler = cast("Handler", module.lambda_handler)

    def invoke(event: object, context: LambdaContext) -> object:
        result = handler(json.loads(json.dumps(event)), context)
        return json.loads(json.dumps(result))

    return invoke
