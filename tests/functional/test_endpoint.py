"""The endpoint as its clients see it: a real server process on loopback, plain boto3 and plain HTTP."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from PIL import Image

from scones_ml import lifecycle
from scones_ml.aws.classifier import SageMakerClassifier
from scones_ml.captures import Capture, Skipped, read_captures
from scones_ml.errors import ConfigurationError, DeploymentError, InferenceError
from scones_ml.inference.model import load_classifier
from scones_ml.local.backend import LocalBackend
from scones_ml.local.endpoint import LocalDeployer
from scones_ml.local.endpoint_records import write_record
from scones_ml.locks import holder_of
from scones_ml.ports import DeploymentRequest, Endpoint

LABELS = ("bicycle", "motorcycle")


def make_image(red: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), (red, 0, 0)).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def deployer(tmp_path_factory: pytest.TempPathFactory) -> LocalDeployer:
    folder = tmp_path_factory.mktemp("workspace")
    return LocalBackend(folder).deployer


@pytest.fixture(scope="module")
def endpoint(deployer: LocalDeployer, tiny_model: Path) -> Iterator[Endpoint]:
    yield deployer.deploy(DeploymentRequest("bikes", tiny_model))
    deployer.remove("bikes")


@pytest.fixture
def runtime(endpoint: Endpoint) -> Any:
    config = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
    return boto3.client("sagemaker-runtime", endpoint_url=endpoint.url, region_name="us-east-1", config=config)


def recorded(endpoint: Endpoint) -> dict[str | None, Capture]:
    """The endpoint's captures by their InferenceId, every line of them whole."""
    rows = list(read_captures(endpoint.captures))
    captures = [row for row in rows if isinstance(row, Capture)]
    assert len(captures) == len(rows)
    return {capture.inference_id: capture for capture in captures}


