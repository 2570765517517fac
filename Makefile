.DEFAULT_GOAL := help
.PHONY: help build test bench cost demo fmt lint check

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## The program, optimised: target/release/portcullis
	cargo build --locked --release

test: ## Every test: units, command line, house rules, the gate against a stub and a real cluster; and the cost
	@echo "Building and running all tests; the first run builds a Kubernetes control plane, which takes about 15 minutes."
	cargo test --locked
	@$(MAKE) --no-print-directory cost

bench: ## CPU, latency and throughput beside nginx, HAProxy, Envoy, Go and a TLS relay; wants a quiet machine with two cores
	cargo build --locked --profile bench --example controlplane
	cargo bench --locked --bench side_by_side

cost: ## Instructions and allocations of the hot path's steps, against what they were
	@benches/cost/packages
	cargo bench --locked --profile cost --bench cost

demo: ## A real cluster, the server and kubectl through it, command by command
	@tests/demo/run

fmt: ## Format the source
	cargo fmt

lint: ## What the linter says, as strictly as CI
	cargo clippy --locked --all-targets -- -D warnings

check: ## All that CI checks
	@.ci/run
