package app_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/app/cli"
	"github.com/sallyport/sallyport/seal"
)

// device is a client's key, and what tokens name it by (RFC 7638, RFC 8037).
type device struct {
	key   ed25519.PrivateKey
	thumb string
}

func newDevice(t *testing.T) device {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"Ed25519","kty":"OKP","x":"%s"}`, base64.RawURLEncoding.EncodeToString(public)))
	return device{key, base64.RawURLEncoding.EncodeToString(sum[:])}
}

// token is one of the world's provider for alice, bound to the device.
func (d device) token(t *testing.T, w *world) string {
	return w.idp.token(t, "alice", func(c map[string]any) { c["cnf"] = map[string]any{"jkt": d.thumb} })
}

// run is the command line.
func run(t *testing.T, in string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := cli.Main(t.Context(), args, cli.Streams{In: strings.NewReader(in), Out: &out, Err: &errs}); code != 0 {
		t.Fatalf("sallyport %s: exit %d\n%s", strings.Join(args, " "), code, errs.String())
	}
	return out.String()
}

// pinOf runs a command of keys that writes one pin.
func pinOf(t *testing.T, args ...string) seal.Pin {
	t.Helper()
	pin, err := seal.ParsePin(strings.TrimSpace(run(t, "", append([]string{"keys"}, args...)...)))
	if err != nil {
		t.Fatal(err)
	}
	return pin
}

// document fetches the key document as a client with a pin does.
func (w *world) document(authority string, pin seal.Pin) (seal.Document, error) {
	w.t.Helper()
	resp, err := w.https().Get("https://" + w.server.Addr().String() + "/.well-known/sallyport-seal")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.t.Fatalf("%s %q, %v", resp.Status, raw, err)
	}
	return seal.Verify(raw, seal.Policy{Pins: []seal.Pin{pin}, Authority: authority, Now: time.Now()})
}

// sealedConn is a client of the seal.
type sealedConn struct {
	t       *testing.T
	conn    *websocket.Conn
	session *seal.Session
}

func (w *world) seal(entry seal.Entry, token string, d device) *sealedConn {
	w.t.Helper()
	offered := []string{seal.SealToken("")}
	conn, _, err := w.dial(client{protocols: offered})
	if err != nil {
		w.t.Fatalf("dial: %v\n%s", err, w.log)
	}
	w.t.Cleanup(func() { conn.Close() })
	if err := seal.CheckSelected(offered, conn.Subprotocol()); err != nil {
		w.t.Fatal(err)
	}
	at := seal.Context{Token: offered[0], Authority: w.server.Addr().String(), Target: "/chat", Origin: trusted}
	c := &sealedConn{t: w.t, conn: conn}
	hs, hello, err := seal.NewClient(entry, at, seal.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	c.send(hello)
	var record []byte
	if c.session, record, err = hs.Finish(c.receive(), seal.Credential{Kind: seal.Token, Value: token}, d.key); err != nil {
		w.t.Fatal(err)
	}
	c.send(record)
	return c
}

func (c *sealedConn) send(message []byte) {
	c.t.Helper()
	if err := c.conn.WriteMessage(websocket.BinaryMessage, message); err != nil {
		c.t.Fatal(err)
	}
}

func (c *sealedConn) receive() []byte {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	kind, data, err := c.conn.ReadMessage()
	if err != nil || kind != websocket.BinaryMessage {
		c.t.Fatalf("receive: %d %q, %v", kind, data, err)
	}
	return data
}

// open receives application data, behind control messages.
func (c *sealedConn) open() string {
	c.t.Helper()
	for {
		r, err := c.session.Open(c.receive())
		if err != nil {
			c.t.Fatal(err)
		}
		if r.Kind == seal.Text && strings.HasPrefix(string(r.Data), "\x00") {
			return string(r.Data[1:])
		}
		if r.Kind == seal.End {
			c.t.Fatalf("ended: %d %s", r.Code, r.Reason)
		}
	}
}

func (c *sealedConn) echo() {
	c.t.Helper()
	record, err := c.session.Seal(nil, seal.Text, false, []byte("\x00hello"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(record)
	if got := c.open(); got != "hello" {
		c.t.Errorf("echo: got %q", got)
	}
}

// ending waits for the sealed end and returns its code.
func (c *sealedConn) ending() uint16 {
	c.t.Helper()
	for {
		r, err := c.session.Open(c.receive())
		if err != nil {
			c.t.Fatal(err)
		}
		if r.Kind == seal.End {
			return r.Code
		}
	}
}

// newSealedWorld is a server whose gate /chat wants a seal, on a port that does
// not change, before it starts.
func newSealedWorld(t *testing.T, more string) (w *world, authority string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	authority = l.Addr().String()
	l.Close()
	w = newWorld(t)
	text := strings.Replace(w.text(w.jwtGate("/chat", "    seal: required\n")), "listen: 127.0.0.1:0", "listen: "+authority, 1)
	return w.configure(text + more), authority
}

// TestSealed is the way of an operator: make keys by the command line, start,
// replace keys while clients are connected, start again.
func TestSealed(t *testing.T) {
	w, authority := newSealedWorld(t, "")
	pin := pinOf(t, "generate", "--state", w.state(), "--authority", authority)
	w.start()
	d := newDevice(t)
	first, err := w.document(authority, pin)
	if err != nil {
		t.Fatalf("got %+v, %v", first, err)
	}
	entry, err := first.Pick(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	before := w.seal(entry, d.token(t, w), d)
	before.echo()
	if got := w.backend.header("Sec-Websocket-Protocol"); len(got) > 0 {
		t.Errorf("the backend was offered %q", got)
	}
	if got := w.refused(client{bearer: d.token(t, w)}); got != deny.SealRequired {
		t.Errorf("without a seal: got %v", got)
	}
	list, err := w.admin.Connections(t.Context(), nil)
	if err != nil || len(list.Connections) != 1 || !list.Connections[0].Sealed || list.Connections[0].Subject != "alice" {
		t.Errorf("listed: %+v, %v", list, err)
	}

	if got := pinOf(t, "rotate", "--state", w.state()); got != pin {
		t.Errorf("the pin changed to %v", got)
	}
	if err := w.server.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	before.echo()
	second, err := w.document(authority, pin)
	if err != nil || second.Generation != first.Generation+1 || len(second.Keys) != 2 {
		t.Fatalf("after a rotation: %+v, %v", second, err)
	}
	w.seal(second.Keys[0], d.token(t, w), d).echo()
	w.seal(entry, d.token(t, w), d).echo() // of a client that has not fetched it yet

	if _, err := w.document(authority, seal.Pin{}); seal.FaultOf(err) != seal.FaultPin {
		t.Errorf("another pin: %v", err)
	}
	other := newDevice(t)
	if got := w.seal(entry, d.token(t, w), other).ending(); got != deny.SealUnbound.Close() {
		t.Errorf("a token with another key: got %d", got)
	}
	bad := w.seal(entry, d.token(t, w), d)
	bad.echo()
	bad.send([]byte("not a record"))
	eventually(t, "the failure is counted", func() bool {
		_, text := w.get("/metrics")
		return strings.Contains(text, `sallyport_decrypt_failures_total{cause="seal.broken"} 1`) &&
			strings.Contains(text, `sallyport_seal_not_after_timestamp_seconds{authority="`+authority+`"} `)
	})
	for _, want := range []string{`"msg":"sealed gates"`, pin.String(), `"sealed":true`} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("no %s in the log", want)
		}
	}
	ring, err := os.ReadFile(filepath.Join(w.state(), "seal", "ring.json"))
	if err != nil {
		t.Fatal(err)
	}
	shown, err := w.admin.Config(t.Context())
	if err != nil || !strings.Contains(shown.YAML, "seal: required") {
		t.Errorf("the configuration: %s, %v", shown.YAML, err)
	}
	for line := range strings.Lines(string(ring)) {
		if _, private, ok := strings.Cut(line, `"private": "`); ok && strings.Contains(w.log.String()+shown.YAML, private[:20]) {
			t.Error("a private key is in the log or the configuration")
		}
	}

	if err := w.server.Stop(); err != nil {
		t.Fatal(err)
	}
	w.start()
	third, err := w.document(authority, pin)
	if err != nil || third.Generation != second.Generation {
		t.Fatalf("after a restart: %+v, %v", third, err)
	}
	w.seal(entry, d.token(t, w), d).echo()
}

