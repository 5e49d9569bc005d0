# `make` without a target lists what there is. Needs Python 3.11 to 3.13 and nothing else.
PYTHON ?= python3
PORT ?= 8000
ARGS ?=
# Of `make chaos`. Set on the command line alone: bash itself has a SECONDS.
SECONDS := 180
SEED := 1

VENV := .venv/bin/python
DEVSTACK := $(VENV) -m devstack --with-parent
# What a production installation sets; `make lint` checks the settings as they are there.
PRODUCTION := DJANGO_SECRET_KEY=abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ-0123456789 \
	DJANGO_DEBUG=false DJANGO_ALLOWED_HOSTS=payouts.example.com PAYOUTS_BEHIND_HTTPS=true \
	PAYOUTS_STATE_DIR=/nonexistent POSTGRES_HOST=localhost CELERY_BROKER_URL=redis://localhost:6379/0

.DEFAULT_GOAL := help
.PHONY: help run demo test test-chaos chaos mutations lint format schema states bench bench-attacks bench-cards bench-engine bench-held bench-purge bench-reports compose-check setup setup-test setup-lint setup-bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup ## start the platform on this machine [PORT=8000] [REPLICA=1], until Ctrl-C
	@$(DEVSTACK) run --port $(PORT) $(if $(REPLICA),--replica)

demo: setup ## play the main job from end to end in a temporary place
	@$(DEVSTACK) demo

# The suite starts many processes, and pytest rewrites thousands of assertions: what is compiled is kept, for all of them.
test test-chaos: export PYTHONDONTWRITEBYTECODE =

test: setup-test ## run the tests beside throw-away PostgreSQL and Redis [ARGS="-k name", or "-n 0" for one process]
	@$(DEVSTACK) exec -- $(VENV) -m pytest -n auto $(ARGS)

test-chaos: setup-test ## break running stacks and see that nothing is lost [ARGS="-k name"]
	@$(DEVSTACK) exec -- $(VENV) -m pytest tests/chaos -n auto $(ARGS)

chaos: setup ## break everything for a while, and count what is lost or paid twice [SECONDS=180] [SEED=1]
	@$(VENV) -m tests.storm --with-parent --seconds $(SECONDS) --seed $(SEED)

mutations: setup-test ## change the engine for the worse in many ways, and see that tests or a storm notice [ARGS="--only WORDS"]
	@$(DEVSTACK) exec -- $(VENV) -m tests.mutations $(ARGS)

lint: setup-lint compose-check ## check style, types, layers, migrations, settings and schema
	$(VENV) -m ruff check .
	$(VENV) -m ruff format --check .
	$(PRODUCTION) $(VENV) -m mypy .
	.venv/bin/lint-imports
	$(VENV) -m devstack.setup.locked --check
	@$(DEVSTACK) exec -- $(VENV) manage.py makemigrations --check --dry-run
	$(PRODUCTION) $(VENV) manage.py check --deploy --fail-level WARNING
	$(PRODUCTION) $(VENV) manage.py spectacular --validate --fail-on-warn --file /dev/null

format: setup-lint ## format the code and mend what can be mended by itself
	$(VENV) -m ruff check --fix .
	$(VENV) -m ruff format .

schema: setup ## write docs/openapi.yaml
	$(PRODUCTION) $(VENV) manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

states: setup ## draw the table of statuses into docs/states.md
	$(PRODUCTION) $(VENV) manage.py draw_states

bench: setup-bench ## measure requests beside bare REST framework and do-it-yourself [QUICK=1] [ARGS=...]
	@$(DEVSTACK) exec -- $(VENV) -m bench $(if $(QUICK),--quick) $(ARGS)

bench-engine: setup ## measure payouts a second beside a worker of one's own making [ARGS="--payouts 5000"]
	@$(DEVSTACK) exec -- $(VENV) -m bench.engine $(ARGS)

bench-held: setup ## measure what held payouts cost the others [ARGS="--held N --explain"]
	@$(DEVSTACK) exec -- $(VENV) -m bench.held $(ARGS)

bench-purge: setup ## measure the purge of old answers on a large table [ARGS="--records N"]
	@$(DEVSTACK) exec -- $(VENV) -m bench.purge $(ARGS)

bench-attacks: setup ## measure what one client can do to the others [ARGS="--seconds 10 --only downloads"]
	@$(DEVSTACK) exec -- $(VENV) -m bench.attacks $(ARGS)

bench-reports: setup ## measure lists, sums and exports on millions of payouts [ARGS="--payouts N --results FILE"]
	@$(DEVSTACK) exec -- $(VENV) -m bench.reports $(ARGS)

bench-cards: setup ## count the account numbers that are taken for a card's [ARGS="--results FILE"]
	@$(VENV) -m bench.card_numbers $(ARGS)

compose-check: setup-lint ## check Dockerfile and docker-compose.yml without a Docker engine
	.venv/bin/hadolint deploy/Dockerfile
	.venv/bin/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

setup: ## create .venv with the locked packages [PYTHON=python3]
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed: install Python 3.11 to 3.13, or name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m devstack.setup.install main devstack

setup-test: setup
	@$(PYTHON) -m devstack.setup.install main devstack test

setup-lint: setup
	@$(PYTHON) -m devstack.setup.install main devstack test lint

setup-bench: setup
	@$(PYTHON) -m devstack.setup.install main devstack bench

clean: ## remove caches and built files (keeps .venv and the data in .local)
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov staticfiles
