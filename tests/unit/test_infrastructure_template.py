"""The template: what follows from the definitions and the handlers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from scones_ml import asl, events, settings, workflows
from scones_ml.aws import clients
from scones_ml.errors import ConfigurationError, InvalidDefinitionError
from scones_ml.infrastructure import TemplateSettings, functions, grants, template
from scones_ml.infrastructure.__main__ import main
from scones_ml.infrastructure.definitions import function_names, machines, states_of
from scones_ml.infrastructure.pages import references

ROOT = Path(__file__).parents[2]
MACHINES = machines(TemplateSettings())
NAMES = [(machine, name) for machine, definition in MACHINES.items() for name in function_names(definition)]
Resource = Mapping[str, Any]


@pytest.fixture(scope="module")
def resources() -> Mapping[str, Resource]:
    return document()["Resources"]  # type: ignore[no-any-return]


def document(**changes: Any) -> dict[str, Any]:
    return json.loads(json.dumps(template(TemplateSettings(**changes))))  # type: ignore[no-any-return]


def of_type(resources: Mapping[str, Resource], kind: str) -> dict[str, Any]:
    return {name: held["Properties"] for name, held in resources.items() if held["Type"] == kind}


@pytest.mark.parametrize(("machine", "name"), NAMES)
def test_one_name_runs_through_the_system(resources: Mapping[str, Resource], machine: str, name: str) -> None:
    """State, placeholder, function, handler, role and log group of one step have one name."""
    assert name in dict(states_of(MACHINES[machine].states))
    substitutions = resources[machine]["Properties"]["DefinitionSubstitutions"]
    assert substitutions[f"{name}FunctionArn"] == {"Fn::GetAtt": [f"{name}Function", "Arn"]}
    found = resources[f"{name}Function"]["Properties"]
    handler = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    assert (ROOT / "handlers" / f"{handler}.py").is_file()
    assert found["Handler"] == f"{handler}.lambda_handler"
    assert found["CodeUri"] == f"../build/lambda/{handler}"
    assert found["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
    assert found["LoggingConfig"]["LogGroup"] == {"Ref": f"{name}Logs"}


def test_every_workflow_is_deployed_as_committed(resources: Mapping[str, Resource]) -> None:
    """The template holds each definition of ours, the very text of workflows/*.asl.json."""
    deployed = of_type(resources, "AWS::StepFunctions::StateMachine")
    for name in workflows.WORKFLOWS:
        text = (ROOT / "workflows" / f"{name}.asl.json").read_text(encoding="utf-8")
        assert deployed[name.title().replace("_", "")]["DefinitionString"] == text
    assert len(deployed) == len(workflows.WORKFLOWS)


def test_every_placeholder_is_substituted(resources: Mapping[str, Resource]) -> None:
    """No ${...} of a definition is left open, and none is given that is not asked for."""
    for found in of_type(resources, "AWS::StepFunctions::StateMachine").values():
        assert set(re.findall(r"\$\{(\w+)\}", found["DefinitionString"])) == set(found["DefinitionSubstitutions"])


def test_every_reference_leads_somewhere() -> None:
    """Whatever the template refers to is a parameter, a resource or a pseudo parameter of AWS."""
    whole = document()
    known = {*whole["Parameters"], *whole["Resources"], "AWS", "ModelObject"}
    for section in ("Resources", "Conditions", "Rules", "Outputs", "Globals"):
        assert {name.partition(":")[0] for name in references(whole[section])} <= known


def test_every_condition_is_declared_and_used() -> None:
    """Conditions that are named exist, and those that exist are named."""
    whole = document()
    named = set(_conditions({"r": whole["Resources"], "g": whole["Globals"]}))
    assert named == set(whole["Conditions"])


def _conditions(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, held in value.items():
            if key == "Fn::If":
                yield held[0]
            if key == "Condition" and isinstance(held, str):
                yield held
            yield from _conditions(held)
    elif isinstance(value, list):
        for held in value:
            yield from _conditions(held)


@pytest.mark.parametrize(("machine", "name"), NAMES)
def test_time_limits_are_ordered(resources: Mapping[str, Resource], machine: str, name: str) -> None:
    """A client gives up before its function, the function before its Task, the Task before the machine."""
    slowest = max(
        (config.connect_timeout + config.read_timeout) * config.retries["total_max_attempts"]  # type: ignore[attr-defined]
        for config in (clients.DATA_PLANE, clients.INFERENCE)
    )
    function = resources[f"{name}Function"]["Properties"]["Timeout"]
    task = dict(states_of(MACHINES[machine].states))[name]
    assert isinstance(task, asl.Task)
    assert isinstance(task.timeout_seconds, int)
    limit = MACHINES[machine].timeout_seconds
    assert limit is not None
    assert slowest < function < task.timeout_seconds < limit


def test_an_express_machine_ends_when_its_time_is_over() -> None:
    """EXPRESS: 300 seconds at most, longer than each of its Tasks; the bulk machine stays STANDARD."""
    found = of_type(document(workflow_type="EXPRESS")["Resources"], "AWS::StepFunctions::StateMachine")
    assert found["ImageClassification"]["StateMachineType"] == "EXPRESS"
    assert json.loads(found["ImageClassification"]["DefinitionString"])["TimeoutSeconds"] == 300
    assert found["BatchClassification"]["StateMachineType"] == "STANDARD"


def test_failures_of_standard_machines_are_kept_and_told(resources: Mapping[str, Resource]) -> None:
    """FAILED, TIMED_OUT and ABORTED executions go to queue and topic; EXPRESS machines emit no such event."""
    rule = resources["ExecutionFailedRule"]["Properties"]
    assert rule["EventPattern"]["detail"]["status"] == ["FAILED", "TIMED_OUT", "ABORTED"]
    assert rule["EventPattern"]["detail"]["stateMachineArn"] == [{"Ref": name} for name in MACHINES]
    assert {target["Id"] for target in rule["Targets"]} == {"KeepFailure", "TellFailure"}
    express = document(workflow_type="EXPRESS")["Resources"]["ExecutionFailedRule"]["Properties"]
    assert express["EventPattern"]["detail"]["stateMachineArn"] == [{"Ref": "BatchClassification"}]


def test_doubt_can_fail_an_execution() -> None:
    """below_threshold="fail" deploys the definition that fails doubtful images."""
    found = document(below_threshold="fail")["Resources"]["ImageClassification"]["Properties"]["DefinitionString"]
    assert workflows.THRESHOLD_ERROR in found


def test_buckets_are_private_encrypted_and_versioned(resources: Mapping[str, Resource]) -> None:
    """Both buckets block public access four times, encrypt, keep versions and refuse plain HTTP."""
    buckets = of_type(resources, "AWS::S3::Bucket")
    assert set(buckets) == {"InputBucket", "OutputBucket"}
    for name, bucket in buckets.items():
        assert list(bucket["PublicAccessBlockConfiguration"].values()) == [True] * 4
        assert bucket["VersioningConfiguration"]["Status"] == "Enabled"
        assert bucket["BucketEncryption"]
        (statement,) = resources[f"{name}Policy"]["Properties"]["PolicyDocument"]["Statement"]
        assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_captures_are_forgotten_and_outcomes_are_not(resources: Mapping[str, Resource]) -> None:
    """Only data capture expires by itself."""
    rules = resources["OutputBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert [rule.get("Prefix") for rule in rules if "ExpirationInDays" in rule] == ["captures/"]


def test_outcomes_start_no_execution(resources: Mapping[str, Resource]) -> None:
    """Only the input bucket sends events, and the rule hears of that bucket alone: no event loop."""
    assert "NotificationConfiguration" not in resources["OutputBucket"]["Properties"]
    detail = resources["ImageCreatedRule"]["Properties"]["EventPattern"]["detail"]
    assert detail["bucket"]["name"] == [{"Ref": "InputBucket"}]


@pytest.mark.parametrize(
    ("key", "starts"),
    [
        ("images/a.png", True),
        ("images/deep/er/my photo+1.JPG", True),
        ("images/b.jpeg", True),
        ("images/train.lst", False),
        ("images/", False),
        ("other/a.png", False),
        ("images/a.png.tmp", False),
    ],
)
def test_the_rule_takes_images_under_the_prefix(resources: Mapping[str, Resource], key: str, starts: bool) -> None:
    """A key starts an execution when prefix and suffix both fit, by EventBridge's rule for wildcards."""
    patterns = resources["ImageCreatedRule"]["Properties"]["EventPattern"]["detail"]["object"]["key"]
    texts = [held["wildcard"]["Fn::Sub"].replace("${InputPrefix}", "images/") for held in patterns]
    assert any(re.fullmatch(re.escape(text).replace(r"\*", ".*"), key) for text in texts) is starts


def test_undelivered_events_are_kept(resources: Mapping[str, Resource]) -> None:
    """An event that EventBridge cannot deliver goes to the queue, which keeps it for 14 days."""
    (target,) = resources["ImageCreatedRule"]["Properties"]["Targets"]
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}}
    assert resources["DeadLetterQueue"]["Properties"]["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_logs_hold_no_images_and_end(resources: Mapping[str, Resource]) -> None:
    """Execution data is not logged, and every log group has a retention."""
    for found in of_type(resources, "AWS::StepFunctions::StateMachine").values():
        assert found["LoggingConfiguration"]["IncludeExecutionData"] is False
    groups = of_type(resources, "AWS::Logs::LogGroup")
    assert len(groups) == len(NAMES) + len(MACHINES)
    assert all(group["RetentionInDays"] == 30 for group in groups.values())


def test_alarms_watch_what_matters(resources: Mapping[str, Resource]) -> None:
    """Failed, timed-out and throttled executions, the endpoint, the queue and the share of reviews; each tells."""
    alarms = of_type(resources, "AWS::CloudWatch::Alarm")
    watched = {alarm.get("MetricName", "share of reviews") for alarm in alarms.values()}
    assert watched == {
        "ApproximateNumberOfMessagesVisible",
        "ExecutionThrottled",
        "ExecutionsFailed",
        "ExecutionsTimedOut",
        "Invocation4XXErrors",
        "Invocation5XXErrors",
        "ModelLatency",
        "share of reviews",
    }
    assert all(alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}] for alarm in alarms.values())
    latency = alarms["EndpointLatencyAlarm"]
    assert (latency["ExtendedStatistic"], latency["Threshold"]) == ("p99", 1_000_000)  # microseconds


def test_everything_that_can_be_tagged_is() -> None:
    """Every resource carries scones:project, by which clean-up finds it; the rest belongs to one that does."""
    whole = document()
    tag = {"Key": "scones:project", "Value": {"Ref": "Project"}}
    assert whole["Globals"]["Function"]["Tags"] == {"scones:project": {"Ref": "Project"}}
    untagged = {held["Type"] for held in whole["Resources"].values() if tag not in held["Properties"].get("Tags", [])}
    assert untagged == {
        "AWS::IAM::Policy",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::Subscription",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::QueuePolicy",
        "AWS::Scheduler::Schedule",
        "AWS::Serverless::Function",  # from Globals
    }


PARAMETERS = {"Threshold": "0.93", "EndpointName": "", "Labels": "", "ModelUri": "", "ImageSize": "32"}


def deployed(name: str, **given: str) -> dict[str, str]:
    """A handler's environment as it is in an account, for parameters of a deployment."""
    values = PARAMETERS | given
    on = {"UsesEndpoint": bool(values["EndpointName"]), "UsesModelUri": bool(values["ModelUri"]), "UsesTracing": False}

    def resolve(value: Any) -> str | None:
        if isinstance(value, str):
            return value
        ((function, held),) = value.items()
        if function == "Ref":
            return values.get(held)
        if function == "Fn::Sub":
            return re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], held)
        assert function == "Fn::If"
        return resolve(held[1] if on[held[0]] else held[2])

    found = document()["Resources"][f"{name}Function"]["Properties"]["Environment"]["Variables"]
    return {key: text for key, value in found.items() if (text := resolve(value)) is not None}


def test_handlers_read_what_was_deployed() -> None:
    """scones_ml.settings reads each function's variables as they were meant."""
    environ = deployed("ClassifyImageData", EndpointName="scones", Labels="bicycle,motorcycle")
    assert settings.classifier(environ) == settings.Target("sagemaker", "scones")
    assert settings.labels(environ) == ("bicycle", "motorcycle")
    assert settings.image_policy(environ) == settings.ImagePolicy().of_model(32, None)
    cropped = deployed("SerializeImageData", ImageFit="crop")
    assert settings.image_policy(cropped) == settings.ImagePolicy(image_size=32, fit="crop")
    assert settings.object_store(environ) == settings.Target("s3")
    assert not settings.tracing_enabled(environ)
    assert settings.threshold(deployed("FilterLowConfidence")) == 0.93


@pytest.mark.parametrize(
    ("uri", "target"),
    [("", "/var/task/model"), ("s3://models/a/model.tar.gz", "s3://models/a/model.tar.gz")],
)
def test_the_model_can_be_in_the_function(uri: str, target: str) -> None:
    """Without an endpoint the function loads the packaged model, or the one that ModelUri names."""
    environ = deployed("ClassifyImageData", ModelUri=uri)
    assert settings.classifier(environ) == settings.Target("onnx", target)
    assert "SCONES_LABELS" not in environ


@pytest.mark.parametrize(("given", "threshold"), [("0.93", 0.93), ("none", None)])
@pytest.mark.parametrize("function", ["FilterLowConfidence", "ClassifyBatch"])
def test_functions_filter_by_the_stack_s_threshold(function: str, given: str, threshold: float | None) -> None:
    """The parameter reaches settings.threshold, ``none`` for a model without one."""
    assert settings.threshold(deployed(function, Threshold=given)) == threshold


def test_functions_get_only_the_variables_that_they_read() -> None:
    """FilterLowConfidence knows the threshold and nothing of stores and models; the others know no threshold."""
    assert {name for name in deployed("FilterLowConfidence") if name.startswith("SCONES")} == {
        "SCONES_METRICS",
        "SCONES_THRESHOLD",
        "SCONES_TRACING",
    }
    assert "SCONES_THRESHOLD" not in deployed("SerializeImageData")
    assert "SCONES_THRESHOLD" in deployed("ClassifyBatch")


def test_every_variable_is_one_that_settings_reads() -> None:
    """The template sets no SCONES_ variable that scones_ml.settings does not know."""
    documented = set(re.findall(r"^SCONES_\w+", str(settings.__doc__), re.MULTILINE))
    for _, name in NAMES:
        assert {key for key in deployed(name) if key.startswith("SCONES")} <= documented


def test_batches_are_filed_where_the_function_may_write() -> None:
    """The prefix that ClassifyBatch may write to is where its results' keys begin."""
    image = events.ImageRef(s3_bucket="b", s3_key="k")
    batch = events.ImageBatch(images=(image,), output_bucket="o", run="r")
    (write,) = [found for found in grants.of_function("ClassifyBatch") if found.sid == "WriteResults"]
    assert write.resources == ({"Fn::Sub": f"${{OutputBucket.Arn}}/{batch.result_key.split('/')[0]}/*"},)


@pytest.mark.parametrize(
    ("parameter", "right", "wrong"),
    [
        ("Threshold", ["0.93", ".5", "1", "1.0", "0.001", "none"], ["0", "0.0", "1.1", "93", "-0.5", "", "abc"]),
        ("EndpointName", ["", "scones-2026"], ["Scones", "-a", "a b"]),
        ("ModelUri", ["", "s3://models/a/model.tar.gz"], ["s3://models", "model.tar.gz", "s3://models/*.tar.gz"]),
        ("InputPrefix", ["images/", "a/b-c/"], ["images", "/images/", "*/", ""]),
        ("AlarmEmail", ["", "a@example.org"], ["nobody"]),
    ],
)
def test_parameters_refuse_nonsense(parameter: str, right: list[str], wrong: list[str]) -> None:
    """CloudFormation refuses a parameter that would deploy something broken, before it creates anything."""
    pattern = document()["Parameters"][parameter]["AllowedPattern"]
    assert all(re.fullmatch(pattern, text) for text in right)
    assert not any(re.fullmatch(pattern, text) for text in wrong)