// TestSealedNoticesByItself waits for the upkeep: a rotation needs no reload.
func TestSealedNoticesByItself(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the upkeep")
	}
	w, authority := newSealedWorld(t, "sealing: {renew: manual}\n")
	pin := pinOf(t, "generate", "--state", w.state(), "--authority", authority)
	w.start()
	d := newDevice(t)
	first, err := w.document(authority, pin)
	if err != nil {
		t.Fatal(err)
	}
	c := w.seal(first.Keys[0], d.token(t, w), d)
	run(t, "", "keys", "rotate", "--state", w.state(), "--drop-old")
	for end := time.Now().Add(15 * time.Second); !strings.Contains(w.log.String(), "sealing keys loaded"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the keys were not loaded")
		}
	}
	c.echo()
	second, err := w.document(authority, pin)
	if err != nil || second.Generation != 2 || len(second.Keys) != 1 {
		t.Fatalf("got %+v, %v", second, err)
	}
	w.seal(second.Keys[0], d.token(t, w), d).echo()
}

func TestSealedStarts(t *testing.T) {
	t.Run("in memory the pin is in the log", func(t *testing.T) {
		w := newWorld(t)
		w.configure(strings.Replace(w.text(w.jwtGate("/chat", "    seal: required\n")), "state: "+w.state(), "state: memory", 1)).start()
		_, after, _ := strings.Cut(w.log.String(), `"pins":["`)
		text, _, _ := strings.Cut(after, `"`)
		pin, err := seal.ParsePin(text)
		if err != nil {
			t.Fatalf("%v in\n%s", err, w.log)
		}
		doc, err := w.document(w.server.Addr().String(), pin)
		if err != nil {
			t.Fatal(err)
		}
		d := newDevice(t)
		c := w.seal(doc.Keys[0], d.token(t, w), d)
		if err := w.server.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.echo()
		if again, err := w.document(w.server.Addr().String(), pin); err != nil || again.Generation != doc.Generation {
			t.Errorf("after a reload: %+v, %v", again, err)
		}
	})
	t.Run("in development keys are made, and kept", func(t *testing.T) {
		w, authority := newSealedWorld(t, "")
		w.start()
		pin := pinOf(t, "pin", "--state", w.state())
		if _, err := w.document(authority, pin); err != nil {
			t.Error(err)
		}
		w.server.Stop()
		w.start()
		if _, err := w.document(authority, pin); err != nil {
			t.Errorf("after a restart: %v", err)
		}
	})
	for _, tt := range []struct{ name, more, generate, want string }{
		{"a name without a document", "sealing: {renew: manual, authorities: [\"app.example.com:443\"]}\n", "x.example.com:443", "is for app.example.com:443: run"},
		{"none of the own names has a document", "sealing: {renew: manual}\n", "x.example.com:443", "no signed document"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, _ := newSealedWorld(t, tt.more)
			run(t, "", "keys", "generate", "--state", w.state(), "--authority", tt.generate)
			s, err := app.Start(t.Context(), w.options())
			if err == nil {
				s.Stop()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
