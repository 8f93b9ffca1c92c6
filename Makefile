# What a developer types. Everything prints what it does and how far it is.
.PHONY: help setup build demo test install-test install-whole boot-matrix bench-dhcp bench-files bench-tftp bench-storm lint fmt fmt-check ci
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## install what a fresh Debian machine lacks (QEMU, firmware, iPXE, the installer, clients)
	@scripts/setup.sh

build: ## build the release binary: target/release/bootwright
	@scripts/setup.sh build
	cargo build --locked --release

demo: ## set up, build, check the example, boot a virtual machine until its installer has its answers
	@scripts/demo.sh

test: ## every test, real clients and real boots among them
	@scripts/test.sh

install-test: ## install a virtual machine for real: from its first network boot to the login on its disk
	@scripts/install-test.sh

install-whole: ## Debian 13 by Debian's own components alone, up to an hour a machine; ARGS="raid1-uefi" for some
	@scripts/install-whole.sh $(ARGS)

boot-matrix: ## boot every ready-made profile and loader on virtual machines, an hour; ARGS="alma-9 bios" for some
	@scripts/boot-matrix.sh $(ARGS)

bench-dhcp: ## as root: DHCP beside Kea, ISC dhcpd and dnsmasq, half an hour; ARGS="--quick" for three minutes
	@scripts/bench.sh dhcp $(ARGS)

bench-files: ## as root: TFTP beside dnsmasq, tftpd-hpa and atftpd, HTTP beside nginx, an hour; ARGS="--quick" for two minutes
	@scripts/bench.sh files $(ARGS)

bench-tftp: ## as root: of bench-files what is TFTP
	@scripts/bench.sh files --only tftp,many,error $(ARGS)

bench-storm: ## as root: 10,000 machines that boot at once, beside other servers, an hour; ARGS="--quick" for a few minutes
	@scripts/bench.sh storm $(ARGS)

lint: ## clippy, warnings denied
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --test boot --test boot_matrix --test netns_clients --test install --test validators --bench dhcp --bench files --bench storm -- -D warnings

fmt: ## format
	cargo fmt --all

fmt-check: ## is everything formatted?
	cargo fmt --all -- --check

ci: ## what continuous integration runs
	@.ci/run