def test_the_threshold_alone_has_no_default() -> None:
    """There is no threshold to guess; everything else has a default."""
    assert [name for name, held in document()["Parameters"].items() if "Default" not in held] == ["Threshold"]


def test_settings_are_frozen_and_checked() -> None:
    """Unknown or impossible settings are refused."""
    with pytest.raises(ValidationError):
        TemplateSettings(log_retention_days=31)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        TemplateSettings(colour="red")  # type: ignore[call-arg]


def test_an_unknown_task_is_refused() -> None:
    """A definition that calls something no permission is known for is not deployed without it."""
    machine = asl.StateMachine(
        start_at="A", states={"A": asl.Task(resource="arn:aws:states:::sqs:sendMessage", end=True)}
    )
    with pytest.raises(InvalidDefinitionError, match="sqs:sendMessage"):
        list(grants.of_machine(machine))


def test_an_unknown_prefix_is_refused() -> None:
    """A task that could write anywhere is not allowed to write everywhere."""
    task = asl.Task(
        resource="arn:aws:states:::aws-sdk:s3:putObject",
        parameters={"Bucket": "${OutputBucketName}", "Key.$": "$.key"},
        end=True,
    )
    with pytest.raises(InvalidDefinitionError, match="limited to that prefix"):
        list(grants.of_machine(asl.StateMachine(start_at="A", states={"A": task})))


