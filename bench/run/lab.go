package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// lab is what all measurements share: built programs, a certificate, tokens.
type lab struct {
	root    string // of the project
	bin     string // of built and installed programs; they stay for the next run
	scratch string // removed at the end
	quick   bool
	only    []string // servers, instead of those of a row

	cert, key, both string // files
	tokens          tokens
	peers           peers
	relayBuilt      bool
	port            int // the last that was given out
}

func newLab(root string, quick bool) (*lab, error) {
	l := &lab{root: root, bin: filepath.Join(root, "bench", "out", "bin"), quick: quick, port: firstPort + os.Getpid()%(lastPort-firstPort)}
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("it reads /proc, and runs on Linux alone")
	}
	if err := os.MkdirAll(l.bin, 0o755); err != nil {
		return nil, err
	}
	var err error
	if l.scratch, err = os.MkdirTemp("", "sallyport-bench-"); err != nil {
		return nil, err
	}
	steps := []func() error{l.certify, l.signTokens, l.build, l.install}
	for _, step := range steps {
		if err := step(); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

func (l *lab) close() { os.RemoveAll(l.scratch) }

func (l *lab) file(name string) string { return filepath.Join(l.scratch, name) }

// With -quick there are an eighth of the connections, and half of the time.

func (l *lab) conns(n int) int {
	if l.quick {
		return n / 8
	}
	return n
}

func (l *lab) pause(d time.Duration) time.Duration {
	if l.quick {
		return d / 2
	}
	return d
}

func (l *lab) millis(n int) int {
	return int(l.pause(time.Duration(n)*time.Millisecond) / time.Millisecond)
}

// commit names what is measured.
func (l *lab) commit() string {
	out, err := exec.Command("git", "-C", l.root, "describe", "--always", "--exclude=*", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// machine describes where it ran.
func machine() string {
	processor := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				processor = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel := "unknown"
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel, _, _ = strings.Cut(strings.TrimSpace(string(b)), "-")
	}
	return fmt.Sprintf("%s, %d processors, Linux %s", processor, runtime.NumCPU(), kernel)
}

// load is what others do on the machine, over the last minute.
func load() (one float64) {
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Sscan(string(b), &one)
	}
	return one
}
