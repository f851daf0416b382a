package app_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/auth/jwt"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/app/metrics"
	"github.com/sallyport/sallyport/internal/config"
)

// TestServeLine is the line of the README: it admits, refuses, and cuts.
func TestServeLine(t *testing.T) {
	w := newWorld(t)
	f, origins, err := config.FromFlags(config.Flags{
		Dev: true, To: w.backend.ws(), Origins: []string{"https://localhost:5173"}, Forward: w.backend.URL + "/me",
		Listen: "127.0.0.1:0", State: w.state(), Set: map[string]string{"health": "127.0.0.1:0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := app.Start(t.Context(), app.Options{File: f, Origins: origins, Log: w.log, Meter: metrics.New("test")})
	if err != nil {
		t.Fatal(err)
	}
	w.running(s)
	page := client{path: "/", origin: "https://localhost:5173", cookie: "who=alice"}
	alice := w.admit(page)
	w.admit(client{path: "/any/where?room=1", origin: "https://localhost:5173", cookie: "who=bob"})

	for _, row := range []struct {
		name string
		c    client
		want deny.Reason
	}{
		{"a page of another origin", client{path: "/", origin: "https://evil.example", cookie: "who=alice"}, deny.OriginUntrusted},
		{"a look-alike", client{path: "/", origin: "https://localhost:5173.evil.example", cookie: "who=alice"}, deny.OriginUntrusted},
		{"no Origin", client{path: "/", origin: "-", cookie: "who=alice"}, deny.OriginUntrusted},
		{"nobody", client{path: "/", origin: "https://localhost:5173"}, deny.AuthMissing},
		{"somebody the application does not know", client{path: "/", origin: "https://localhost:5173", cookie: "who=stranger"}, deny.AuthInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := *w
			w.t = t
			row.c.address = "127.0.0.2"
			before := w.backend.handshakes.Load()
			if got := w.refused(row.c); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
			if w.backend.handshakes.Load() != before {
				t.Error("the backend was contacted")
			}
		})
	}

	if tokens := w.backend.header("Sallyport-Identity"); len(tokens) != 1 {
		t.Errorf("the backend got %d identities", len(tokens))
	} else if header, claims, err := jwt.InspectUnverified(tokens[0]); err != nil || header["typ"] != jwt.TypeIdentity || claims["sub"] != "bob" ||
		claims["aud"] != w.backend.ws() || claims["iss"] != s.Name() {
		t.Errorf("the identity is %v %v (%v)", header, claims, err)
	}

	began := time.Now()
	n, err := w.admin.End(t.Context(), map[string][]string{"subject": {"alice"}})
	if err != nil || n != 1 {
		t.Fatalf("end: %d, %v", n, err)
	}
	if got := ending(t, alice); got != deny.AdminClosed {
		t.Errorf("got %v, want %v", got, deny.AdminClosed)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s", took)
	}
	w.admit(page) // ended is not revoked
}

// TestRevoke cuts by every name that a revocation knows, on both legs within a
// second, and leaves the others alone.
func TestRevoke_SR43_AT72(t *testing.T) {
	w := newWorld(t)
	w.gates(w.jwtGate("/chat", "")).start()
	for _, row := range []struct {
		name   string
		revoke func(token string) guard.Match
	}{
		{"the user", func(string) guard.Match { return guard.Match{Issuer: issuer, Subject: "alice"} }},
		{"the session", func(string) guard.Match { return guard.Match{Session: "session-alice-2"} }},
		{"the credential", func(string) guard.Match { return guard.Match{Credential: "id-alice-3"} }},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := *w
			w.t = t
			subject := "alice"
			token := w.idp.token(t, subject, func(c map[string]any) {
				switch row.name {
				case "the session":
					c["sub"], c["sid"], c["jti"] = "alice-2", "session-alice-2", "id-alice-2"
				case "the credential":
					c["sub"], c["sid"], c["jti"] = "alice-3", "session-alice-3", "id-alice-3"
				}
			})
			alice := w.admit(client{bearer: token})
			bob := w.admit(client{bearer: w.idp.token(t, "bob", nil)})
			for len(w.backend.closed) > 0 {
				<-w.backend.closed
			}
			n, err := w.admin.Revoke(t.Context(), row.revoke(token))
			answered := time.Now()
			if err != nil || n != 1 {
				t.Fatalf("revoke: %d, %v", n, err)
			}
			if got := ending(t, alice); got != deny.AuthRevoked {
				t.Errorf("got %v, want %v", got, deny.AuthRevoked)
			}
			if took := time.Since(answered); took > time.Second {
				t.Errorf("the client's leg took %s", took)
			}
			select {
			case <-w.backend.closed:
				if took := time.Since(answered); took > time.Second {
					t.Errorf("the backend's leg took %s", took)
				}
			case <-time.After(time.Second):
				t.Error("the backend's leg is open after a second")
			}
			alive(t, bob)
			if got := w.refused(client{bearer: token, address: "127.0.0.3"}); got != deny.AuthRevoked {
				t.Errorf("a new handshake: got %v, want %v", got, deny.AuthRevoked)
			}
		})
	}
}

