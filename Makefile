# Two commands do everything on a fresh machine with Python >= 3.11 and make:  make demo   make test

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
VENV := .venv
CONVERT := .venv-convert
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# Without compiled modules every process of the box and of the tests would compile the whole package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo quick quick-says test slow lint fuzz install install-hospital uninstall wheel wheels deb apt test-deb image test-image test-install test-appliance test-debian test-bare test-convert torture bench bench-models durability train catalogue clean

help:
	@echo "make demo          install into $(VENV), set up a box and a hospital, send images, show both sides (ONCE=1: then end)"
	@echo "make quick         ruff, mypy and the unit tests: a minute, before each commit"
	@echo "make test          everything that CI runs: ruff, mypy, pytest"
	@echo "make slow          the long series of kills and waits, of which make test runs one round each"
	@echo "make install       make this machine a box: programs, users, units, TLS front (root; WHEELS=DIR: without the internet)"
	@echo "make install-hospital  the same for the hospital's computer: receiver, page and broker as a user of their own (root; WHEELS=DIR: without the internet)"
	@echo "make uninstall     take the box away, but not its images and settings (root; KEEP=state, KEEP=config; PURGE=1: all; SURE=yes: do not ask)"
	@echo "make wheel         build the wheel, the same bytes from the same commit, and its bill of materials into dist"
	@echo "make wheels        fetch all that an installation without the internet needs, into build/wheels"
	@echo "make deb           the box and the hospital as Debian packages for this machine's kind, into build (ARCH=arm64: for ARM, into build/arm64)"
	@echo "make apt           these packages and all that they need as a signed repository, into build/apt (KEYS=DIR: whose)"
	@echo "make test-deb      install the packages on a Debian of its own, upgrade, remove and purge them; lintian; the repository (root)"
	@echo "make image         a disk image to flash onto a box, and the signed file that renews one, into build (root; KEYS=DIR: whose)"
	@echo "make test-image    the life of a box with that image in qemu: power cuts, sticks, renewals, bad versions, another machine, reset (about an hour)"
	@echo "make test-appliance  the appliance's longer tests: care, front and provisioning under a real systemd, 200 boxes (root)"
	@echo "make test-debian   all that CI runs, on a Debian of its own that never saw Lantern (root; RELEASE=trixie, bookworm)"
	@echo "make test-bare     make test on a Debian of its own with python3, its venv module and make alone: what needs a peer skips (root)"
	@echo "make test-install  install on a Debian of its own, without the internet, and take it away again (root)"
	@echo "make test-convert  the converters' tests (installs PyTorch and the quantizers into .venv-convert, about 3 GB)"
	@echo "make bench         measure everything, peers in the same run, and write docs/performance.md (QUICK=1: only try)"
	@echo "make bench-models  time the packs' model files beside PyTorch, and write docs/models-speed.md (QUICK=1: only try)"
	@echo "make fuzz          fuzz the header reader and the decode child for 30 minutes (MINUTES=5: shorter); 1 when something is found"
	@echo "make torture       an hour of power cuts, kills, full disks and wrong clocks; writes docs/torture.md (root; a shorter MINUTES=20 writes build/torture.md)"
	@echo "make durability    power cuts beside Orthanc and dcmtk, written to docs/durability.md (as root, about 20 minutes)"
	@echo "make train         train the shipped packs again into build/packs (about five hours on two cores; DATA=DIR: the images, ../shared/data)"
	@echo "make clean         remove what make made"

demo: $(VENV)/demo.stamp
	@$(BIN)/python -m demo $(if $(ONCE),--once)

# Every day: what finds most mistakes in a minute.  So that it stays one: numpy and
# OpenBLAS start no threads beside the two workers, and the tests' folders lie in memory where 1 GB of it is free
# (no unit test needs a disk; SQLite waits for one a thousand times).
MEMORY = $(shell df -k --output=avail /dev/shm 2> /dev/null | awk 'NR == 2 && $$1 > 1000000 {print "/dev/shm"}')
quick: export OMP_NUM_THREADS = 1
quick: export OPENBLAS_NUM_THREADS = 1
quick: export PYTEST_DEBUG_TEMPROOT = $(MEMORY)
quick: quick-says $(VENV)/dev.stamp lint
	$(BIN)/python -m pytest $(TOGETHER) -o tmp_path_retention_policy=failed -o tmp_path_retention_count=1 tests/unit

