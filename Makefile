# `make up` and `make test` need only Python 3.11 or later. They install everything into .venv.
PYTHON ?= python3
BIN := .venv/bin
# Ctrl-C would print a traceback while Python starts. twit.local unblocks the signal. macOS's env can't
# block it.
HOLD_SIGINT = $$(env --block-signal=INT echo env --block-signal=INT 2>/dev/null)
# Without a network pip prints a page for each attempt.
define install
@$(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 2 -c constraints.txt \
  -e '$(1)' 2> .venv/pip.log || { \
  if grep -q 'connection broken by' .venv/pip.log; \
  then echo "This machine is offline: pip can't reach its package index. See .venv/pip.log."; \
  else cat .venv/pip.log; fi >&2; exit 1; }
endef
# What is wrong if .venv exists, but make does not see .venv/bin/python.
define check_rest_of_venv
@for folder in .venv .venv/bin; do \
  if [ -d $$folder ] && ! { [ -r $$folder ] && [ -w $$folder ] && [ -x $$folder ]; }; then \
    owner=$$(ls -ld $$folder | awk '{print $$3}'); \
    echo "$$folder belongs to $$owner, and this account may not use it: remove .venv as $$owner." >&2; \
    exit 1; fi; done
@if [ -L $(BIN)/python ]; then \
  python=$$(sed -n 's/^executable = //p' .venv/pyvenv.cfg); \
  echo ".venv was made with $$python, which is gone or which this account may not run:" \
    "\`make clean\` removes .venv." >&2; \
  exit 1; fi
endef

.PHONY: up test slow faults bench check format proto schema constraints clean

up: .venv/local.stamp  ## run all parts on this machine until Ctrl-C
	@exec $(HOLD_SIGINT) $(BIN)/python -m twit.local

test: .venv/dev.stamp  ## run all tests except the slow ones and the faults
	@exec $(BIN)/python -m pytest -n auto --dist worksteal -m 'not slow' --ignore tests/faults

slow: .venv/dev.stamp  ## run the slow tests: models, random histories, the schema, `make up`, benchmarks
	@exec $(BIN)/python -m pytest -n auto --dist worksteal -m slow --ignore tests/faults

faults: .venv/dev.stamp  ## kill, freeze and fill real processes, and print what each fault costs (70 minutes)
	@TWIT_STORMS=$${TWIT_STORMS:-10} exec $(BIN)/python -m pytest tests/faults

bench: .venv/bench.stamp  ## measure speed and memory, compared with other projects (14 minutes, 4 GB)
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
	$(check_rest_of_venv)
	@echo "Making .venv and installing the pinned packages ..."
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || \
	  { echo "Python's venv module is missing (on Debian: apt install python3-venv)."; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/local.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(call install,.[local])
	@touch $@

.venv/dev.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(call install,.[dev])
	@touch .venv/local.stamp $@

.venv/bench.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(call install,.[bench])
	@touch .venv/local.stamp $@
