package app_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/state"
)

// TestFailClosed takes away one dependency at a time: nobody gets in.
func TestFailClosed_SR91(t *testing.T) {
	t.Run("the identity provider is down", func(t *testing.T) {
		w := newWorld(t)
		down := httptest.NewServer(http.NotFoundHandler())
		w.gates(strings.Replace(w.jwtGate("/chat", ""), "file:"+w.idp.file, down.URL+"/jwks", 1)).start()
		down.Close()
		if status, text := w.get("/readyz?verbose"); status != http.StatusServiceUnavailable || !strings.Contains(text, "[-] keys: a key set was never read") {
			t.Errorf("ready: %d %s", status, text)
		}
		if status, _ := w.get("/livez"); status != http.StatusOK {
			t.Errorf("alive: %d", status)
		}
		if got := w.refused(client{bearer: w.idp.token(t, "alice", nil)}); got != deny.AuthUnavailable {
			t.Errorf("got %v", got)
		}
		if !strings.Contains(w.log.String(), "the key set could not be read") {
			t.Error("not in the log")
		}
	})
	t.Run("the application is down", func(t *testing.T) {
		w := newWorld(t)
		w.gates(w.forwardGate("/chat")).start()
		w.admit(client{cookie: "who=alice"})
		w.backend.CloseClientConnections()
		w.backend.Listener.Close()
		if got := w.refused(client{cookie: "who=bob"}); got != deny.AuthUnavailable {
			t.Errorf("got %v", got)
		}
	})
	t.Run("the state is damaged", func(t *testing.T) {
		w := newWorld(t)
		w.gates(w.jwtGate("/chat", "")).start()
		_ = w.server.Stop()
		file := filepath.Join(w.state(), "state.db")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		write(t, file, data[:len(data)/2])
		if _, err := app.Start(t.Context(), w.options()); !errors.Is(err, state.ErrCorrupt) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the state is open to others", func(t *testing.T) {
		w := newWorld(t)
		w.gates(w.jwtGate("/chat", "")).start()
		_ = w.server.Stop()
		if err := os.Chmod(filepath.Join(w.state(), "state.db"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := app.Start(t.Context(), w.options()); !errors.Is(err, state.ErrExposed) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the state is another server's", func(t *testing.T) {
		w := newWorld(t)
		w.gates(w.jwtGate("/chat", "")).start()
		if _, err := app.Start(t.Context(), w.options()); !errors.Is(err, state.ErrInUse) {
			t.Errorf("got %v", err)
		}
	})
	for _, row := range []struct{ name, file string }{
		{"the key set is gone", "jwks.json"},
		{"the certificate is gone", "cert.pem"},
		{"the key is gone", "key.pem"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			selfSigned(t, w.dir, 1, "app.example.com")
			files := fmt.Sprintf("tls: {files: [{cert: %s/cert.pem, key: %s/key.pem}]}", w.dir, w.dir)
			w.configure(strings.Replace(w.text(w.jwtGate("/chat", "")), "tls: {dev: true}", files, 1))
			if err := os.Remove(filepath.Join(w.dir, row.file)); err != nil {
				t.Fatal(err)
			}
			_, _, err := w.load()
			if _, ok := errors.AsType[*config.Error](err); !ok || !strings.Contains(err.Error(), row.file) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestStartTogether: an address that is taken and a mistake of a room are said
// at once, and nothing of what was opened stays open.
func TestStartTogether(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	w := newWorld(t)
	w.configure(strings.Replace(w.text(w.jwtGate("/chat", "")), "health: 127.0.0.1:0", "health: "+taken.Addr().String(), 1))
	write(t, w.idp.file, []byte(`{"keys": "none"}`))
	o := w.options()
	o.File.Gates[0].Auth.JWT.Algs = []string{"none"}
	_, err = app.Start(t.Context(), o)
	if err == nil || !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "gate /chat") {
		t.Errorf("got %v", err)
	}
	if _, ok := errors.AsType[*app.Mistake](err); !ok {
		t.Errorf("no mistake in %v", err)
	}
	if _, err := os.Stat(filepath.Join(w.state(), "admin.sock")); err == nil {
		t.Error("the socket is still there")
	}
	newIDP(t, w.idp.file)
	w.configure(w.text(w.jwtGate("/chat", ""))).start() // the state was let go
}

// TestCheck finds what Start would, and leaves nothing behind.
func TestCheck(t *testing.T) {
	w := newWorld(t)
	w.gates(w.jwtGate("/chat", ""))
	f, _, err := w.load()
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Check(f); err != nil {
		t.Error(err)
	}
	f.Gates[0].To = "ws://user@127.0.0.1:1"
	if err := app.Check(f); err == nil || !strings.Contains(err.Error(), "gate /chat") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(w.state()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state was made: %v", err)
	}
}

// TestBehindProxy: a proxy that ended TLS is believed about the client too.
func TestBehindProxy(t *testing.T) {
	w := newWorld(t)
	w.configure(strings.Replace(w.text(w.jwtGate("/chat", "")), "tls: {dev: true}",
		"tls: {terminated_by: [127.0.0.1]}\nhosts: [app.example.com]", 1)).start()
	head := "GET /chat HTTP/1.1\r\nHost: app.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: " + trusted + "\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.9, 198.51.100.7\r\n" +
		"Authorization: Bearer " + w.idp.token(t, "alice", nil) + "\r\n\r\n"
	c, err := net.Dial("tcp", w.server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprint(c, head)
	answer := make([]byte, 64)
	if _, err := c.Read(answer); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 101 ") {
		t.Fatalf("got %q, %v\n%s", answer, err, w.log)
	}
	eventually(t, "the right-most hop is the client", func() bool { return strings.Contains(w.log.String(), `"remote":"198.51.100.7"`) })
	list, err := w.admin.Connections(t.Context(), nil)
	if err != nil || list.Total != 1 || list.Connections[0].Address != "198.51.100.7" {
		t.Errorf("got %+v, %v", list, err)
	}
}
