# The commands of this repository. `make up` and `make test` need nothing done before.
export SAM_CLI_TELEMETRY = 0
# Dozens of processes import the same packages: each is to be compiled once, whatever the shell says.
export PYTHONDONTWRITEBYTECODE =
export PATH := $(CURDIR)/.venv/bin:$(PATH):$(CURDIR)/local/.state/tools/bin

EXPORT = uv export --quiet --frozen --no-emit-workspace --no-header --no-annotate --package
# What a lower layer carries is left out of the upper one.
REQUIREMENTS_dicomweb = $(EXPORT) dicomweb
REQUIREMENTS_service = $(EXPORT) dicom-service --prune requests --prune urllib3
REQUIREMENTS_imaging = $(EXPORT) imaging --prune pydicom

.PHONY: help browser demo desk up down reset events bootstrap test bench check conformance cost gate oldest smoke licences lint lock lock-check sbom soak

help: ## show this
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: bootstrap ## start the service here, in front of Orthanc or PACS_URL
	@python -m local up

demo: ## fill the service here with sample exams and a worklist, and print a link to one of them
	@test -f local/.state/env || { echo "Nothing is up here: make up"; exit 1; }
	@set -a; . local/.state/env; set +a; python -m scripts.demo
	@python -m local desk

desk: ## print another link that signs in to the desk here, once
	@python -m local desk

down: ## stop it; what is stored stays
	@python -m local down

reset: ## stop it and forget what is stored
	@python -m local reset

events: ## show every notification as it comes
	@python -m local.events

bootstrap:
	@./local/bootstrap.sh

# Tests and benchmarks start PACS of their own, whatever PACS_URL says.
test soak bench: export PACS_URL =

test: bootstrap browser check ## all checks and all tests
	@# three processes with a stack each (tests/support/spread.py), one for what needs none
	@# what each role called, on all stacks of this run, against what it may call
	rm -rf build/aws-calls
	RECORD_AWS_CALLS=$(CURDIR)/build/aws-calls pytest -n 4
	python -m tests.iam_calls build/aws-calls

browser: # the pages are tried in a real one
	@test -x "$${CHROMIUM:-/usr/bin/chromium}" || ./local/packages.sh chromium fonts-dejavu-core

bench: bootstrap ## what the service costs, against what it stands in front of; BENCH="otp lists" for some parts
	python -m benchmarks $(BENCH)

soak: bootstrap ## the attacks and faults at their full counts; takes long
	SOAK=1 pytest -s tests/unit/uploads/test_crashes.py tests/integration/uploads tests/integration/pacs tests/integration/test_hostile.py tests/e2e

# The lower bound in layers/service/pyproject.toml.
OLDEST_BOTO3 = 1.40.0
WITHOUT_AWS = $(addprefix tests/unit/, $(addsuffix /, __pycache__ dicomweb imaging local pages))

oldest: bootstrap ## the unit tests of what speaks to AWS, on the oldest boto3 that is supported
	@UV_PROJECT_ENVIRONMENT="$(CURDIR)/local/.state/oldest-env" uv sync --quiet --frozen --all-groups --python "$(CURDIR)/.venv/bin/python"
	@uv pip install --quiet --python local/.state/oldest-env/bin/python boto3==$(OLDEST_BOTO3) botocore==$(OLDEST_BOTO3)
	local/.state/oldest-env/bin/python -m pytest -q $(filter-out $(WITHOUT_AWS), $(wildcard tests/unit/*/))

smoke: bootstrap ## fifteen checks of a deployed stack, with a report to paste; STACK=name API_URL=… SERVICE_KEY=…
	@python -m scripts.smoke --stack $(or $(STACK),dicom-service) $(if $(CUSTOM_URL),--custom-url $(CUSTOM_URL)) $(if $(WEBHOOK_URL),--webhook-url $(WEBHOOK_URL)) $(if $(ALARM),--alarm)

cost: bootstrap ## what a million exams cost on AWS: counted requests times the prices in benchmarks/cost
	@python -m benchmarks.cost

conformance: bootstrap ## what works with the PACS at PACS_URL (docs/pacs.md); reads only, unless STORE=1
	@python -m tests.conformance $(if $(STORE),--store) $(if $(STUDY),--study $(STUDY))

check: lint lock-check licences gate ## all checks that run nothing

gate: ## the transformed template against cfn-lint and checkov, with a reason for each finding that stays
	@UV_PROJECT_ENVIRONMENT="$(CURDIR)/local/.state/checkov-env" uv sync --quiet --frozen --project local/checkov --python "$(CURDIR)/.venv/bin/python"
	python -m tests.template_gate

lint:
	ruff check .
	ruff format --check .
	mypy
	AWS_DEFAULT_REGION=us-east-1 sam validate --lint

lock: ## resolve the dependencies anew after a change of a pyproject.toml
	uv lock
	uv lock --project local/ministack
	uv lock --project local/tinypacs
	uv lock --project local/checkov
	uv lock --project local/awscli
	$(REQUIREMENTS_dicomweb) > layers/dicomweb/requirements.txt
	$(REQUIREMENTS_service) > layers/service/requirements.txt
	$(REQUIREMENTS_imaging) > layers/imaging/requirements.txt
	uv sync --quiet --frozen --all-groups
	python -m release.licences

lock-check:
	uv lock --check --quiet
	uv lock --check --quiet --project local/ministack
	uv lock --check --quiet --project local/tinypacs
	uv lock --check --quiet --project local/checkov
	uv lock --check --quiet --project local/awscli
	$(REQUIREMENTS_dicomweb) | diff layers/dicomweb/requirements.txt -
	$(REQUIREMENTS_service) | diff layers/service/requirements.txt -
	$(REQUIREMENTS_imaging) | diff layers/imaging/requirements.txt -

licences:
	python -m release.licences --check

sbom: bootstrap ## build/sbom.cdx.json: what the layers ship, with versions, hashes and licences (CycloneDX)
	python -m release.sbom build/sbom.cdx.json
