package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/deny"
)

var update = flag.Bool("update", false, "write testdata")

// TestJSON compares the names, their order and the units with what programs read.
// A change that is no addition needs another FormatVersion.
func TestJSON(t *testing.T) {
	q := &Quantiles{Count: 9, Min: 0.1, Mean: 0.5, P50: 0.4, P90: 0.9, P99: 1.25, P999: 2, P9999: 3, Max: 4.125}
	full := &Result{
		Format: FormatVersion, Target: "wss://app.example.com/ws", Began: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC), Interrupted: true,
		Settings: Settings{Connections: 10, Rate: 0.5, Size: 64, Text: true, Expect: Echo, Ramp: 100, Handshakes: 256, Warmup: 2, Duration: 10, Churn: 1, Storm: true, Resume: true},
		Measured: 9.5, TLS: &TLS{"TLS 1.3", "TLS_AES_128_GCM_SHA256", "X25519MLKEM768"},
		Connections: Connections{Opened: 8, Resumed: 1, Refused: 1, Failed: 1, Ended: 1, Most: 7, Ramp: 0.1, Open: q, Connect: q, Secure: q, Upgrade: q},
		Messages:    Messages{Sent: 47, Answered: 40, Lost: 1, Unanswered: 6, Unsent: 2, Other: 3, SentRate: 4.9, Rate: 4.2},
		Latency:     q, Late: q,
		Churn:    &Churn{Closed: 3, Opened: 2, Failed: 1},
		Storm:    &Storm{Cut: 7, Back: 7, AllBack: true, Seconds: 0.25, Handshakes: 28, Attempts: 9, BackIn: q},
		Refusals: []Refusal{{101, 4001, "auth.missing", 1}}, Failures: []Failure{{"connect: connection refused", 1}}, Closes: []Close{{4000, "guard.idle", 1}},
	}
	p, err := config(nil).check()
	if err != nil {
		t.Fatal(err)
	}
	empty := newRun(p).result() // lists are empty, not null
	for name, r := range map[string]*Result{"full.json": full, "empty.json": empty} {
		var got bytes.Buffer
		e := json.NewEncoder(&got)
		e.SetIndent("", "  ")
		if err := e.Encode(r); err != nil {
			t.Fatal(err)
		}
		name = filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(name, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(name); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: %v\n%s", name, err, got.Bytes())
		}
	}
}

// TestReasonsAreBounded: a server that gives each connection another reason costs
// no more than others.
func TestReasonsAreBounded(t *testing.T) {
	b := newBook()
	for i := range 1000 {
		b.kept(&RefusedError{Status: 400 + i})
		b.kept(&FailedError{"tls", fmt.Errorf("reason %d", i)})
		b.left(end{code: 4999, reason: fmt.Sprint(i)})
	}
	want(t, map[string][2]int{
		"refusals": {len(b.refusals), maxReasons + 1}, "failures": {len(b.failures), maxReasons + 1}, "closes": {len(b.closes), maxReasons + 1},
		"others": {b.closes[Close{Reason: otherReasons}], 1000 - maxReasons},
	})
	list := sorted(b.closes, func(k Close, n int) Close { k.Count = n; return k })
	if list[0].Reason != otherReasons || list[0].Count != 1000-maxReasons || list[1].Reason != "0" {
		t.Errorf("got %+v", list[:2])
	}
}

func TestCauses(t *testing.T) {
	for _, row := range []struct {
		err  error
		want string
	}{
		{&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: 1234}, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "connection refused"},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, "it took too long"},
		{fmt.Errorf("read the answer: %w", io.ErrUnexpectedEOF), "the server ended the connection"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Name: "nowhere.example", Err: "no such host"}}, "the name of the host was not found"},
		{fmt.Errorf("tls: %w", errors.New("handshake failure")), "handshake failure"},
		{net.ErrClosed, "given up"},
	} {
		if got := cause(row.err); got != row.want {
			t.Errorf("%v: got %q, want %q", row.err, got, row.want)
		}
	}
}

func TestShorten(t *testing.T) {
	for reason, want := range map[string]string{
		deny.Drain.CloseReason("after", "3"): "drain", "Unauthorized;auth.expired": "auth.expired", "bye": "bye", "": "", "Nonsense;": "Nonsense;",
	} {
		if got := shorten(reason); got != want {
			t.Errorf("%q: got %q, want %q", reason, got, want)
		}
	}
}

func TestLongLatencies(t *testing.T) {
	h := newHistogram()
	for _, ns := range []int64{-1, 0, 1, int64(longest) * 3} {
		record(h, ns)
	}
	if q := quantiles(h); q.Count != 4 || q.Max < 3.59e6 || q.Max > 3.61e6 {
		t.Errorf("got %+v", q)
	}
}