// TestPlaintext asks the TLS port, and a port whose TLS a proxy ends, without it.
func TestPlaintext_SR01(t *testing.T) {
	w := newWorld(t)
	w.gates(w.jwtGate("/chat", "")).start()
	upgrade := "GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: " + trusted + "\r\nAuthorization: Bearer " + w.idp.token(t, "alice", nil) + "\r\n"
	for _, head := range []string{upgrade, upgrade + "X-Forwarded-Proto: https\r\n"} {
		answer := raw(t, w.server.Addr(), head+"\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 426 ") || strings.Contains(answer, "Strict-Transport-Security") {
			t.Errorf("got %q", answer)
		}
	}

	proxied := newWorld(t)
	proxied.configure(strings.Replace(strings.Replace(proxied.text(proxied.jwtGate("/chat", "")), "tls: {dev: true}",
		"tls: {terminated_by: [127.0.0.1]}\nhosts: [app.example.com]", 1), "localhost", "app.example.com", 1)).start()
	upgrade = strings.Replace(upgrade, "localhost", "app.example.com", 1)
	upgrade = strings.Replace(upgrade, w.idp.token(t, "alice", nil), proxied.idp.token(t, "alice", nil), 1)
	if answer := raw(t, proxied.server.Addr(), upgrade+"\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 426 ") {
		t.Errorf("a proxy that does not say https: got %q", answer)
	}
	if answer := raw(t, proxied.server.Addr(), upgrade+"X-Forwarded-Proto: http\r\n\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 426 ") {
		t.Errorf("a proxy that says http: got %q", answer)
	}
	if !strings.Contains(proxied.log.String(), "tls.terminated_by: plaintext is accepted from 127.0.0.1/32") {
		t.Error("terminated_by is not in the log")
	}
}

// TestPublicListener asks the public listener for what belongs elsewhere.
func TestPublicListener_AT97(t *testing.T) {
	w := newWorld(t)
	w.gates(w.jwtGate("/chat", "")).start()
	for _, path := range []string{"/metrics", "/livez", "/readyz", "/debug/pprof/", "/debug/vars", "/connections", "/config", "/revocations", "/tickets"} {
		resp, err := w.https().Get("https://" + w.server.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %d", path, resp.StatusCode)
		}
	}
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/metrics": 200, "/debug/pprof/": 404, "/connections": 404} {
		if got, _ := w.get(path); got != want {
			t.Errorf("health %s: got %d, want %d", path, got, want)
		}
	}
	if resp, err := http.Post("http://"+w.server.HealthAddr().String()+"/readyz", "text/plain", nil); err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("the health listener takes POST: %v %v", resp, err)
	}
}

