# Sallyport. "make run" needs Go and nothing else; "make test" sets up what it needs.
GO ?= go
FUZZTIME ?= 60s

.PHONY: run build test test-go test-e2e lint fuzz soak mutants requirements vuln generate

run: build ## the demo on https://localhost:8443; make run ARGS='--port 9443'
	@bin/sallyport demo $(ARGS)

build: ## bin/sallyport
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o bin/sallyport ./cmd/sallyport

test: lint test-go requirements test-e2e ## everything but long runs
	@echo "make test: vet, staticcheck, Go tests under -race, requirements and end-to-end tests passed"

lint:
	$(GO) vet ./...
	$(GO) tool -modfile=tools/go.mod staticcheck ./...

test-go:
	$(GO) test -race -timeout 10m ./...

test-e2e:
	./test/e2e/run

fuzz: ## FUZZTIME for each fuzz target
	./test/fuzz

soak: ## leaks after 10,000 refused and 10,000 accepted connections
	$(GO) test -tags soak -run Soak -timeout 30m -v ./test/soak

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
