# Sallyport. "make run" needs Go and nothing else; "make test" sets up what it needs.
GO ?= go
FUZZTIME ?= 60s

.PHONY: run build test test-go test-e2e test-js test-examples test-runtimes lint restart restart-small bench bench-seal fuzz soak soak-counted mutants requirements vuln generate

run: build ## the demo on https://localhost:8443; make run ARGS='--port 9443'
	@bin/sallyport demo $(ARGS)

build: ## bin/sallyport
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o bin/sallyport ./cmd/sallyport

test: lint test-go requirements test-e2e test-js test-examples restart-small ## everything but long runs
	@echo "make test: vet, staticcheck, Go tests under -race, requirements, end-to-end tests, JavaScript, examples and a small rolling restart passed"

lint:
	$(GO) vet ./...
	$(GO) tool -modfile=tools/go.mod staticcheck ./...

test-go:
	$(GO) test -race -timeout 10m ./...
	SALLYPORT_ENGINE=portable $(GO) test -race -timeout 10m ./internal/app

test-e2e: ## on both engines; SALLYPORT_ENGINE=portable: on that one alone
	./test/e2e/run

test-js: ## types, lint, tests, sizes, the packed package, real servers
	./js/test

test-examples:
	./examples/test

test-runtimes: ## the JavaScript suites in Node 22, 24 and 26, Bun and Deno; downloads 800 MB
	./js/runtimes/run

restart: ## replace two servers under the feet of 2,000 clients
	./test/restart/run

restart-small:
	./test/restart/run -small

bench: ## what things cost, beside others; make bench ROWS=echo,idle ROUNDS=7; writes docs/PERFORMANCE.md
	cd bench && $(GO) run ./run -rows '$(or $(ROWS),all)' -rounds '$(or $(ROUNDS),5)' $(BENCHFLAGS)

bench-seal: ## what the seal costs; writes docs/PERFORMANCE.md
	node bench/seal/run.mjs

fuzz: ## FUZZTIME for each fuzz target
	./test/fuzz

soak: ## doors hold what they held before, after SOAK (3m) of churn, faults and reloads; SOAK=1h ENGINES=poll,portable
	./test/soak/run $(if $(SOAK),-for '$(SOAK)') $(if $(ENGINES),-engines '$(ENGINES)') $(SOAKFLAGS)

soak-counted: ## leaks within one process, after 10,000 refused and 10,000 accepted connections on each engine
	$(GO) test -tags soak -run Soak -timeout 60m -v ./test/soak

mutants: ## break each check: its test must go red
	$(GO) run ./test/mutants

requirements: ## every SR and AT id with the tests that carry it
	$(GO) run ./test/requirements

vuln: ## known vulnerabilities; needs the database of the Go project
	@out=$$($(GO) tool -modfile=tools/go.mod govulncheck ./... 2>&1); code=$$?; printf '%s\n' "$$out"; \
	case "$$out" in *"fetching vulnerabilities"*) \
		echo "make vuln: the vulnerability database cannot be reached from here: nothing was checked" >&2;; esac; exit $$code

generate:
	$(GO) generate ./...
