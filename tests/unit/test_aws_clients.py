"""How AWS clients are made: from the environment alone, one configuration for each kind of call."""

from __future__ import annotations

import subprocess
import sys

import boto3
import pytest
from botocore.config import Config

from scones_ml.aws import clients
from scones_ml.errors import ConfigurationError
from scones_ml.ports import CONCURRENT_REQUESTS

KINDS_OF_CALL = {name: found for name, found in vars(clients).items() if isinstance(found, Config)}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials and a region in the environment; whoever is asked is not there."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "from-environment",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)


def test_a_default_session_of_boto3_changes_nothing(account: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that imports boto3 and sets up its default session gets the clients that every program gets."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3.Session("from-boto3", "test", region_name="us-west-2"))
    assert clients.region() == "eu-west-1"
    made = clients.client("s3", clients.DATA_PLANE)
    assert made.meta.region_name == "eu-west-1"
    assert clients.session().get_credentials().access_key == "from-environment"


def test_every_kind_of_call_says_how_long_and_how_often() -> None:
    """Each configuration sets time-outs and attempts, and keeps as many connections as callers use at a time."""
    assert set(KINDS_OF_CALL) == {"CONTROL_PLANE", "BULK", "DATA_PLANE", "INFERENCE", "_IDENTITY"}
    for config in KINDS_OF_CALL.values():
        assert {"connect_timeout", "read_timeout", "retries"} <= set(config._user_provided_options)
        assert config.retries["mode"] == "standard"
        assert config.max_pool_connections == CONCURRENT_REQUESTS


def test_an_endpoint_is_asked_once_and_for_less_than_sagemaker_waits() -> None:
    """A slow endpoint is never asked twice by one invocation, and given up before SageMaker's 60 seconds are over."""
    assert clients.INFERENCE.retries["total_max_attempts"] == 1
    assert clients.INFERENCE.connect_timeout + clients.INFERENCE.read_timeout < 60


def test_no_region_is_one_line() -> None:
    """Without a region the line says how to set one."""
    with pytest.raises(ConfigurationError, match="no AWS region is set: set AWS_DEFAULT_REGION"):
        clients.region()


def test_a_profile_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that no file holds is named, by the region as by a client."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    for act in (clients.region, lambda: clients.client("s3", clients.DATA_PLANE)):
        with pytest.raises(ConfigurationError, match="nobody"):
            act()


def test_a_caller_that_cannot_be_had_is_the_caller(account: None) -> None:
    """Where STS does not answer at once, an error's message goes without the caller's ARN."""
    assert clients.caller() == "the caller"


def test_without_boto3_every_way_in_says_what_to_install() -> None:
    """Where botocore is not installed, the backend, a region and a store are one line each: what to install."""
    code = """
import sys
from pathlib import Path
sys.modules["botocore"] = None
from scones_ml import backends
from scones_ml.errors import MissingExtraError
for act in (lambda: backends.backend("aws", Path("x")), backends.region, backends.s3_store):
    try:
        act()
    except MissingExtraError as exc:
        assert str(exc) == "boto3 is not installed: pip install 'scones-ml[aws]'", exc
    else:
        raise AssertionError(act)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_translation_of_errors_needs_no_client() -> None:
    """Imports inside the package run one way: from clients to errors."""
    code = "import sys, scones_ml.aws.errors; sys.exit('scones_ml.aws.clients' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