// TestGenericErrors takes a snapshot of what a stranger is told.
func TestGenericErrors_SR96(t *testing.T) {
	w := newWorld(t)
	w.gates(w.jwtGate("/chat", "    refuse: http\n")).start()
	for _, row := range []struct {
		name   string
		c      client
		status int
		body   string
	}{
		{"an untrusted origin", client{origin: "https://evil.example"}, 403, `{"error":"origin.untrusted","message":"This web origin is not trusted here."}`},
		{"a broken token", client{bearer: "a.b.c"}, 401, `{"error":"auth.invalid","message":"The credential is not valid here."}`},
		{"a path that is no gate", client{path: "/nowhere"}, 404, `{"error":"http.not-found","message":"There is nothing at this path."}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, resp, err := w.dial(row.c)
			if err == nil || resp == nil {
				t.Fatal("not refused by status")
			}
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != row.status || strings.TrimSpace(string(body)) != row.body {
				t.Errorf("got %d %s", resp.StatusCode, body)
			}
			for _, name := range []string{"Server", "X-Powered-By", "Via"} {
				if v := resp.Header.Get(name); v != "" {
					t.Errorf("%s: %s", name, v)
				}
			}
		})
	}
}

// TestUpstreamTLS: a backend whose certificate nobody vouches for is no backend,
// and the switch that says otherwise is loud.
func TestUpstreamTLS_SR07(t *testing.T) {
	w := newWorld(t)
	up := newBackend(t)
	up.Server.Close()
	secure := newTLSBackend(t)
	gate := strings.Replace(w.jwtGate("/chat", ""), w.backend.ws(), "wss"+strings.TrimPrefix(secure.URL, "https"), 1)
	w.gates(gate).start()
	if got := w.refused(client{bearer: w.idp.token(t, "alice", nil)}); got != deny.BackendUnreachable && got != deny.BackendProtocol {
		t.Errorf("got %v", got)
	}
	if n := strings.Count(w.log.String(), `"msg":"refused"`); n != 1 {
		t.Errorf("%d lines in the log, want 1:\n%s", n, w.log)
	}

	loud := newWorld(t)
	loud.idp = w.idp
	loud.gates(gate + "    backend: {dangerously_skip_verify: \"a laboratory without certificates\"}\n").start()
	loud.admit(client{bearer: w.idp.token(t, "alice", nil)})
	if !strings.Contains(loud.log.String(), "backend.dangerously_skip_verify: a laboratory without certificates") {
		t.Errorf("no warning at start:\n%s", loud.log)
	}
	if _, text := loud.get("/metrics"); !strings.Contains(text, "sallyport_backend_tls_unverified 1") {
		t.Error("no metric")
	}

	trusting := newWorld(t)
	trusting.idp = w.idp
	pem := trusting.dir + "/backend.pem"
	write(t, pem, certPEM(secure.Certificate()))
	trusting.gates(gate + "    backend: {ca: " + pem + ", server_name: example.com}\n").start()
	trusting.admit(client{bearer: w.idp.token(t, "alice", nil)})
}

// TestApp: everything that is neither gate nor endpoint is the application's.
func TestApp(t *testing.T) {
	w := newWorld(t)
	w.configure(w.text(w.jwtGate("/chat", "")) + "app: " + w.backend.URL + "\n").start()
	resp, err := w.https().Get("https://" + w.server.Addr().String() + "/page")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if string(body) != "the page" || resp.Header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("got %q with %v", body, resp.Header)
	}
	before := w.backend.handshakes.Load()
	_, resp2, err := w.dial(client{path: "/page"})
	if err == nil || resp2 == nil || resp2.StatusCode != http.StatusOK || w.backend.handshakes.Load() != before {
		t.Errorf("an upgrade beside the gates: %v %v", resp2, err)
	}
}

// A body is as large as limits.body allows, by default 1 MiB.
func TestBodiesAreBounded_SR75(t *testing.T) {
	for _, tt := range []struct {
		name, limits string
		size, want   int
	}{
		{"the default", "", 1 << 20, 200},
		{"a byte more", "", 1<<20 + 1, 413},
		{"raised", "limits: {body: 4MiB}\n", 3 << 20, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.configure(w.text(w.jwtGate("/chat", "")) + "app: " + w.backend.URL + "\n" + tt.limits).start()
			var body io.Reader = bytes.NewReader(make([]byte, tt.size))
			if tt.want != 200 { // is known from the head
				never, end := io.Pipe()
				defer end.Close()
				body = never
			}
			r, _ := http.NewRequest(http.MethodPost, "https://"+w.server.Addr().String()+"/page", body)
			r.ContentLength = int64(tt.size)
			resp, err := w.https().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != tt.want {
				t.Errorf("got %s, want %d", resp.Status, tt.want)
			}
		})
	}
}
