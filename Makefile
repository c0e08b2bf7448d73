.PHONY: up down reset
up: ## start Orthanc and MiniStack, build, deploy, print how to use it
	@./local/bootstrap.sh && .venv/bin/python -m local up

down: ## stop both; what is stored stays
	@.venv/bin/python -m local down

reset: ## stop both and forget what is stored
	@.venv/bin/python -m local reset
