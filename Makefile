# Everything here needs Go alone, but race, which needs a C compiler too.
# FLAGS goes to go test: make test FLAGS=-count=1

.PHONY: run build test race oracle deploy-test fuzz crash e2e soak bench lint docs

# Build and serve the bundled sample log.
run: build
	bin/kubetrail serve --sample

build:
	CGO_ENABLED=0 go build -o bin/kubetrail ./cmd/kubetrail

# What must pass before a commit.
test: lint
	go test $(FLAGS) ./...

race:
	go test -race -timeout 20m $(FLAGS) ./...

# What is judged by the code of others, which has modules of its own; the second run
# asks the next release of Kubernetes.
oracle:
	go -C test/judge vet ./...
	go -C test/oracle vet ./...
	go -C test/oracle test -timeout 20m $(FLAGS) ./...
	go -C test/oracle test -modfile=v0.37.mod $(FLAGS) -run 'Decisions|MatchTable|RequestInfo' ./...

# What is in deploy/, judged by Prometheus itself on the metrics of a real serve.
deploy-test:
	go -C test/deploy vet ./...
	go -C test/deploy test $(FLAGS) ./...

# Every fuzz target for TIME, or for so many inputs: make fuzz TIME=20000x
TIME = 30s
fuzz:
	@grep -r --include='*_test.go' --exclude-dir=test '^func Fuzz' . | \
	sed -E 's,^(.*)/[^/]*:func (Fuzz[A-Za-z0-9_]*).*,\1 \2,' | sort | \
	while read -r dir name; do \
		echo "go test $$dir -fuzz ^$$name\$$ -fuzztime $(TIME)"; \
		go test "$$dir" -run '^$$' -fuzz "^$$name\$$" -fuzztime $(TIME) -fuzzminimizetime 100x || exit 1; \
	done

# Kill the real program in the middle of its work, KILLS times.
KILLS = 200
crash:
	go test ./cmd/kubetrail -run Crash -count=1 -timeout 30m $(FLAGS) -kills $(KILLS)

# Judge by a real control plane, which is built first (minutes, once): what is collected
# while kubetrail is killed KILLS times and all around it fails, histories of objects that
# were patched PATCHES times, commands of kubectl, who was behind what happened, and what
# the proxy records.
PATCHES = 5000
e2e:
	go -C test/e2e vet ./...
	go -C test/e2e test -count=1 -timeout 60m $(FLAGS) . -kills $(KILLS) -patches $(PATCHES)
	go -C test/e2e test -count=1 -timeout 20m $(FLAGS) ./cause
	go -C test/e2e test -count=1 -timeout 20m $(FLAGS) ./record

# Load the proxy before a real kube-apiserver for DURATION: memory must stay flat, and no
# event may be lost.
DURATION = 10m
soak:
	go -C test/e2e test -count=1 -timeout 60m -v $(FLAGS) ./record -run Soak -duration $(DURATION)

# Measure beside others; write docs/benchmarks.md with: make bench FLAGS=--markdown
bench:
	go run ./bench table $(FLAGS)

lint:
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt -w $$unformatted"; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	go mod tidy -diff

# Rewrite what the documents take from the program.
docs:
	go test . -run 'Console|FieldsReference' -update -count=1
	go test ./audit -run TestBadInputDoc -update -count=1
	go test ./policy/profile -run TestCosts -update -count=1
	go test ./internal/config ./record/options -run TestReference -update -count=1
