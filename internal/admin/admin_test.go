package admin

import (
	"context"
	"errors"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/guard"
)

// door has nobody inside and remembers what was revoked.
type door struct {
	revoked []guard.Match
	err     error
}

func (d *door) Conns() iter.Seq[*sallyport.Conn] { return func(func(*sallyport.Conn) bool) {} }
func (d *door) Revoke(_ context.Context, m guard.Match) (int, error) {
	d.revoked = append(d.revoked, m)
	return 3, d.err
}

func newAPI(d *door, change func(*Config)) http.Handler {
	c := Config{
		Door: d, Issuer: "https://door.example", Gate: func(path string) bool { return path == "/chat" },
		Mint: func(context.Context, string, string, auth.Identity) (string, time.Duration, error) {
			return "sallyport.ticket.x", 10 * time.Second, nil
		},
		Show:   func() (string, []string, error) { return "listen: x\n", nil, nil },
		Reload: func(context.Context) error { return errors.New("a.yaml:3:1: unknown key") },
	}
	if change != nil {
		change(&c)
	}
	return New(c)
}

func ask(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestRequests is the strictness of the API, one request a row.
func TestRequests(t *testing.T) {
	for _, row := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		want                     string // in the answer
	}{
		{name: "a list of nobody", method: "GET", path: "/connections", status: 200, want: `{"connections":[],"total":0}`},
		{name: "AT-96 with Origin", method: "GET", path: "/connections", header: []string{"Origin", "https://evil.example"}, status: 403, want: `"browser"`},
		{name: "AT-96 with an empty Origin", method: "GET", path: "/connections", header: []string{"Origin", ""}, status: 403},
		{name: "AT-96 with Cookie", method: "GET", path: "/connections", header: []string{"Cookie", "a=b"}, status: 403},
		{name: "AT-96 with Sec-Fetch-Site", method: "POST", path: "/reload", header: []string{"Sec-Fetch-Site", "none"}, status: 403},
		{name: "a preflight", method: "OPTIONS", path: "/connections", status: 404},
		{name: "another method", method: "PUT", path: "/connections", status: 404},
		{name: "another path", method: "GET", path: "/debug/pprof/", status: 404, want: "nothing at this path"},
		{name: "a malformed query", method: "GET", path: "/connections?a=%zz", status: 400},
		{name: "a revocation", method: "POST", path: "/revocations", body: `{"session":"s"}`, status: 200, want: `{"ended":3}`},
		{name: "of nobody", method: "POST", path: "/revocations", body: `{}`, status: 400, want: `"revocation"`},
		{name: "with a name that is not known", method: "POST", path: "/revocations", body: `{"sesion":"s"}`, status: 400},
		{name: "of another type", method: "POST", path: "/revocations", body: `{"session":7}`, status: 400, want: "another type"},
		{name: "that is no JSON", method: "POST", path: "/revocations", body: `{`, status: 400},
		{name: "two values", method: "POST", path: "/revocations", body: `{"session":"s"}{}`, status: 400, want: "more than one"},
		{name: "a form", method: "POST", path: "/revocations", body: `session=s`, header: []string{"Content-Type", "application/x-www-form-urlencoded"}, status: 415},
		{name: "text", method: "POST", path: "/revocations", body: `{"session":"s"}`, header: []string{"Content-Type", "text/plain"}, status: 415},
		{name: "too much", method: "POST", path: "/revocations", body: `{"session":"` + strings.Repeat("s", maxBody) + `"}`, status: 413},
		{name: "a ticket", method: "POST", path: "/tickets", body: `{"gate":"/chat","subject":"a"}`, status: 200, want: `"ticket":"sallyport.ticket.x"`},
		{name: "the configuration", method: "GET", path: "/config", status: 200, want: `"warnings":[]`},
		{name: "a reload that fails says where", method: "POST", path: "/reload", status: 422, want: "a.yaml:3:1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := ask(newAPI(&door{}, nil), row.method, row.path, row.body, row.header...)
			if w.Code != row.status || !strings.Contains(w.Body.String(), row.want) {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, row.status, row.want)
			}
			if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("headers %v", w.Header())
			}
		})
	}
}

// TestNotKept: a revocation that could not be kept is not acknowledged, and why
// is not told.
func TestNotKept(t *testing.T) {
	w := ask(newAPI(&door{err: errors.New("disk at secret path")}, nil), "POST", "/revocations", `{"session":"s"}`)
	if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// TestInternalErrorsAreNotTold: what is no problem of the asker is one word.
func TestInternalErrorsAreNotTold_SR96(t *testing.T) {
	h := newAPI(&door{}, func(c *Config) {
		c.Show = func() (string, []string, error) { return "", nil, errors.New("secret path") }
	})
	if w := ask(h, "GET", "/config", ""); w.Code != 500 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// TestToken_AT96: the token is that of the moment, and none lets nobody in.
func TestToken_AT96(t *testing.T) {
	token := "first"
	h := newAPI(&door{}, func(c *Config) { c.Token = func() string { return token } })
	status := func(given string) int {
		return ask(h, "GET", "/connections", "", "Authorization", "Bearer "+given).Code
	}
	if got := status("first"); got != 200 {
		t.Errorf("got %d", got)
	}
	token = "second"
	if got := status("first"); got != 401 {
		t.Errorf("a token that was replaced: got %d", got)
	}
	token = ""
	for _, given := range []string{"", "second"} {
		if got := status(given); got != 401 {
			t.Errorf("no token is set, %q is given: got %d", given, got)
		}
	}
}

func TestHosts_AT96(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:9000":    "127.0.0.1 localhost 127.0.0.1 ::1",
		"[::1]:9000":        "::1 localhost 127.0.0.1 ::1",
		"192.0.2.1:9000":    "192.0.2.1",
		"[2001:db8::1]:900": "2001:db8::1",
	} {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(Hosts(a), " "); got != want {
			t.Errorf("%s: got %q, want %q", address, got, want)
		}
	}
}

// TestListen: a socket is private from its first moment on; a dead one is
// replaced, a living one and a file are not.
func TestListen_AT96(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, SocketName)
	l, err := Listen("unix", dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Listen("unix:"+path, ""); err == nil {
		t.Error("a living socket was taken over")
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as after a crash
	l.Close()
	again, err := Listen("unix:"+path, "")
	if err != nil {
		t.Fatalf("a dead socket stands in the way: %v", err)
	}
	again.Close()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("unix", dir); err == nil {
		t.Error("a file was taken for a socket")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("the file is gone: %v", err)
	}
}

// TestClient: somebody else's server is not taken for ours.
func TestClient(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"another server":       func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) },
		"an answer of another": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example", http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(h)
			defer s.Close()
			c := NewClient(strings.TrimPrefix(s.URL, "http://"), "", "token")
			if _, err := c.Connections(t.Context(), nil); !errors.Is(err, ErrUnreachable) {
				t.Errorf("got %v", err)
			}
		})
	}
}
