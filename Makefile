# make run     the whole lab: environment, then every stage of params/lab (about twelve minutes on 2 cores)
# make smoke   the same, tiny (about two minutes; its figures mean nothing)
# make test    the tests, with every notebook on params/smoke
# make ui      the runs in MLflow, http://127.0.0.1:5000/#/experiments/1/runs
# make lab     the notebooks in JupyterLab
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
STORE := $(or $(MLFLOW_TRACKING_URI),sqlite:///$(CURDIR)/mlruns/mlflow.db)
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: run smoke test ui lab
.DEFAULT_GOAL := run

run: $(STAMP)
	$(BIN)/python -m lib.pipeline params/lab

smoke: $(STAMP)
	$(BIN)/python -m lib.pipeline params/smoke

# Two files of tests at a time, each with one thread: threads of two processes that share two cores wait for each other.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

ui: $(STAMP)
	$(BIN)/python -c "from lib.tracking import open_store; open_store()"
	@echo "The runs: http://127.0.0.1:5000/#/experiments/1/runs (the start page shows traces of chats, of which there are none)"
	$(BIN)/mlflow ui --backend-store-uri "$(STORE)" --host 127.0.0.1 --port 5000

lab: $(STAMP)
	$(BIN)/jupyter lab

# Made again when the requirements change; uv, where it is installed, takes seconds instead of minutes.
$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	if command -v uv > /dev/null; then \
		uv pip install --python $(BIN)/python -r requirements.txt && uv pip install --python $(BIN)/python --no-deps -e . ; \
	else \
		$(BIN)/python -m pip install -r requirements.txt && $(BIN)/python -m pip install --no-deps -e . ; \
	fi
	touch $(STAMP)
