# make quickstart: from nothing to a trained few-shot classifier in a few minutes.
# make demo: the browser demo (needs Node); CHECKPOINT=runs/mine for weights of your own.
# make test: what the tests need, and the tests; test-all: with the oldest versions, too.
# make soak: kill the programs again and again, and continue them; run the benchmarks: long.
# make audit: known vulnerabilities of what is installed, where the network allows the question.

PYTHON ?= python3
BIN := .venv/bin
OLDEST := .venv-oldest
AUDIT := .venv-audit
# Test files at a time.
JOBS ?= 2
PYTEST := -m pytest --numprocesses $(JOBS) --dist loadfile

.PHONY: install quickstart demo test test-all soak lint audit

install: .venv/installed

.venv/installed: setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/pip install --quiet --editable '.[sweep,test]'
	touch $@

data/glyphs: | .venv/installed
	$(BIN)/reptile data glyphs --out $@

quickstart: .venv/installed data/glyphs
	$(BIN)/python run_omniglot.py --data-dir data/glyphs --checkpoint runs/quickstart --overwrite \
	    --shots 5 --train-shots 10 --inner-batch 10 --inner-iters 5 --learning-rate 0.001 \
	    --meta-step 1 --meta-step-final 0 --meta-batch 5 --meta-iters 2500 --eval-interval 10 \
	    --eval-batch 5 --eval-iters 50 --eval-samples 400 --transductive
	@echo
	@echo "The learning curve is runs/quickstart/learning_curve.png. Next, on the real Omniglot:"
	@echo "  ./fetch_data.sh omniglot"
	@echo "  $(BIN)/python run_omniglot.py --shots 5 --train-shots 10 --inner-batch 10 \\"
	@echo "      --inner-iters 5 --learning-rate 0.001 --meta-step 1 --meta-step-final 0 \\"
	@echo "      --meta-batch 5 --meta-iters 10000 --eval-batch 5 --eval-iters 50 --transductive \\"
	@echo "      --checkpoint runs/omniglot-5way"

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	@command -v npm >/dev/null || { echo "The browser demo is built with Node.js 20.19+ or 22.12+" \
	    "(https://nodejs.org), which is not here: install it first." >&2; exit 1; }
	cd web && npm ci

web/dist/index.html: web/node_modules/.package-lock.json web/index.html web/vite.config.ts \
    $(shell find web/src web/public -type f)
	cd web && npm run build

demo: .venv/installed web/dist/index.html
	$(BIN)/reptile demo $(if $(CHECKPOINT),--checkpoint $(CHECKPOINT))

test: .venv/installed-test
	$(BIN)/python $(PYTEST)

soak: .venv/installed-test
	$(BIN)/python -m pytest -m soak --numprocesses $(JOBS)

# The lower ends of setup.py's ranges, under any Python that they know.
$(OLDEST)/installed: setup.py tests/oldest.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 13))' || { echo "The oldest TensorFlow" \
	    "knows Python up to 3.12: make test-all PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/pip install --quiet --upgrade pip
	$(OLDEST)/bin/pip install --quiet --constraint tests/oldest.txt --editable '.[sweep,test]'
	touch $@

test-all: test $(OLDEST)/installed
	$(OLDEST)/bin/python $(PYTEST)

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

$(AUDIT)/installed:
	$(PYTHON) -m venv --clear $(AUDIT)
	$(AUDIT)/bin/pip install --quiet --upgrade pip
	$(AUDIT)/bin/pip install --quiet pip-audit
	touch $@

audit: .venv/installed-test $(AUDIT)/installed
	$(BIN)/python tools/audit.py --pip-audit $(AUDIT)/bin/pip-audit
