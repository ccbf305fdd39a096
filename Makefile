# make quickstart: from nothing to a trained few-shot classifier in a few minutes.
# make test: everything the tests need, and all of them.

PYTHON ?= python3
BIN := .venv/bin
SOURCES := supervised_reptile tests benchmarks setup.py run_omniglot.py run_miniimagenet.py

.PHONY: install quickstart test lint

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

test: .venv/installed-test
	$(BIN)/python -m pytest

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
