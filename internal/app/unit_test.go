package app

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/config"
)

func TestOwnOrigins(t *testing.T) {
	at := func(port int) net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port} }
	for _, row := range []struct {
		name       string
		hosts      []string
		terminated bool
		listen     net.Addr
		want       string
	}{
		{"a port that may be mapped to 443", []string{"app.example.com"}, false, at(8443), "https://app.example.com:8443 https://app.example.com"},
		{"443 itself", []string{"app.example.com"}, false, at(443), "https://app.example.com"},
		{"a proxy ends TLS", []string{"app.example.com"}, true, at(8080), "https://app.example.com"},
		{"a proxy on a socket", []string{"app.example.com"}, true, &net.UnixAddr{Name: "/run/x"}, "https://app.example.com"},
		{"a port that is written", []string{"app.example.com:9443"}, true, at(8080), "https://app.example.com:9443"},
		{"443 that is written", []string{"app.example.com:443"}, false, at(8443), "https://app.example.com"},
		{"several, the first is the name", []string{"a.example", "b.example"}, true, at(1), "https://a.example https://b.example"},
		{"upper case", []string{"App.Example.com"}, true, at(1), "https://app.example.com"},
		{"IPv6", []string{"[::1]"}, false, at(8443), "https://[::1]:8443 https://[::1]"},
		{"a wildcard serves no page that could be named", []string{"*.example.com", "app.example.com"}, true, at(1), "https://app.example.com"},
		{"nothing but wildcards", []string{"*.example.com"}, true, at(1), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := strings.Join(ownOrigins(row.hosts, row.terminated, row.listen), " "); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestHostsOf(t *testing.T) {
	names := []string{"app.example.com", "127.0.0.1", "2001:db8::1"}
	if got, want := hostsOf(&config.File{}, names), []string{"app.example.com", "127.0.0.1", "[2001:db8::1]"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := hostsOf(&config.File{Hosts: []string{"x.example"}}, names); !slices.Equal(got, []string{"x.example"}) {
		t.Errorf("got %q", got)
	}
}

// A person is warned of a lower limit only if a higher one was asked for.
func TestLoweredDefaultsAreNoWarning(t *testing.T) {
	limits := config.Limits{Connections: 50_000, Unauthenticated: 1000, Handshakes: 256}
	origins := config.Origins{"limits.connections": {Source: "default"}, "limits.unauthenticated": {Source: "a.yaml", Line: 3}}
	file, _, err := config.FromFlags(config.Flags{
		Dev: true, To: "ws://127.0.0.1:3000", Origins: []string{"https://localhost:5173"}, Forward: "http://127.0.0.1:3000/me", State: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	p := &plan{file: file, origins: origins}
	p.limits, p.lowered = fit(limits, origins, 1024)
	got := strings.Join(p.warnings(), "\n")
	if !strings.Contains(got, "limits.unauthenticated: lowered") || strings.Contains(got, "limits.connections") {
		t.Errorf("warned of %q", got)
	}
	var log bytes.Buffer
	s := &Server{options: Options{File: file}, log: newLog(&log, "json", slog.LevelInfo), plan: p, public: nowhere{}}
	s.door.Store(new(sallyport.Door))
	s.announce()
	for _, want := range []string{`"level":"INFO","msg":"limits.connections: lowered`, `"level":"WARN","msg":"limits.unauthenticated: lowered`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in\n%s", want, log.String())
		}
	}
}

func TestLimitsFitTheProcess(t *testing.T) {
	full := config.Limits{Connections: 50_000, Unauthenticated: 1000, Handshakes: 256}
	for _, row := range []struct {
		name                                     string
		files                                    uint64
		connections, unauthenticated, handshakes int
		sentences                                int
	}{
		{"unknown", 0, 50_000, 1000, 256, 0},
		{"plenty", 1_048_576, 50_000, 1000, 256, 0},
		{"the usual hard limit", 524_288, 50_000, 1000, 256, 0},
		{"a desktop", 4096, 1488, 992, 256, 2},
		{"an old default", 1024, 336, 224, 224, 2},
		{"almost nothing", 64, 1, 1, 1, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, sentences := fit(full, nil, row.files)
			if got.Connections != row.connections || got.Unauthenticated != row.unauthenticated || got.Handshakes != row.handshakes || len(sentences) != row.sentences {
				t.Errorf("got %+v %v", got, sentences)
			}
			if row.files > spareFiles && uint64(2*got.Connections+got.Unauthenticated) > row.files {
				t.Errorf("%d connections of two files and %d of one do not fit", got.Connections, got.Unauthenticated)
			}
		})
	}
}

func TestAccessLogLeavesOut_AT55(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		a := newAccess(slog.New(slog.NewJSONHandler(&out, nil)))
		flood := func(n int) {
			for range n {
				a.refused(netip.MustParseAddr("192.0.2.1"), 426, "plaintext on a port that speaks TLS only")
			}
		}
		flood(1000)
		if n := strings.Count(out.String(), `"msg":"refused"`); n != refusalLines || a.Suppressed() != 1000-refusalLines {
			t.Errorf("%d lines, %d left out", n, a.Suppressed())
		}
		a.flush(time.Now(), false)
		if strings.Contains(out.String(), "left out") {
			t.Error("told within the window")
		}
		time.Sleep(refusalWindow)
		a.flush(time.Now(), false)
		if !strings.Contains(out.String(), `"count":980`) {
			t.Errorf("not told:\n%s", out.String())
		}
		out.Reset()
		flood(refusalLines + 5)
		time.Sleep(refusalWindow)
		flood(1)
		if n := strings.Count(out.String(), `"msg":"refused"`); n != refusalLines+1 || !strings.Contains(out.String(), `"count":5`) {
			t.Errorf("%d lines:\n%s", n, out.String())
		}
	})
}

func TestWaitingPlaces(t *testing.T) {
	w := &waiting{most: 2}
	first, ok1 := w.enter(netip.MustParseAddr("192.0.2.1"))
	_, ok2 := w.enter(netip.MustParseAddr("::ffff:192.0.2.1"))
	if _, ok3 := w.enter(netip.MustParseAddr("192.0.2.1")); !ok1 || !ok2 || ok3 {
		t.Errorf("got %v %v %v", ok1, ok2, ok3)
	}
	if _, ok := w.enter(netip.MustParseAddr("192.0.2.2")); !ok {
		t.Error("another address was refused")
	}
	first()
	first() // counts once
	if _, ok := w.enter(netip.MustParseAddr("192.0.2.1")); !ok {
		t.Error("the place was not given back")
	}
	if _, ok := w.enter(netip.MustParseAddr("192.0.2.1")); ok {
		t.Error("a place was given back twice")
	}
	a, _ := w.enter(netip.MustParseAddr("2001:db8::1"))
	b, _ := w.enter(netip.MustParseAddr("2001:db8::ffff:2"))
	if _, ok := w.enter(netip.MustParseAddr("2001:db8::3")); ok {
		t.Error("a /64 counts as one")
	}
	a()
	b()
	if len(w.count) != 2 {
		t.Errorf("%d addresses are remembered", len(w.count))
	}
}

func TestQueriesAreHidden_SR93(t *testing.T) {
	for in, want := range map[string]string{
		`Get "http://127.0.0.1:3000/me?token=abc": dial`: `Get "http://127.0.0.1:3000/me?***": dial`,
		"what? nothing":         "what? nothing",
		"/a?b=c&d=e and /f?g":   "/a?*** and /f?***",
		"no question":           "no question",
		"https://x.example/?a=": "https://x.example/?***",
	} {
		if got := withoutQueries(in); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