quick-says:
	@echo "ruff, mypy --strict and tests/unit, which starts no process: about a minute on two cores; all tests: make test"

# Two files at a time, but for those marked `alone` (pyproject.toml): they have the machine to themselves.
# A worker that dies ends its half with a message: one that replaces it leaves pytest-xdist's loadfile waiting for ever.
TOGETHER := -n 2 --dist loadfile --max-worker-restart 0
ORDINARY := not convert and not install and not appliance and not image and not slow
test: $(VENV)/dev.stamp lint
	@failed=0; set -x; \
	$(BIN)/python -m pytest $(TOGETHER) -m '$(ORDINARY) and not alone' || failed=1; \
	$(BIN)/python -m pytest -m '$(ORDINARY) and alone' || failed=1; exit $$failed

# The long series of kills and waits, of which `make test` runs one round each.
slow: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy

# On the system's own Python, which every user of the box may read; nothing has to be installed before.
SYSTEM_PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
INSTALLATION = $(SYSTEM_PYTHON) -m firmware_app.appliance.installation $(if $(DESTDIR),--destdir '$(DESTDIR)')
install install-hospital uninstall: export PYTHONDONTWRITEBYTECODE = 1

install install-hospital:
	@command -v $(firstword $(SYSTEM_PYTHON)) > /dev/null || test ! -e '$(WHEELS)/Packages' || sh systemd/packages.sh '$(WHEELS)' python3
	@$(SYSTEM_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Lantern needs Python 3.11 or later, as Debian 12, Debian 13 and Ubuntu 24.04 bring it: apt install python3 python3-venv"; exit 1; }
	@$(INSTALLATION) $@ $(if $(WHEELS),--wheels '$(WHEELS)')

uninstall:
	@$(INSTALLATION) uninstall $(if $(PURGE),--purge,$(if $(filter undefined,$(origin KEEP)),,--keep '$(KEEP)')) $(if $(filter yes,$(SURE)),--sure)

# From the same commit the same bytes: the times in the wheel and in its bill of materials are the commit's.
COMMITTED = $(shell git log -1 --format=%ct 2> /dev/null || echo 1580601600)
BUILD = $(BIN)/python -m build --wheel --no-isolation --outdir $(1) . > /dev/null
BILL = $(BIN)/python -m converters.publishing.distribution_sbom $(1) --extras $(BOX_EXTRAS)
wheel: export SOURCE_DATE_EPOCH = $(COMMITTED)
wheel: $(VENV)/dev.stamp
	@rm -rf dist
	@$(call BUILD,dist)
	@$(call BILL,dist)

# For the system, the Python and the processor of this machine; take them to one of the same kind.  The Debian packages
# come with all that they need (100 MB), as if nothing were installed there: what a machine has, apt leaves alone.
FROM_NOTHING = apt-get -q -y -o Debug::NoLocking=1 -o Dir::State::status="$$PWD/status" -o Dir::Cache::archives="$$PWD/" \
	-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User= --no-install-recommends --download-only $(FOREIGN)
# ARCH=arm64: for a board, on this machine. pip takes wheels of the named platforms only, and apt reads its lists anew.
# BOARD=jetson: for the Ubuntu 24.04 of Jetson Linux 38; its Debian packages are Ubuntu's (docs/jetson.md).
ARCH ?=
BOARD ?=
WHEELS_MADE = build/$(if $(ARCH),$(or $(BOARD),$(ARCH))/)wheels
ifeq ($(ARCH),arm64)
FOREIGN = -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::lists="$$PWD/lists/"
OF_KIND = --processor aarch64 $(if $(BOARD),--system 'ubuntu 24.04' --python 3.12)
OF_BOARD = $(if $(BOARD),--python-version 3.12) --only-binary :all: $(foreach glibc,17 26 27 28 31 34 35 36,--platform manylinux_2_$(glibc)_aarch64) --platform manylinux2014_aarch64
BOX_EXTRAS := tflite
else
BOX_EXTRAS := intel,tflite
endif
wheels: export SOURCE_DATE_EPOCH = $(COMMITTED)
wheels: | $(VENV)/bin/python
	@case '$(ARCH)-$(BOARD)' in -|arm64-|arm64-jetson) ;; *) \
		echo "ARCH=arm64, with BOARD=jetson or without; or neither: for this machine's own kind"; exit 1;; esac
	@rm -rf $(WHEELS_MADE) && mkdir -p $(WHEELS_MADE)/partial
	@test -n '$(BOARD)' || ! command -v apt-get > /dev/null || { cd $(WHEELS_MADE) && touch status && mkdir -p lists/partial && \
		{ test -z '$(ARCH)' || $(FROM_NOTHING) update > /dev/null; } && \
		$(FROM_NOTHING) install make python3 nginx avahi-daemon iproute2 ntfs-3g fonts-noto-cjk mosquitto > /dev/null && \
		for deb in *.deb; do dpkg-deb --field "$$deb" && printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' \
			"$$deb" "$$(stat -c %s "$$deb")" "$$(sha256sum < "$$deb" | cut -d ' ' -f 1)"; done > Packages; }
	@cd $(WHEELS_MADE) && rm -rf partial status lock lists
	@$(PIP) build hatchling
	@$(call BUILD,$(WHEELS_MADE))
	@$(BIN)/python -m pip download --quiet --disable-pip-version-check --constraint constraints.txt --dest $(WHEELS_MADE) \
		$(OF_BOARD) pip "$$(ls $(WHEELS_MADE)/lantern_box-*.whl)[$(BOX_EXTRAS)]"
	@$(BIN)/python -m systemd.build.made_for $(WHEELS_MADE) $(OF_KIND)
	@$(call BILL,$(WHEELS_MADE))
	@echo "$(WHEELS_MADE) holds everything; there: make install WHEELS=$(WHEELS_MADE)"

deb: export SOURCE_DATE_EPOCH = $(COMMITTED)
deb: wheels
	@rm -f $(dir $(WHEELS_MADE))lantern-box_*.deb $(dir $(WHEELS_MADE))lantern-hospital_*.deb
	@$(BIN)/python -m systemd.build.debian_package $(WHEELS_MADE) --out $(dir $(WHEELS_MADE))

# Debian's apt-utils and gnupg.  What `make deb` has made, also that for ARM where it is there.
apt: KEYS = build/apt-keys
apt: | $(VENV)/bin/python
	@ls build/lantern-*.deb > /dev/null || { echo "First: make deb"; exit 1; }
	@$(BIN)/python -m systemd.build.apt_repository build/lantern-*.deb $(wildcard build/arm64/lantern-*.deb) \
		--needed $(wildcard build/wheels/*.deb) $(wildcard build/arm64/wheels/*.deb) --out build/apt --keys $(KEYS)

# What exists to try one thing fails, and names the Debian package, where it cannot.
test-deb test-install test-image test-appliance test-debian torture durability: export LANTERN_REQUIRE_PEERS = 1
test-deb: $(VENV)/dev.stamp deb
	@$(MAKE) --no-print-directory apt
	$(BIN)/python -m pytest -m install tests/faults/test_deb.py

# mmdebstrap, qemu-system-x86, grub-pc-bin, grub-efi-amd64-bin and others: docs/decisions/flashable-image.md
KEYS ?= build/image-keys
image: export SOURCE_DATE_EPOCH = $(COMMITTED)
image: $(VENV)/dev.stamp deb
	@rm -f build/lantern-[0-9]*.img build/lantern-[0-9]*.img.gz build/lantern-[0-9]*.raucb
	@$(BIN)/python -m systemd.build.disk_image build/lantern-box_*.deb --keys $(KEYS)

test-image: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -s -m image tests/faults/test_image.py

test-install: $(VENV)/dev.stamp wheels
	$(BIN)/python -m pytest -m install tests/faults/test_install.py

test-appliance: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m 'appliance and not install'

# A root of its own, made by mmdebstrap and gone afterwards; it has what .ci/run installs, and this commit.
RELEASE ?= trixie
test-debian:
	@.ci/root $(RELEASE)

# The same without the peers: what needs one skips, and the rest is green.
test-bare:
	@PACKAGES=make,python3,python3-venv ROOT=build/root-bare-$(RELEASE) .ci/root $(RELEASE) make test

# Two files at a time, each on one thread: the toy networks are too small for two.
test-convert: export OMP_NUM_THREADS = 1
test-convert: $(CONVERT)/stamp
	$(CONVERT)/bin/python -m pytest -p no:anyio $(TOGETHER) -m convert tests/converters

fuzz: $(VENV)/fuzz.stamp
	@nice -n 10 $(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),30)

torture: $(VENV)/dev.stamp
	nice -n 10 $(BIN)/python -m tests.faults.campaign --minutes $(or $(MINUTES),60) $(if $(SEED),--seed $(SEED)) --report $(if $(MINUTES),build,docs)/torture.md

bench: $(VENV)/dev.stamp
	$(BIN)/python -m bench $(if $(QUICK),--quick)

# In the converters' environment, which has PyTorch beside the runtimes. PACKS=DIR: other packs than the shipped ones.
bench-models: $(CONVERT)/stamp
	@mkdir -p build
	$(CONVERT)/bin/python -m bench.models --json $(if $(QUICK),--quick) $(if $(PACKS),--packs $(PACKS)) > build/models-speed.json
	$(CONVERT)/bin/python -m bench.page build/models-speed.json --out $(if $(QUICK),build,docs)/models-speed.md

durability: $(VENV)/dev.stamp
	$(BIN)/python -m tests.faults.durability --rounds 5 --write docs/durability.md

DATA ?= ../shared/data
FOLLOW = $(CONVERT)/bin/lantern-convert run converters/recipes/$(1).toml --data $(DATA)/$(2) --out build/packs
train: $(CONVERT)/stamp
	$(call FOLLOW,chest-xray-child,chest-xray/kermany224_train)
	$(call FOLLOW,breast-ultrasound,breast-ultrasound)
	$(call FOLLOW,liver-ultrasound,liver-ultrasound)
	$(call FOLLOW,chest-xray-adult,chest-xray-siim)

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Lantern needs Python 3.11 or later; none was found. Install it and try again."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python cannot make a virtual environment here; on Debian: apt install python3-venv"; exit 1; }

$(VENV)/demo.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing the box, its runtimes and the hospital into $(VENV) (about 700 MB, once) …"
	@$(PIP) --editable '.[intel,tflite,demo,hospital]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing the box, its runtimes and the test tools into $(VENV) (about 800 MB, once) …"
	@$(PIP) --editable '.[intel,tflite,video,demo,hospital,dev]'
	@$(PIP) --no-deps rapidocr  # for its detector's file; what else it asks for stays away
	@touch $@ $(VENV)/demo.stamp

$(VENV)/fuzz.stamp: $(VENV)/dev.stamp
	@echo "Installing atheris into $(VENV) (35 MB, once) …"
	@$(PIP) --editable '.[fuzz]'
	@touch $@

# PyTorch's quantizers hold back four of the box's own libraries; so they live in an environment of their own.
HELD_BACK := pydantic|pydantic_core|typing-inspection|typing_extensions
$(CONVERT)/stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing PyTorch and the export tools into $(CONVERT) (about 3 GB, once) …"
	@$(PYTHON) -m venv $(CONVERT)
	@grep -vE '^($(HELD_BACK))==' constraints.txt > $(CONVERT)/constraints.txt
	@$(CONVERT)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(CONVERT)/constraints.txt \
		--editable '.[intel,tflite,hospital,convert]' pytest pytest-timeout pytest-xdist psutil hypothesis
	@touch $@

# Brings the catalogue up to date with the sentences in the code; what is new is then translated by hand in the .po.
CATALOGUE := firmware_app/core/translations
catalogue: $(VENV)/dev.stamp
	@mkdir -p build
	$(BIN)/pybabel -q extract -F babel.cfg -k N_ -k NN_:1,2 -k _n:1,2 --no-location --sort-output --project lantern --output build/lantern.pot firmware_app web hospital systemd/build
	$(BIN)/pybabel -q update -i build/lantern.pot -d $(CATALOGUE) -D lantern -l zh_CN -w 120 --no-fuzzy-matching --ignore-obsolete
	$(BIN)/pybabel -q compile -d $(CATALOGUE) -D lantern -l zh_CN

clean:
	rm -rf $(VENV) $(CONVERT) build dist .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
