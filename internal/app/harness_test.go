package app_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/jwt"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/app/metrics"
	"github.com/sallyport/sallyport/internal/config"
)

const (
	trusted = "https://app.example.com"
	issuer  = "https://idp.example.com"
)

// backend is an unguarded application: an echo over WebSocket, a plain page, and
// an endpoint that says who is signed in.
type backend struct {
	*httptest.Server
	handshakes atomic.Int64
	asked      atomic.Int64
	closed     chan error // why a WebSocket ended, as the backend saw it

	mu   sync.Mutex // guards last
	last http.Header
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{closed: make(chan error, 4096)}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	mux := http.NewServeMux()
	mux.HandleFunc("/me", func(w http.ResponseWriter, r *http.Request) {
		b.asked.Add(1)
		c, err := r.Cookie("who")
		if err != nil || c.Value == "stranger" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"sub": c.Value, "session": "s-" + c.Value})
	})
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "the page")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		b.handshakes.Add(1)
		b.mu.Lock()
		b.last = r.Header.Clone()
		b.mu.Unlock()
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			kind, data, err := c.ReadMessage()
			if err != nil {
				b.closed <- err
				return
			}
			if err := c.WriteMessage(kind, data); err != nil {
				b.closed <- err
				return
			}
		}
	})
	b.Server = httptest.NewServer(mux)
	t.Cleanup(b.Close)
	return b
}

// header is what the backend last saw in a handshake.
func (b *backend) header(name string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last.Values(name)
}

func (b *backend) ws() string { return "ws" + strings.TrimPrefix(b.URL, "http") }

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// idp is an identity provider whose keys are in a file.
type idp struct {
	signer *jwt.Signer
	file   string
}

func newIDP(t *testing.T, file string) *idp {
	t.Helper()
	signer, err := jwt.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	p := &idp{signer: signer, file: file}
	write(t, file, signer.JWKS())
	return p
}

// token returns a good token, after change.
func (p *idp) token(t *testing.T, subject string, change func(map[string]any)) string {
	t.Helper()
	now := time.Now()
	claims := map[string]any{"iss": issuer, "aud": "chat", "sub": subject, "sid": "session-" + subject, "jti": "id-" + subject,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	if change != nil {
		change(claims)
	}
	token, err := p.signer.Sign(jwt.TypeAccess, claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// world is a server under test and what stands around it.
type world struct {
	t       *testing.T
	dir     string
	file    string
	backend *backend
	idp     *idp
	log     *lines
	server  *app.Server
	roots   *x509.CertPool
	admin   *admin.Client
	env     []string // settings from the environment: the engine, if a run of the tests names one
}

// settings is a configuration for tests; %s are the gates.
const settings = `
listen: 127.0.0.1:0
state: %s
health: 127.0.0.1:0
tls: {dev: true}
gates:
%s`

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, dir: dir, file: filepath.Join(dir, "sallyport.yaml"), backend: newBackend(t), log: &lines{}, env: app.EngineEnv()}
	w.idp = newIDP(t, filepath.Join(dir, "jwks.json"))
	return w
}

func (w *world) state() string { return filepath.Join(w.dir, "state") }

// gates writes a configuration with these gates.
func (w *world) gates(text string) *world {
	w.t.Helper()
	return w.configure(fmt.Sprintf(settings, w.state(), text))
}

func (w *world) configure(text string) *world {
	w.t.Helper()
	write(w.t, w.file, []byte(text))
	return w
}

// jwtGate is a gate for the tokens of the world's identity provider.
func (w *world) jwtGate(path, more string) string {
	return fmt.Sprintf("  - path: %s\n    to: %s\n    origins: [%q]\n    without: bearer\n    auth: {jwt: {issuer: %q, audience: chat, jwks: \"file:%s\"}}\n%s",
		path, w.backend.ws(), trusted, issuer, w.idp.file, more)
}

// forwardGate is a gate that asks the backend.
func (w *world) forwardGate(path string) string {
	return fmt.Sprintf("  - path: %s\n    to: %s\n    origins: [%q]\n    auth: {forward: {url: %q}}\n", path, w.backend.ws(), trusted, w.backend.URL+"/me")
}

func (w *world) load() (*config.File, config.Origins, error) {
	return config.Load(config.Source{Files: []string{w.file}, Env: w.env})
}

func (w *world) options() app.Options {
	w.t.Helper()
	f, origins, err := w.load()
	if err != nil {
		w.t.Fatal(err)
	}
	return app.Options{File: f, Origins: origins, Load: w.load, Log: w.log, Version: "test", Meter: metrics.New("test")}
}

// start starts the server, which stops with the test.
func (w *world) start() *world {
	w.t.Helper()
	s, err := app.Start(w.t.Context(), w.options())
	if err != nil {
		w.t.Fatal(err)
	}
	return w.running(s)
}

func (w *world) running(s *app.Server) *world {
	w.t.Cleanup(func() { _ = s.Stop() })
	w.server = s
	w.roots = x509.NewCertPool()
	if ca := s.Authority(); ca != nil {
		w.roots.AppendCertsFromPEM(ca.CertPEM())
	}
	w.admin = admin.NewClient("unix", w.state(), "")
	return w
}

// client is a handshake.
type client struct {
	path, origin, cookie, bearer string
	protocols                    []string
	header                       http.Header
	address                      string // to come from
}

// dial makes a handshake. The response is nil if there was none.
func (w *world) dial(c client) (*websocket.Conn, *http.Response, error) {
	return dialAt(w.server.Addr().String(), w.roots, c)
}

func dialAt(server string, roots *x509.CertPool, c client) (*websocket.Conn, *http.Response, error) {
	d := websocket.Dialer{
		TLSClientConfig: &tls.Config{RootCAs: roots}, HandshakeTimeout: 10 * time.Second, Subprotocols: c.protocols,
		NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			from := net.Dialer{}
			if c.address != "" {
				from.LocalAddr = &net.TCPAddr{IP: net.ParseIP(c.address)}
			}
			return from.DialContext(ctx, network, address)
		},
	}
	h := c.header.Clone()
	if h == nil {
		h = http.Header{}
	}
	if c.origin == "" {
		c.origin = trusted
	}
	if c.origin != "-" {
		h.Set("Origin", c.origin)
	}
	if c.cookie != "" {
		h.Set("Cookie", c.cookie)
	}
	if c.bearer != "" {
		h.Set("Authorization", "Bearer "+c.bearer)
	}
	if c.path == "" {
		c.path = "/chat"
	}
	return d.Dial("wss://"+server+c.path, h)
}

