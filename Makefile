# make demo    train 50 steps, edit the sample faces, evaluate the shipped editor
# make test    linter, type checker, all tests
# make lint    linter and type checker
# make page    edit faces with the mouse, in a browser (installs gradio on first use)
# make browser write an editor that runs in a browser without a server to output/browser (needs npm once)
# make study   compare all methods (hours; continues where it was stopped)
# make clean   delete output/ and cache/; runs/ and downloaded weights stay
# Options of the page: make page PAGE="--checkpoint runs/mine --no-browser"
# Each sets up .venv on first use. Another interpreter: make demo PYTHON=python3.12
PYTHON ?= python3

ifeq ($(OS),Windows_NT)
VENV_PYTHON := .venv/Scripts/python.exe
else
VENV_PYTHON := .venv/bin/python
endif

ONNXRUNTIME_WEB := onnxruntime-web@1.30.0

.PHONY: demo test page browser onnxruntime-web study lint setup help clean

demo: setup
	@$(VENV_PYTHON) scripts/demo.py

test: lint
	@$(VENV_PYTHON) -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile

page:
	@$(PYTHON) scripts/set_up.py --with page
	@$(VENV_PYTHON) scripts/page.py $(PAGE)

browser: onnxruntime-web
	@$(PYTHON) scripts/set_up.py --with export
	@$(VENV_PYTHON) scripts/export_onnx.py -o output/browser --browser pretrained/avatars/samples
	@cp -r output/onnxruntime-web output/browser/
	@echo "any file server will do: $(VENV_PYTHON) -m http.server --bind 127.0.0.1 --directory output/browser"

onnxruntime-web: output/onnxruntime-web/ort-wasm-simd-threaded.wasm

output/onnxruntime-web/ort-wasm-simd-threaded.wasm:
	@mkdir -p $(@D)
	@cd $(@D) && tar -xzmf "$$(npm pack --silent $(ONNXRUNTIME_WEB))" --strip-components=2 \
		package/dist/ort.wasm.bundle.min.mjs package/dist/ort-wasm-simd-threaded.wasm && rm -f *.tgz

study: setup
	@$(VENV_PYTHON) scripts/study_avatars.py

lint: setup
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m mypy

setup:
	@$(PYTHON) scripts/set_up.py

help:
	@sed -n 's/^# //p' Makefile

clean:
	rm -rf output cache
