package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// tree is the folder of a clean copy.
type tree string

// fill copies HEAD of the repository at dir.
func (t tree) fill(ctx context.Context, dir string) error {
	if err := os.MkdirAll(string(t), 0o755); err != nil {
		return err
	}
	archive := exec.CommandContext(ctx, "git", "-C", dir, "archive", "--format=tar", "HEAD")
	unpack := exec.CommandContext(ctx, "tar", "-x", "-C", string(t))
	var out, complaints bytes.Buffer
	archive.Stdout, archive.Stderr, unpack.Stderr = &out, &complaints, &complaints
	unpack.Stdin = &out
	if err := archive.Run(); err != nil {
		return fmt.Errorf("git archive: %w: %s", err, complaints.String())
	}
	if err := unpack.Run(); err != nil {
		return fmt.Errorf("tar: %w: %s", err, complaints.String())
	}
	return nil
}

// baseline runs what all patches run, without any: it must pass.
func (t tree) baseline(ctx context.Context, patches []patch) error {
	runs := map[string][]string{}
	for _, p := range patches {
		for _, pkg := range p.packages {
			if r := "(?:" + p.run + ")"; !slices.Contains(runs[pkg], r) {
				runs[pkg] = append(runs[pkg], r)
			}
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(runs)) {
		// -run splits at slashes, so a pattern names whole tests, not subtests.
		o, err := t.test(ctx, baselineWait, strings.Join(runs[pkg], "|"), pkg)
		if err != nil {
			return fmt.Errorf("tests of %s without a patch: %w\n%s", pkg, err, o.text())
		}
		if len(o.failed) > 0 || !o.ok {
			return fmt.Errorf("tests of %s fail without a patch: %v\n%s", pkg, o.failed, o.text())
		}
	}
	return nil
}

// verdict is what became of a patch; err is nil if it was killed.
type verdict struct {
	by      string // the test that carries the id
	err     error
	details []string
	took    time.Duration
}

func (v verdict) String() string {
	if v.err != nil {
		return "NOT KILLED: " + v.err.Error()
	}
	return fmt.Sprintf("killed by %s (%.1fs)", v.by, v.took.Seconds())
}

// try applies p, runs its tests and takes p away again.
func (t tree) try(ctx context.Context, p patch) (v verdict) {
	if out, err := t.apply(ctx, p); err != nil {
		return verdict{err: errors.New("the patch does not apply to HEAD"), details: []string{out}}
	}
	defer func() {
		if out, err := t.apply(context.WithoutCancel(ctx), p, "--reverse"); err != nil && v.err == nil {
			v = verdict{err: errors.New("the patch could not be taken away"), details: []string{out}}
		}
	}()
	o, err := t.test(ctx, mutantWait, p.run, p.packages...)
	if err != nil {
		return verdict{err: err, details: o.lines}
	}
	for _, name := range o.failed {
		// The innermost test says most; parents come after their subtests.
		if carries(name, p.id) {
			return verdict{by: name, details: o.failed}
		}
	}
	switch {
	case len(o.failed) > 0:
		return verdict{err: fmt.Errorf("what failed does not carry the id: %s", strings.Join(o.failed, ", ")), details: o.lines}
	case !o.ok:
		return verdict{err: errors.New("the tests failed, and none of them did"), details: o.lines}
	}
	return verdict{err: errors.New("every test passed")}
}

func (t tree) apply(ctx context.Context, p patch, flags ...string) (output string, err error) {
	cmd := exec.CommandContext(ctx, "git", slices.Concat([]string{"apply", "-C1"}, flags, []string{p.file})...)
	cmd.Dir = string(t)
	// A folder for temporary files may be inside of some repository, whose
	// files "git apply" would then want to change.
	cmd.Env = append(os.Environ(), "GIT_DIR=/nonexistent")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// outcome is what "go test -json" said.
type outcome struct {
	ok     bool
	failed []string // tests, subtests before their parents; those that did not end, too
	lines  []string // output
}

func (o outcome) text() string { return strings.Join(o.lines, "") }

// How long tests may take. Without their check some would wait for ever: a test
// that no longer ends has noticed.
const (
	baselineWait = 5 * time.Minute
	mutantWait   = 30 * time.Second
)

// unended is said of a test that was running when the time was over, or the
// process ended.
const unended = " (did not end)"

// test runs tests. An error means that it could not, for example because the
// code does not compile.
func (t tree) test(ctx context.Context, wait time.Duration, pattern string, packages ...string) (outcome, error) {
	args := []string{"test", "-json", "-count=1", "-vet=off", "-trimpath", "-timeout=" + wait.String(), "-run", pattern}
	cmd := exec.CommandContext(ctx, "go", append(args, packages...)...)
	cmd.Dir = string(t)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return outcome{}, err
	}
	if err := cmd.Start(); err != nil {
		return outcome{}, err
	}
	o, built, ran := read(out)
	err = cmd.Wait()
	o.ok = err == nil
	o.lines = append(o.lines, complaints.String())
	switch {
	case ctx.Err() != nil:
		return o, ctx.Err()
	case !built:
		return o, errors.New("the code does not compile")
	case ran == 0:
		return o, fmt.Errorf("no test is named like %s", pattern)
	}
	return o, nil
}

// read understands the events of test2json, and of go build in Go 1.24.
func read(r io.Reader) (o outcome, built bool, ran int) {
	built = true
	var running []string // in the order of their beginnings
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			o.lines = append(o.lines, lines.Text()+"\n")
			continue
		}
		switch e.Action {
		case "build-fail":
			built = false
		case "run":
			ran++
			running = append(running, e.Test)
		case "pass", "skip", "fail":
			running = slices.DeleteFunc(running, func(name string) bool { return name == e.Test })
			if e.Action == "fail" && e.Test != "" {
				o.failed = append(o.failed, e.Test)
			}
		case "output", "build-output":
			o.lines = append(o.lines, e.Output)
		}
	}
	slices.Reverse(running) // subtests begin after their parents
	for _, name := range running {
		o.failed = append(o.failed, name+unended)
	}
	return o, built, ran
}