// admit makes a handshake that must be admitted, and one round trip.
func (w *world) admit(c client) *websocket.Conn {
	w.t.Helper()
	conn, resp, err := w.dial(c)
	if err != nil {
		status := ""
		if resp != nil {
			status = resp.Status
		}
		w.t.Fatalf("dial: %v %s\n%s", err, status, w.log)
	}
	w.t.Cleanup(func() { conn.Close() })
	echo(w.t, conn)
	return conn
}

func echo(t *testing.T, conn *websocket.Conn) {
	t.Helper()
	if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, data, err := conn.ReadMessage(); err != nil || string(data) != "hello" {
		t.Fatalf("echo: got %q, %v", data, err)
	}
	conn.SetReadDeadline(time.Time{})
}

// ending waits for a connection to be closed and returns why.
func ending(t *testing.T, conn *websocket.Conn) deny.Reason {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		_, _, err := conn.ReadMessage()
		if err == nil {
			continue
		}
		ce, ok := errors.AsType[*websocket.CloseError](err)
		if !ok {
			t.Fatalf("the connection ended without a close frame: %v", err)
		}
		reason, ok := deny.Parse(ce.Text)
		if !ok || int(reason.Close()) != ce.Code {
			t.Fatalf("close %d %q is not in the table", ce.Code, ce.Text)
		}
		return reason
	}
}

// refused makes a handshake that must be refused and returns why.
func (w *world) refused(c client) deny.Reason {
	w.t.Helper()
	conn, resp, err := w.dial(c)
	if err == nil {
		defer conn.Close()
		return ending(w.t, conn)
	}
	if resp == nil {
		w.t.Fatalf("dial: %v", err)
	}
	defer resp.Body.Close()
	var body struct {
		Error string `json:"error"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		w.t.Fatalf("%s: %v", resp.Status, err)
	}
	for _, r := range deny.All() {
		if r.Code() == body.Error {
			return r
		}
	}
	w.t.Fatalf("%s: %q is not in the table", resp.Status, body.Error)
	return 0
}

// get asks the health listener.
func (w *world) get(path string) (int, string) {
	w.t.Helper()
	return get(w.t, "http://"+w.server.HealthAddr().String()+path)
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// https is an ordinary client of the public listener.
func (w *world) https() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.roots}, DisableKeepAlives: true}, Timeout: 10 * time.Second}
}

// eventually waits for something that happens elsewhere.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("did not happen: %s", what)
}

// alive reports whether a connection still echoes.
func alive(t *testing.T, conns ...*websocket.Conn) {
	t.Helper()
	for _, c := range conns {
		echo(t, c)
	}
}

// observe gives the server an event as its door would.
func (w *world) observe(e sallyport.Event) {
	e.Address = netip.MustParseAddr("192.0.2.1")
	app.Observe(w.server, e)
}

func identity(subject string) auth.Identity {
	return auth.Identity{Issuer: subject, Subject: subject, Credential: subject, Method: "jwt"}
}