def post(url: str, data: bytes, content_type: str) -> tuple[int, Any]:
    request = urllib.request.Request(url, data, {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as exc:
        return exc.code, json.loads(exc.read())


def test_ping_answers_when_the_model_is_there(endpoint: Endpoint) -> None:
    """A deployed endpoint is ready: /ping gives 200."""
    with urllib.request.urlopen(f"{endpoint.url}/ping", timeout=10) as answer:
        assert answer.status == 200


def test_the_answer_says_how_long_it_took_and_by_which_model(runtime: Any, endpoint: Endpoint) -> None:
    """Latency and model come with the answer as custom attributes, and the capture keeps both beside the caller's."""
    answer = runtime.invoke_endpoint(
        EndpointName="bikes",
        Body=make_image(128),
        ContentType="image/png",
        InferenceId="timed",
        CustomAttributes="shop=17,lane=2",
    )
    latency, model = answer["CustomAttributes"].split(",")
    assert re.fullmatch(r"latency_ms=\d+\.\d\d", latency)
    assert model == f"model={endpoint.model}"
    kept = recorded(endpoint)["timed"]
    assert kept.custom_attributes == ("shop=17", "lane=2", latency, model)
    assert kept.latency_ms() == float(latency.removeprefix("latency_ms="))


@pytest.mark.parametrize(
    ("kind", "content_type"), [("PNG", "image/png"), ("JPEG", "IMAGE/jpeg;q=1"), ("PNG", "application/x-image")]
)
def test_invocations_answer_with_a_json_list(endpoint: Endpoint, kind: str, content_type: str) -> None:
    """An image of each content type gives the model's probabilities as a JSON list."""
    status, answer = post(f"{endpoint.url}/invocations", make_image(255, kind), content_type)
    assert status == 200
    assert answer[1] == pytest.approx(0.9975, abs=0.001)
    assert sum(answer) == pytest.approx(1)


def test_plain_boto3_reaches_it_by_name(runtime: Any) -> None:
    """invoke_endpoint of an unchanged boto3 client works, and the answer says which variant it came from."""
    answer = runtime.invoke_endpoint(EndpointName="bikes", ContentType="image/png", Body=make_image(0))
    assert json.loads(answer["Body"].read())[0] > 0.99
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["ContentType"] == "application/json"


def test_the_answer_is_the_models_own(endpoint: Endpoint, tiny_model: Path) -> None:
    """Over the endpoint and in this process an image gets the same probabilities."""
    remote = SageMakerClassifier("bikes", LABELS, endpoint.url).predict(make_image(100), image_id="0" * 40)
    assert remote == pytest.approx(load_classifier(tiny_model).predict(make_image(100)), abs=1e-6)


@pytest.mark.parametrize(
    ("data", "content_type", "status", "words"),
    [
        (b"<html>", "image/png", 400, "not an image"),
        (b"", "image/png", 400, "it is empty"),
        (b"\x89PNG\r\n\x1a\n123", "image/png", 400, "broken PNG"),
        (b"[1, 2]", "application/json", 415, "application/json"),
        (b"x" * 6_291_457, "image/png", 413, "larger than 6,291,456 bytes"),
    ],
)
def test_bad_requests_get_a_clear_4xx(
    endpoint: Endpoint, data: bytes, content_type: str, status: int, words: str
) -> None:
    """What cannot be classified is refused with its status and one line that says why."""
    got, answer = post(f"{endpoint.url}/invocations", data, content_type)
    assert got == status
    assert words in answer["message"]


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/elsewhere", 404), ("PUT", "/invocations", 405)])
def test_what_is_not_here_says_what_is(endpoint: Endpoint, method: str, path: str, status: int) -> None:
    """Another path or method is refused in JSON, as all else, with the way to ask."""
    request = urllib.request.Request(f"{endpoint.url}{path}", b"", method=method)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert caught.value.code == status
    assert "send images to POST /invocations" in json.loads(caught.value.read())["message"]


def test_boto3_sees_model_errors_as_at_aws(runtime: Any) -> None:
    """The container's 400 reaches boto3 as ModelError with the original status, as from SageMaker."""
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        runtime.invoke_endpoint(EndpointName="bikes", ContentType="image/png", Body=b"<html>")
    assert caught.value.response["OriginalStatusCode"] == 400
    assert "not an image" in caught.value.response["OriginalMessage"]


def test_an_unknown_endpoint_is_a_validation_error(runtime: Any) -> None:
    """Another name under the same address is refused as SageMaker refuses it."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        runtime.invoke_endpoint(EndpointName="trucks", ContentType="image/png", Body=make_image(0))
    assert caught.value.response["Error"]["Code"] == "ValidationError"


def test_the_classifier_translates_errors(endpoint: Endpoint) -> None:
    """A refused image, a wrong name and a dead address are our own errors, each naming the endpoint."""
    with pytest.raises(InferenceError, match="endpoint bikes: ModelError"):
        SageMakerClassifier("bikes", LABELS, endpoint.url).predict(b"<html>", image_id="0" * 40)
    with pytest.raises(ConfigurationError, match="endpoint trucks: ValidationError"):
        SageMakerClassifier("trucks", LABELS, endpoint.url).predict(make_image(0), image_id="0" * 40)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=r"endpoint bikes does not answer: .*scones deploy MODEL"):
            SageMakerClassifier("bikes", LABELS, url).predict(make_image(0), image_id="0" * 40)


def test_captures_have_sagemakers_names_and_format(endpoint: Endpoint, runtime: Any) -> None:
    """A request is recorded under AllTraffic/YYYY/MM/DD/HH/MM-SS-mmm-uuid.jsonl, in the keys of real captures."""
    sent = make_image(77)
    runtime.invoke_endpoint(EndpointName="bikes", ContentType="image/png", Body=sent, InferenceId="order-77")
    (file,) = Path(endpoint.captures).rglob("*.jsonl")
    uuid4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    pattern = rf"AllTraffic/\d{{4}}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{{3}}-{uuid4}\.jsonl"
    assert re.fullmatch(pattern, file.relative_to(endpoint.captures).as_posix())
    record = json.loads(file.read_text().splitlines()[-1])
    assert list(record) == ["captureData", "eventMetadata", "eventVersion"]
    side = record["captureData"]["endpointInput"]
    assert (side["observedContentType"], side["mode"], side["encoding"]) == ("image/png", "INPUT", "BASE64")
    assert base64.b64decode(side["data"]) == sent
    assert record["captureData"]["endpointOutput"]["encoding"] == "JSON"
    assert record["eventMetadata"]["inferenceId"] == "order-77"
    assert recorded(endpoint)["order-77"].input.data == sent


def test_an_answer_does_not_depend_on_its_record(tiny_model: Path, tmp_path: Path) -> None:
    """When a capture cannot be written, the request is answered all the same, and the log says so."""
    (tmp_path / "captures").write_text("a file where the folder should be")
    deployer = LocalBackend(tmp_path).deployer
    made = deployer.deploy(DeploymentRequest("unrecorded", tiny_model))
    try:
        assert post(f"{made.url}/invocations", make_image(0), "image/png")[0] == 200
        assert "not captured" in (tmp_path / "endpoints" / "unrecorded.log").read_text()
    finally:
        deployer.remove("unrecorded")


def test_endpoints_are_found_and_removed(deployer: LocalDeployer, tiny_model: Path) -> None:
    """A deployed endpoint is listed until it is removed; afterwards its process, port and record are gone."""
    made = deployer.deploy(DeploymentRequest("second", tiny_model, capture_percentage=0))
    assert made in deployer.endpoints()
    post(f"{made.url}/invocations", make_image(0), "image/png")
    assert not Path(made.captures).exists()
    deployer.remove("second")
    deployer.remove("second")
    assert "second" not in [found.name for found in deployer.endpoints()]
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{made.url}/ping", timeout=2)


def test_deploying_again_replaces(deployer: LocalDeployer, tiny_model: Path, tmp_path: Path) -> None:
    """A second deployment under the same name takes the first one's place and its port, unless another is given."""
    other = shutil.copytree(tiny_model, tmp_path / "other")
    card = json.loads((other / "model.json").read_text())
    (other / "model.json").write_text(json.dumps(card | {"threshold": 0.75}))
    first = deployer.deploy(DeploymentRequest("third", tiny_model))
    second = deployer.deploy(DeploymentRequest("third", other))
    assert (second.url, second.threshold) == (first.url, 0.75)
    assert [found for found in deployer.endpoints() if found.name == "third"] == [second]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    third = deployer.deploy(DeploymentRequest("third", tiny_model, port=port))
    assert third.url.endswith(f":{port}")
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{first.url}/ping", timeout=2)
    deployer.remove("third")


def test_a_port_that_somebody_else_took_is_left_to_them(tmp_path: Path, tiny_model: Path) -> None:
    """Where the port of an endpoint that died is taken by now, the next one under its name gets another."""
    deployer = LocalBackend(tmp_path).deployer
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        (tmp_path / "endpoints").mkdir()
        write_record(tmp_path / "endpoints" / "old.json", os.getpid(), Endpoint("old", url, LABELS, 8, 0.5, "captures"))
        made = deployer.deploy(DeploymentRequest("old", tiny_model))
        assert made.url != url
    deployer.remove("old")


def test_a_port_in_use_is_named(deployer: LocalDeployer, tiny_model: Path) -> None:
    """A taken port is one clear line, and nothing is left running or recorded."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DeploymentError, match=f"port {port} on 127.0.0.1 is not available"):
            deployer.deploy(DeploymentRequest("fourth", tiny_model, port=port))
    assert "fourth" not in [found.name for found in deployer.endpoints()]


@pytest.mark.parametrize("name", ["", "a b", "../c", "a/b", "-a", "x" * 64])
def test_a_name_that_is_none_is_refused(deployer: LocalDeployer, tiny_model: Path, name: str) -> None:
    """Names follow SageMaker's rule, so that none is a path and each works there too."""
    with pytest.raises(DeploymentError, match="is not a valid endpoint name"):
        deployer.deploy(DeploymentRequest(name, tiny_model))


@pytest.mark.parametrize("text", ["{broken", "[]", "{}", '{"pid": "x", "endpoint": {}}'])
def test_a_broken_record_is_named(tmp_path: Path, text: str) -> None:
    """A record that somebody damaged is one clear line with its path; it is not removed behind anybody's back."""
    record = tmp_path / "endpoints" / "bikes.json"
    record.parent.mkdir()
    record.write_text(text)
    deployer = LocalBackend(tmp_path).deployer
    with pytest.raises(DeploymentError, match=r"bikes\.json is not an endpoint's record"):
        deployer.endpoints()
    with pytest.raises(DeploymentError, match=r"bikes\.json"):
        deployer.remove("bikes")
    assert record.read_text() == text


@pytest.mark.parametrize(
    ("broken", "words"),
    [("model.json", "holds no model.json"), ("model.onnx", "holds no model.onnx"), ("labels", "labels")],
)
def test_a_broken_model_is_named(
    deployer: LocalDeployer, tiny_model: Path, tmp_path: Path, broken: str, words: str
) -> None:
    """A model without its graph, its card or its labels is refused in one line; no endpoint is left."""
    for file in tiny_model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    if broken == "labels":
        (tmp_path / "model.json").write_text('{"input_size": 8}')
    else:
        (tmp_path / broken).unlink()
    with pytest.raises((ConfigurationError, DeploymentError), match=words):
        deployer.deploy(DeploymentRequest("fifth", tmp_path))
    assert "fifth" not in [found.name for found in deployer.endpoints()]


def answers(endpoint: Endpoint) -> bool:
    """Whether an endpoint is there."""
    try:
        with urllib.request.urlopen(f"{endpoint.url}/ping", timeout=10) as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False


@pytest.mark.parametrize("link", [False, True])
def test_a_copied_workspace_ends_nobodys_server(tmp_path: Path, tiny_model: Path, link: bool) -> None:
    """Clean-up of a copy, even one of hard links, removes what is in the copy; the original's server goes on."""
    original, copy = LocalBackend(tmp_path / "original"), LocalBackend(tmp_path / "copy")
    made = original.deployer.deploy(DeploymentRequest("bikes", tiny_model))
    try:
        shutil.copytree(tmp_path / "original", tmp_path / "copy", copy_function=os.link if link else shutil.copy2)
        assert copy.deployer.endpoints() == []
        assert copy.deployer.recorded() == ["bikes"]
        assert lifecycle.cleanup(copy) == ()
        assert copy.deployer.recorded() == []
        assert answers(made)
        assert original.deployer.endpoints() == [made]
    finally:
        original.deployer.remove("bikes")
    assert not answers(made)


@pytest.mark.parametrize("earlier", [False, True])
def test_a_recycled_number_harms_nobody(tmp_path: Path, tiny_model: Path, earlier: bool) -> None:
    """A record whose process number another process has by now, a server of the same name even, only goes."""
    arguments = ["-c", "input()", "-m", "scones_ml.inference", "model", "--name", "bikes", "--port", "0"]
    with subprocess.Popen([sys.executable, *arguments], stdin=subprocess.PIPE) as bystander:
        backend = LocalBackend(tmp_path)
        endpoint = Endpoint("bikes", "http://127.0.0.1:9", LABELS, 8, 0.9, "captures")
        record = tmp_path / "endpoints" / "bikes.json"
        record.parent.mkdir()
        write_record(record, bystander.pid, endpoint)
        if earlier:
            record.write_text(json.dumps({"pid": bystander.pid, "endpoint": dataclasses.asdict(endpoint)}))
        for file in ("bikes.log", "bikes.running"):
            (tmp_path / "endpoints" / file).touch()
        assert backend.deployer.endpoints() == []
        backend.deployer.remove("bikes")
        assert backend.deployer.recorded() == []
        assert bystander.poll() is None
        bystander.communicate(b"\n")


def test_a_server_ends_with_its_workspace(tmp_path: Path, tiny_model: Path) -> None:
    """When somebody deletes the workspace, the server that nobody would find any more ends."""
    deployer = LocalBackend(tmp_path / "workspace").deployer
    made = deployer.deploy(DeploymentRequest("bikes", tiny_model))
    shutil.rmtree(tmp_path / "workspace")
    deadline = time.monotonic() + 20
    while answers(made) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not answers(made)
    deployer.remove("bikes")


def test_a_second_server_of_a_name_does_not_start(endpoint: Endpoint, tiny_model: Path, tmp_path: Path) -> None:
    """A server that finds its name served in this workspace says by whom, and ends."""
    file = Path(endpoint.captures).parents[1] / "endpoints" / "bikes.running"
    holder = holder_of(file)
    assert holder is not None
    command = [sys.executable, "-m", "scones_ml.inference", str(tiny_model), "--name", "bikes", "--port", "0"]
    ended = subprocess.run([*command, "--hold", str(file)], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr == f"scones: endpoint bikes is served by process {holder.pid} already\n"


@pytest.mark.parametrize("name", ["../server", "/etc/passwd", "a.b", ""])
def test_only_an_endpoint_is_removed(tmp_path: Path, name: str) -> None:
    """A name that no endpoint can have is refused, whatever file it would lead to."""
    victim = tmp_path / "server.log"
    victim.touch()
    with pytest.raises(DeploymentError, match="is not a valid endpoint name"):
        LocalBackend(tmp_path / "workspace").deployer.remove(name)
    assert victim.exists()


def test_a_refused_deployment_leaves_what_runs(deployer: LocalDeployer, tiny_model: Path, tmp_path: Path) -> None:
    """A model that is none is refused before anything is done: the endpoint of that name goes on."""
    made = deployer.deploy(DeploymentRequest("sixth", tiny_model))
    with pytest.raises(ConfigurationError, match="holds no model"):
        deployer.deploy(DeploymentRequest("sixth", tmp_path))
    assert made in deployer.endpoints()
    deployer.remove("sixth")


def test_a_model_leaves_nothing_in_the_home_folder(tiny_model: Path, tmp_path: Path) -> None:
    """ONNX Runtime keeps telemetry in ~/.cache until it has sent it: with a model of ours it keeps none."""
    code = f"from scones_ml import load_model; load_model({str(tiny_model)!r})"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-c", code], env=environment | {"HOME": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null", "Content-Type": "text/plain"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_web_pages_are_refused_and_not_captured(endpoint: Endpoint, headers: dict[str, str]) -> None:
    """What a page in a browser sends, by either path, is refused with 403, and nothing of it is kept."""
    before = len(recorded(endpoint))
    for path in ("invocations", "endpoints/bikes/invocations"):
        request = urllib.request.Request(
            f"{endpoint.url}/{path}", make_image(1), {"Content-Type": "image/png"} | headers
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=10)
        assert caught.value.code == 403
        caught.value.close()
    assert len(recorded(endpoint)) == before


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="another process's limits can be set on Linux alone")
def test_on_a_full_disk_answers_go_on(tiny_model: Path, tmp_path: Path) -> None:
    """While neither captures nor log take a byte every request is answered; then the count is in both."""
    with (tmp_path / "log").open("wb") as log:
        command = [sys.executable, "-m", "scones_ml.inference", str(tiny_model), "--port", "0"]
        command += ["--captures", str(tmp_path / "captures")]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{json.loads(server.stdout.readline())['port']}"
        while post(f"{url}/invocations", make_image(0), "image/png")[0] == 503:
            pass
        (file,) = (tmp_path / "captures").rglob("*.jsonl")
        captured = file.read_bytes()
        unlimited = resource.RLIM_INFINITY
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (0, unlimited))
        assert {post(f"{url}/invocations", make_image(n), "image/png")[0] for n in range(20)} == {200}
        assert file.read_bytes() == captured
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
        assert post(f"{url}/invocations", make_image(0), "image/png")[0] == 200
    finally:
        server.terminate()
        assert server.wait(20) == 0
        server.stdout.close() if server.stdout else None
    skipped = [row.reason for row in read_captures(tmp_path / "captures") if isinstance(row, Skipped)]
    assert [reason.split(" from ")[0] for reason in skipped] == ["20 requests were not captured"]
    assert "20 requests were not captured from" in (tmp_path / "log").read_text()


def test_a_stopped_endpoint_answers_what_it_has_begun(tiny_model: Path) -> None:
    """After SIGTERM a request whose last byte is still missing is read and answered; then the process ends with 0."""
    command = [sys.executable, "-m", "scones_ml.inference", str(tiny_model), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = json.loads(server.stdout.readline())["port"]
        while post(f"http://127.0.0.1:{port}/invocations", make_image(0), "image/png")[0] == 503:
            pass
        image = make_image(3)
        with socket.create_connection(("127.0.0.1", port), 20) as client:
            head = f"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(image)}\r\n\r\n"
            client.sendall(head.encode() + image[:-1])
            post(f"http://127.0.0.1:{port}/invocations", image, "image/png")  # by now the other has come, too
            server.terminate()
            client.sendall(image[-1:])
            assert client.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"
        assert server.wait(20) == 0