def test_a_handler_gains_no_permission_unseen() -> None:
    """A handler that uses a port nobody has thought of is refused by name, and so is one that is not there."""
    with pytest.raises(ConfigurationError, match=r"handlers/another\.py uses backends\.delete_everything"):
        functions.check_uses("another", frozenset({"backends.read_object", "backends.delete_everything"}))
    with pytest.raises(ConfigurationError, match="there is no handler 'missing'"):
        grants.of_function("Missing").__next__()


def test_the_committed_template_is_fresh() -> None:
    """workflows/template.yaml is what the code says."""
    assert main(["--check", str(ROOT / "workflows")]) == 0


def test_a_stale_template_is_named_with_its_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stale or missing file costs exit code 1 and one line that says how to renew it."""
    assert main(["--check", str(tmp_path)]) == 1
    assert "template.yaml is missing; regenerate it with" in capsys.readouterr().err
    (tmp_path / "template.yaml").write_text("Resources: {}\n")
    assert main(["--check", str(tmp_path)]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "template.yaml is stale" in line


def test_the_command_prints_the_template(capsys: pytest.CaptureFixture[str]) -> None:
    """Without options the committed file appears on standard output; --type and --below-threshold change it."""
    assert main([]) == 0
    assert capsys.readouterr().out == (ROOT / "workflows" / "template.yaml").read_text(encoding="utf-8")
    assert main(["--type", "EXPRESS", "--below-threshold", "fail"]) == 0
    assert "StateMachineType: EXPRESS" in capsys.readouterr().out


def test_an_endpoint_can_have_its_time(resources: Mapping[str, Resource]) -> None:
    """With EndpointExpires a schedule deletes the endpoint once, at that time, by a role that may do nothing else."""
    schedule = resources["EndpointExpiry"]
    assert schedule["Condition"] == resources["EndpointExpiryRole"]["Condition"] == "ExpiresEndpoint"
    properties = schedule["Properties"]
    assert properties["ScheduleExpression"] == {"Fn::Sub": "at(${EndpointExpires})"}
    target = properties["Target"]
    assert target["Arn"] == {"Fn::Sub": "arn:${AWS::Partition}:scheduler:::aws-sdk:sagemaker:deleteEndpoint"}
    assert target["Input"] == {"Fn::Sub": '{"EndpointName": "${EndpointName}"}'}
    (policy,) = resources["EndpointExpiryRole"]["Properties"]["Policies"]
    actions = [statement["Action"] for statement in policy["PolicyDocument"]["Statement"]]
    assert actions == [["sagemaker:DeleteEndpoint"], ["sqs:SendMessage"]]
