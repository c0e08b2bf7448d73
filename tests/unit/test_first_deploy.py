"""What the transformed template must have so that the first deployment to somebody's account works, anywhere."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.transformed import refusing, resources, transformed

ROOT = Path(__file__).parents[2]
# By CloudFormation's quotas; S3 takes a template of 1 MB.
MOST_RESOURCES, MOST_PARAMETERS, LONGEST = 500, 200, 1_000_000
THREE_DAYS = 3 * 86_400


def test_it_is_within_the_quotas() -> None:
    template = transformed()
    assert len(template["Resources"]) < MOST_RESOURCES
    assert len(template["Parameters"]) < MOST_PARAMETERS
    assert len(json.dumps(template)) < LONGEST


def test_no_resource_has_a_name_that_a_second_stack_would_give_too() -> None:
    """SAM names a schedule after its function: the second stack in an account and region would be refused."""
    named = {
        name: value
        for name, resource in transformed()["Resources"].items()
        for key, value in resource.get("Properties", {}).items()
        if key == "Name" or key in (resource["Type"].rpartition("::")[2] + "Name", "RoleName", "FunctionName")
        if not resource["Type"].startswith(("AWS::Lambda::", "AWS::ApiGateway::", "AWS::IAM::Policy"))
    }
    assert len(resources("AWS::Scheduler::Schedule")) >= 4
    # A bus must be named; the name of the stack is unique where it is.
    assert named == {"EventBus": {"Ref": "AWS::StackName"}}


def test_what_sends_to_its_own_queue_is_not_stopped_as_a_loop() -> None:
    """Lambda stops a chain at its 16th step: a ZIP that is worked off in stretches would end after three hours."""
    looping = set()
    for name, role in resources("AWS::IAM::Role").items():
        reads, sends = set(), set()
        for statement in role.get("Policies", [{"PolicyDocument": {"Statement": []}}])[0]["PolicyDocument"][
            "Statement"
        ]:
            actions = str(statement.get("Action"))
            reads |= {str(statement["Resource"])} if "sqs:ReceiveMessage" in actions else set()
            sends |= {str(statement["Resource"])} if "sqs:SendMessage" in actions else set()
        if reads & sends:
            looping.add(name.removesuffix("Role") + "Function")
    allowed = {
        n for n, function in resources("AWS::Lambda::Function").items() if function.get("RecursiveLoop") == "Allow"
    }
    assert looping == allowed == {"UnpackZipFunction", "BuildArchiveFunction"}


def test_what_a_rule_cannot_deliver_lies_with_the_dead_letters_of_its_target() -> None:
    dead = {"IngestQueue": "IngestDeadLetterQueue", "AnnouncedQueue": "DeadAnnouncedQueue"}
    rules, seen = resources("AWS::Events::Rule"), {}
    for rule in rules.values():
        for target in rule["Targets"]:
            seen[target["Arn"]["Fn::GetAtt"][0]] = target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0]
            assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}
    assert seen == dead
    # AND the rule may send there
    for queue in [*dead, *dead.values()]:
        (policy,) = [p for p in resources("AWS::SQS::QueuePolicy").values() if {"Ref": queue} in p["Queues"]]
        (statement,) = policy["PolicyDocument"]["Statement"]
        assert {"Fn::GetAtt": [queue, "Arn"]} in statement["Resource"]
        assert statement["Condition"]["ArnEquals"]["aws:SourceArn"]["Fn::GetAtt"][0] in rules


def test_tables_with_indexes_are_made_one_after_the_other() -> None:
    indexed = {n for n, table in resources("AWS::DynamoDB::Table").items() if "GlobalSecondaryIndexes" in table}
    after = {name: transformed()["Resources"][name].get("DependsOn") for name in indexed}
    waiting = {
        str(name) for depends in after.values() for name in (depends if isinstance(depends, list) else [depends])
    }
    assert len(indexed) >= 2
    assert len([name for name in after if after[name] is None]) == 1
    assert len(indexed & waiting) == len(indexed) - 1


def test_a_runtime_whose_glibc_is_too_old_for_the_layers_is_refused_on_aws() -> None:
    rule = transformed()["Rules"]["RuntimeOfAmazonLinux2023"]
    assert rule["RuleCondition"] == {"Fn::Equals": [{"Ref": "LocalMode"}, "false"]}
    assert rule["Assertions"][0]["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "PythonRuntime"}, "python3.11"]}]}
    # The layers' wheels are the reason; with others the rule may go.
    for makefile in (ROOT / "layers").glob("*/Makefile"):
        assert "manylinux_2_28" in makefile.read_text()


@pytest.mark.parametrize(
    ("parameters", "refused"),
    [
        ({}, set()),
        ({"WorklistFiles": "s3://files/worklist", "WorklistFilesBucket": "files"}, set()),
        ({"WorklistFiles": "s3://files/worklist"}, {"WorklistFilesNeedABucket"}),
        ({"WorklistFilesBucket": "files"}, {"WorklistFilesNeedABucket"}),
        # The local stack writes into a folder.
        ({"WorklistFiles": "/var/worklist", "LocalMode": "true"}, set()),
        ({"DomainName": "dicom.example.org"}, {"DomainNeedsACertificate"}),
        ({"DomainName": "dicom.example.org", "CertificateArn": "arn:aws:acm:r:1:certificate/1"}, set()),
        ({"PythonRuntime": "python3.11"}, {"RuntimeOfAmazonLinux2023"}),
    ],
)
def test_parameters_that_cannot_work_are_refused_before_anything_is_made(
    parameters: dict[str, str], refused: set[str]
) -> None:
    """No function of AWS has a folder to write worklist files into, and none may write into a bucket not named."""
    assert refusing(parameters) == refused


def test_a_dead_letter_is_kept_for_days_after_its_last_try() -> None:
    """A queue keeps the first date of a message that it takes over: ten days of tries leave four to react."""
    queues = resources("AWS::SQS::Queue")
    dead = {
        queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]: queue
        for queue in queues.values()
        if "RedrivePolicy" in queue
    }
    assert len(dead) >= 7
    for name, source in dead.items():
        longest = source["RedrivePolicy"]["maxReceiveCount"] * source["VisibilityTimeout"]
        # A message that expires before its last try becomes no dead letter, and rings nowhere.
        assert longest < source["MessageRetentionPeriod"], name
        assert queues[name]["MessageRetentionPeriod"] - longest >= THREE_DAYS, name
    # AND what streams and rules give up, which come with a date of their own
    given_up = {
        mapping["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0]
        for mapping in resources("AWS::Lambda::EventSourceMapping").values()
        if "DestinationConfig" in mapping
    }
    assert len(given_up) >= 3
    assert {queues[name]["MessageRetentionPeriod"] for name in given_up | dead.keys()} == {1_209_600}


def test_a_new_account_is_told_what_concurrency_it_needs_and_an_alarm_tells_of_a_lack() -> None:
    """A new account may have ten executions at once, and must have a hundred left that no function reserves."""
    # GIVEN what the queues may take in all, at the defaults
    parameters, most = transformed()["Parameters"], 0
    for mapping in resources("AWS::Lambda::EventSourceMapping").values():
        limit: Any = mapping.get("ScalingConfig", {}).get("MaximumConcurrency", 0)
        limit = limit["Fn::If"][1] if isinstance(limit, dict) else limit
        most += parameters[limit["Ref"]]["Default"] if isinstance(limit, dict) else limit
    assert most > 50
    # THEN the guide says so, no function asks for a share, and refusals of any function ring
    assert f"the queues up to {most} in all" in " ".join((ROOT / "docs/deploying.md").read_text().split())
    reserving = ("ReservedConcurrentExecutions", "ProvisionedConcurrencyConfig")
    for kind in ("AWS::Lambda::Function", "AWS::Lambda::Alias"):
        assert not [name for name, properties in resources(kind).items() if properties.keys() & set(reserving)]
    alarm = resources("AWS::CloudWatch::Alarm")["ThrottlesAlarm"]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Threshold"]) == ("AWS/Lambda", "Throttles", 0)
    assert alarm["Dimensions"] == {"Ref": "AWS::NoValue"}


def test_layers_for_another_runtime_are_not_taken_from_the_cache() -> None:
    """LAYER_PYTHON is no input that `sam build` knows: its cache gave the layers of the build before."""
    assert not re.search(r"^cached *= *true", (ROOT / "samconfig.toml").read_text(), re.M)


def test_there_is_one_stage_and_it_is_regional() -> None:
    assert list(resources("AWS::ApiGateway::Stage")) == ["ApiStage"]
    deployments: Any = resources("AWS::ApiGateway::Deployment").values()
    assert not [deployment for deployment in deployments if "StageName" in deployment]
    (api,) = resources("AWS::ApiGateway::RestApi").values()
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}


def test_what_holds_data_or_keys_stays_but_after_a_first_deployment_that_failed() -> None:
    policies: dict[str, set[str]] = {"Delete": set(), "Retain": set(), "RetainExceptOnCreate": set()}
    kinds = ("AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SecretsManager::Secret")
    for name, resource in transformed()["Resources"].items():
        if resource["Type"] in kinds:
            policies[resource.get("DeletionPolicy", "Delete")].add(name)
    assert not policies["Retain"]
    # Codes must not be restored; these secrets are put in by hand, or asked for again.
    assert policies["Delete"] == {
        *("OtpsTable", "AccessTokensTable", "OtpSubjectsTable"),
        *("ServiceKeysSecret", "PacsSecret", "CallbackSecret"),
    }


def test_every_route_without_a_credential_is_throttled_and_no_other() -> None:
    """Without it each takes the account's whole 10,000 requests a second, from whoever sends them."""
    paths: Any = resources("AWS::ApiGateway::RestApi")["Api"]["Body"]["paths"]
    without_credential = {
        (method.upper(), path)
        for path, methods in paths.items()
        for method, operation in methods.items()
        if operation.get("security") == [{"NONE": []}]
    }
    (stage,) = resources("AWS::ApiGateway::Stage").values()
    limited = {(s["HttpMethod"], s["ResourcePath"][1:].replace("~1", "/")) for s in stage["MethodSettings"]}
    assert ("POST", "/otps/redeem") in limited
    assert limited == without_credential
    for setting in stage["MethodSettings"]:
        assert setting["ThrottlingRateLimit"] in ({"Ref": "OpenRoutesPerSecond"}, 200)


def test_a_name_of_ones_own_is_regional_and_takes_no_tls_before_1_2() -> None:
    (domain,) = resources("AWS::ApiGateway::DomainName").values()
    assert (domain["SecurityPolicy"], domain["EndpointConfiguration"]) == ("TLS_1_2", {"Types": ["REGIONAL"]})
    (mapping,) = resources("AWS::ApiGateway::BasePathMapping").values()
    assert mapping["Stage"] == {"Ref": "ApiStage"}
    assert "DomainNeedsACertificate" in transformed()["Rules"]
