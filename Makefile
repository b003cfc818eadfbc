# `make up` and `make test` need only Python 3.11 or later. They install everything into .venv.
PYTHON ?= python3
BIN := .venv/bin
# Ctrl-C would print a traceback while Python starts. twit.local unblocks it. macOS's env can't.
HOLD_SIGINT = $$(env --block-signal=INT echo env --block-signal=INT 2>/dev/null)
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e

.PHONY: up test faults bench check format proto schema constraints clean

up: .venv/local.stamp  ## run all parts on this machine until Ctrl-C
	@exec $(HOLD_SIGINT) $(BIN)/python -m twit.local

test: .venv/dev.stamp  ## run all tests except the faults
	@exec $(BIN)/python -m pytest -n auto --ignore tests/faults

faults: .venv/dev.stamp  ## kill, freeze and fill real processes, and print what each fault costs (35 minutes)
	@TWIT_STORMS=$${TWIT_STORMS:-10} exec $(BIN)/python -m pytest tests/faults

bench: .venv/bench.stamp  ## measure speed and memory, compared with other projects (8 minutes, 4 GB)
	@exec $(BIN)/python -m benchmarks --save

check: .venv/dev.stamp  ## check style, types, import contracts, migrations and generated code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check
	@$(MAKE) --no-print-directory proto schema
	git diff --exit-code -- timelines/lists/tweet_lite_pb2.py timelines/lists/tweet_lite_pb2.pyi openapi.yml

format: .venv/dev.stamp  ## reformat the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

proto: .venv/dev.stamp  ## generate timelines/lists/tweet_lite_pb2.py from proto/
	$(BIN)/python -m grpc_tools.protoc -I proto --python_out timelines/lists --pyi_out timelines/lists proto/tweet_lite.proto

schema: .venv/dev.stamp  ## generate openapi.yml from the code
	TWIT_OPEN_API=off $(BIN)/python manage.py spectacular --file openapi.yml --validate --fail-on-warn

constraints:  ## pin the newest versions that pyproject.toml allows (needs uv)
	uv pip compile --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links --all-extras --upgrade pyproject.toml -o constraints.txt

clean:  ## remove the environment; data in .twit/ stays
	rm -rf .venv

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Twit needs Python 3.11 or later; PYTHON=/path/to/python3.11 make ... picks one."; exit 1; }
	@echo "Making .venv and installing the pinned packages ..."
	@$(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "Python's venv module is missing (on Debian: apt install python3-venv)."; exit 1; }

.venv/local.stamp: pyproject.toml constraints.txt | .venv/bin/python
	@$(INSTALL) '.[local]'
	@touch $@

.venv/dev.stamp: pyproject.toml constraints.txt | .venv/bin/python
	@$(INSTALL) '.[dev]'
	@touch .venv/local.stamp $@

.venv/bench.stamp: pyproject.toml constraints.txt | .venv/bin/python
	@$(INSTALL) '.[bench]'
	@touch .venv/local.stamp $@
