"""`make gate`: the template as CloudFormation sees it, against cfn-lint and checkov, without an account."""
