"""The roles of the transformed template: each function has its own, and what it may do is what it names."""

from collections.abc import Iterator
from typing import Any

from tests.support.transformed import resources

# Logs and traces; every other managed policy gives rights on whatever the account has.
MANAGED = {"service-role/AWSLambdaBasicExecutionRole", "AWSXrayWriteOnlyAccess"}
# Actions that AWS gives for no single resource, each with why it is there.
ANYWHERE = {
    # network interfaces of functions in VpcSubnetIds
    *("ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"),
    *("ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"),
}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(properties: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the statements of a role, those too that a condition may leave out."""
    for policy in properties.get("Policies", []):
        for statement in listed(policy["PolicyDocument"]["Statement"]):
            branches = statement.get("Fn::If", ["", statement])[1:]
            yield from (branch for branch in branches if "Action" in branch)


def roles_of_functions() -> dict[str, str]:
    functions = resources("AWS::Lambda::Function").items()
    return {name: properties["Role"]["Fn::GetAtt"][0] for name, properties in functions}


def test_each_function_has_a_role_of_its_own() -> None:
    owners = roles_of_functions()
    assert len(owners) > 30
    assert owners == {name: name.removesuffix("Function") + "Role" for name in owners}


def test_no_role_has_a_managed_policy_but_logs_and_traces() -> None:
    """SAM adds AWSLambdaSQSQueueExecutionRole by itself: receive and delete from every queue of the account."""
    roles = resources("AWS::IAM::Role")
    assert roles.keys() >= set(roles_of_functions().values())
    for name, properties in roles.items():
        given = {str(arn).split(":policy/")[1].rstrip("'}") for arn in properties.get("ManagedPolicyArns", [])}
        assert not given - MANAGED, name


def test_a_statement_names_its_resources_but_for_actions_that_take_none() -> None:
    for name, properties in resources("AWS::IAM::Role").items():
        for statement in statements(properties):
            assert statement["Effect"] == "Allow", name
            assert not [action for action in listed(statement["Action"]) if action.endswith(":*")], (name, statement)
            if "*" in listed(statement["Resource"]):
                assert set(listed(statement["Action"])) <= ANYWHERE, (name, statement)


def test_what_reads_a_queue_or_a_stream_may_read_that_one_alone() -> None:
    reads = {"sqs:ReceiveMessage", "dynamodb:GetRecords"}
    sources: dict[str, set[str]] = {}
    for properties in resources("AWS::Lambda::EventSourceMapping").values():
        sources.setdefault(properties["FunctionName"]["Ref"], set()).add(str(properties["EventSourceArn"]))
    assert len(sources) >= 6
    for function, role in roles_of_functions().items():
        read = {
            str(resource)
            for statement in statements(resources("AWS::IAM::Role")[role])
            if reads & set(listed(statement["Action"]))
            for resource in listed(statement["Resource"])
        }
        assert read == sources.get(function, set()), function


def test_who_puts_a_dropped_file_aside_may_take_its_tags_along() -> None:
    """S3 refuses to copy an object with tags to whoever may not read and write tags, whatever becomes of them."""
    copying = 0
    for name, role in resources("AWS::IAM::Role").items():
        rights = {
            (action, str(resource))
            for statement in statements(role)
            for action in listed(statement["Action"])
            for resource in listed(statement["Resource"])
        }
        dropped, aside = (str({"Fn::Sub": f"${{StagingBucket.Arn}}/{folder}/*"}) for folder in ("drop", "quarantine"))
        if {("s3:GetObject", dropped), ("s3:PutObject", aside)} <= rights:
            copying += 1
            assert rights >= {
                ("s3:GetObjectTagging", dropped),
                ("s3:GetObjectVersionTagging", dropped),
                ("s3:PutObjectTagging", aside),
            }, name
    assert copying >= 2


def test_worklist_files_go_into_the_bucket_that_is_named_and_into_no_other() -> None:
    own, named = "${CacheBucket.Arn}/worklist/*", "arn:${AWS::Partition}:s3:::${WorklistFilesBucket}/*"
    writing = [
        s for s in statements(resources("AWS::IAM::Role")["WriteWorklistFileRole"]) if "s3:PutObject" in s["Action"]
    ]
    assert [s["Resource"] for s in writing] == [
        {"Fn::If": ["WorklistFilesInBucket", {"Fn::Sub": named}, {"Fn::Sub": own}]}
    ]
    others = [name for name, role in resources("AWS::IAM::Role").items() if "WorklistFilesBucket" in str(role)]
    assert others == ["WriteWorklistFileRole"]


def test_health_imaging_is_open_to_the_functions_that_ask_the_pacs_and_to_no_other() -> None:
    policy = resources("AWS::IAM::Policy")["HealthImagingPolicy"]
    functions = resources("AWS::Lambda::Function").items()
    asking = {
        n.removesuffix("Function") for n, f in functions if "PACS_URL" in f.get("Environment", {}).get("Variables", {})
    }
    given = {role["Ref"].removesuffix("Role") for role in policy["Roles"]}
    # A PACS with a worklist of its own is none: HealthImaging has no such service.
    assert given == asking - {"RecoverWorkitems"}
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert all(action.startswith("medical-imaging:") and "*" not in action for action in statement["Action"])
    assert statement["Resource"][0] == {"Ref": "PacsDatastoreArn"}


def test_a_key_of_ones_own_encrypts_all_that_is_kept_and_opens_to_whoever_uses_it() -> None:
    own = {"Fn::If": ["HasKmsKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]}
    for name, table in resources("AWS::DynamoDB::Table").items():
        assert table["SSESpecification"]["KMSMasterKeyId"] == own, name
    for name, bucket in resources("AWS::S3::Bucket").items():
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] == own, name
    for kind, key in (
        ("AWS::SQS::Queue", "KmsMasterKeyId"),
        ("AWS::SecretsManager::Secret", "KmsKeyId"),
        ("AWS::Logs::LogGroup", "KmsKeyId"),
    ):
        assert {name for name, resource in resources(kind).items() if resource.get(key) != own} == set(), kind
    policy = resources("AWS::IAM::Policy")["CustomerKeyPolicy"]
    kept = {"dynamodb", "s3", "sqs", "secretsmanager"}
    using = {
        name
        for name in roles_of_functions().values()
        for statement in statements(resources("AWS::IAM::Role")[name])
        if kept & {action.split(":")[0] for action in listed(statement["Action"])}
    }
    assert {(role["Fn::If"][1] if "Fn::If" in role else role)["Ref"] for role in policy["Roles"]} == using
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Resource"] == {"Ref": "KmsKeyArn"}


def test_who_reads_the_secret_of_the_pacs_may_use_its_key() -> None:
    secret = {"Fn::If": ["CreatePacsSecret", {"Fn::GetAtt": ["PacsSecret", "Id"]}, {"Ref": "PacsSecretArn"}]}
    seen = 0
    for name, role in resources("AWS::IAM::Role").items():
        given = list(statements(role))
        if any(secret in listed(statement["Resource"]) for statement in given):
            seen += 1
            key = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": {"Ref": "PacsSecretKmsKeyArn"}}
            assert key in given, name
    assert seen > 25
