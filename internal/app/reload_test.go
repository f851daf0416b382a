package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/app"
)

// TestReload changes one thing at a time: exactly the connections that the new
// configuration would not admit end.
func TestReload(t *testing.T) {
	const other = "https://other.example.com"
	w := newWorld(t)
	second := newIDP(t, filepath.Join(w.dir, "second.json"))
	both := func(origins string, jwks string) string {
		return fmt.Sprintf("  - {path: /chat, to: %q, origins: [%s], without: bearer, auth: {jwt: {issuer: %q, audience: chat, jwks: \"file:%s\"}}}\n",
			w.backend.ws(), origins, issuer, jwks)
	}
	all := fmt.Sprintf("%q, %q", trusted, other)
	w.gates(both(all, w.idp.file) + w.forwardGate("/ask")).start()

	reload := func(t *testing.T, gates string) {
		t.Helper()
		w.gates(gates)
		if err := w.admin.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	token := func(name string) string { return w.idp.token(t, name, nil) }
	here := w.admit(client{bearer: token("a")})
	there := w.admit(client{bearer: token("b"), origin: other})
	asked := w.admit(client{path: "/ask", cookie: "who=carol"})

	t.Run("nothing changed", func(t *testing.T) {
		reload(t, both(all, w.idp.file)+w.forwardGate("/ask"))
		alive(t, here, there, asked)
	})
	t.Run("an origin is removed", func(t *testing.T) {
		reload(t, both(fmt.Sprintf("%q", trusted), w.idp.file)+w.forwardGate("/ask"))
		if got := ending(t, there); got != deny.PolicyChanged {
			t.Errorf("got %v, want %v", got, deny.PolicyChanged)
		}
		alive(t, here, asked)
	})
	t.Run("a key is replaced", func(t *testing.T) {
		reload(t, both(fmt.Sprintf("%q", trusted), second.file)+w.forwardGate("/ask"))
		if got := ending(t, here); got != deny.PolicyChanged {
			t.Errorf("got %v, want %v", got, deny.PolicyChanged)
		}
		alive(t, asked)
		here = w.admit(client{bearer: second.token(t, "a", nil)})
	})
	t.Run("a key leaves its file", func(t *testing.T) {
		write(t, second.file, w.idp.signer.JWKS())
		if err := w.admin.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := ending(t, here); got != deny.PolicyChanged {
			t.Errorf("got %v, want %v", got, deny.PolicyChanged)
		}
		alive(t, asked)
	})
	t.Run("a gate is gone", func(t *testing.T) {
		reload(t, both(fmt.Sprintf("%q", trusted), w.idp.file))
		if got := ending(t, asked); got != deny.PolicyChanged {
			t.Errorf("got %v, want %v", got, deny.PolicyChanged)
		}
	})
}

// TestReloadRefused: what is wrong changes nothing, and says where.
func TestReloadRefused(t *testing.T) {
	w := newWorld(t)
	good := w.text(w.jwtGate("/chat", ""))
	w.configure(good).start()
	conn := w.admit(client{bearer: w.idp.token(t, "alice", nil)})
	for _, row := range []struct {
		name, text, want string
	}{
		{"a misspelt key", good + "liste: :443\n", `sallyport.yaml:12:1: unknown key "liste", did you mean "listen"?`},
		{"no YAML", good + "limits: [\n", "sallyport.yaml:1"},
		{"nobody may pass", strings.Replace(good, "auth:", "#", 1), "has no auth"},
		{"another address", strings.Replace(good, "listen: 127.0.0.1:0", "listen: 127.0.0.1:1", 1), "listen: a change needs a restart"},
		{"another state", strings.Replace(good, "/state", "/elsewhere", 1), "state: a change needs a restart"},
		{"a key set that is none", strings.Replace(good, "jwks.json", "sallyport.yaml", 1), "keys of gate /chat"},
		{"a claim that is none", good + "identity: {headers: {X-User: nobody}}\n", `"nobody" is none of`},
	} {
		t.Run(row.name, func(t *testing.T) {
			w.configure(row.text)
			err := w.admin.Reload(t.Context())
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %q", err, row.want)
			}
			var p *admin.Problem
			if !asProblem(err, &p) || p.Status != 422 {
				t.Errorf("got %v", err)
			}
			alive(t, conn)
			if _, text := w.get("/metrics"); !strings.Contains(text, "sallyport_config_last_reload_successful 0") {
				t.Error("no metric says so")
			}
		})
	}
	if !strings.Contains(w.log.String(), `sallyport.yaml:12:1","err":"unknown key`) {
		t.Errorf("the position is not in the log:\n%s", w.log)
	}
	w.configure(good)
	if err := w.admin.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	alive(t, conn)
	if _, text := w.get("/metrics"); !strings.Contains(text, "sallyport_config_last_reload_successful 1") {
		t.Error("no metric says so")
	}
}

func asProblem(err error, p **admin.Problem) bool {
	found, ok := err.(*admin.Problem)
	*p = found
	return ok
}

// selfSigned writes a certificate and its key.
func selfSigned(t *testing.T, dir string, serial int64, names ...string) (cert []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(t, filepath.Join(dir, "cert.pem"), cert)
	write(t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	return cert
}

// TestReloadCertificate: new handshakes get the new certificate, its names are
// the new hosts, old connections live as long as their host is served.
func TestReloadCertificate(t *testing.T) {
	w := newWorld(t)
	cert := selfSigned(t, w.dir, 1, "app.example.com")
	files := fmt.Sprintf("tls: {files: [{cert: %s/cert.pem, key: %s/key.pem}]}", w.dir, w.dir)
	w.configure(strings.Replace(w.text(w.jwtGate("/chat", "")), "tls: {dev: true}", files, 1)).start()
	dial := func(t *testing.T, cert []byte, serial int64, user string) (*websocket.Conn, error) {
		t.Helper()
		w.roots = x509.NewCertPool()
		w.roots.AppendCertsFromPEM(cert)
		d := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: w.roots, ServerName: "app.example.com"}}
		h := map[string][]string{"Origin": {trusted}, "Authorization": {"Bearer " + w.idp.token(t, user, nil)}, "Host": {"app.example.com"}}
		conn, _, err := d.Dial("wss://"+w.server.Addr().String()+"/chat", h)
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { conn.Close() })
		if got := conn.UnderlyingConn().(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64(); got != serial {
			t.Errorf("got certificate %d, want %d", got, serial)
		}
		echo(t, conn)
		return conn, nil
	}
	old, err := dial(t, cert, 1, "alice")
	if err != nil {
		t.Fatalf("%v\n%s", err, w.log)
	}
	next := selfSigned(t, w.dir, 2, "app.example.com", "www.example.com")
	if err := w.server.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, next, 2, "bob"); err != nil {
		t.Fatal(err)
	}
	alive(t, old)
	if _, text := w.get("/metrics"); !strings.Contains(text, `sallyport_tls_certificate_not_after_timestamp_seconds{name="www.example.com"}`) {
		t.Error("the new name is not in the metrics")
	}

	write(t, filepath.Join(w.dir, "key.pem"), []byte("no key"))
	if err := w.server.Reload(t.Context()); err == nil {
		t.Error("a key that is none was accepted")
	}
	alive(t, old)
	if _, err := dial(t, next, 2, "carol"); err != nil {
		t.Errorf("after a reload that failed: %v", err)
	}
}

// TestCertificateFilesThatChange are loaded without anybody saying so.
func TestCertificateFilesThatChange(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the poll")
	}
	w := newWorld(t)
	selfSigned(t, w.dir, 1, "app.example.com")
	files := fmt.Sprintf("tls: {files: [{cert: %s/cert.pem, key: %s/key.pem}]}", w.dir, w.dir)
	w.configure(strings.Replace(w.text(w.jwtGate("/chat", "")), "tls: {dev: true}", files, 1)).start()
	selfSigned(t, w.dir, 2, "new.example.com")
	end := time.Now().Add(15 * time.Second)
	for !strings.Contains(w.log.String(), "certificates loaded") {
		if time.Now().After(end) {
			t.Fatal("not loaded")
		}
		time.Sleep(50 * time.Millisecond)
	}
	eventually(t, "the name is served", func() bool {
		c, err := tls.Dial("tcp", w.server.Addr().String(), &tls.Config{InsecureSkipVerify: true, ServerName: "new.example.com"})
		if err != nil {
			return false
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64() == 2
	})
}

// TestShownConfiguration: GET /config names every weakening and no secret.
func TestShownConfiguration_AT98(t *testing.T) {
	w := newWorld(t)
	const planted = "planted-secret-0123456789abcdefghijklmnopqrstuv"
	write(t, filepath.Join(w.dir, "hs.key"), []byte(planted))
	w.configure(w.text(fmt.Sprintf("  - {path: /chat, to: %q, origins: [%q], forward_credentials: true, auth: {jwt: {issuer: a, audience: b, secret: \"file:%s/hs.key\"}}}\n",
		w.backend.ws(), trusted, w.dir))).start()
	shown, err := w.admin.Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(shown.YAML, planted) || strings.Contains(shown.YAML, "hs.key") || !strings.Contains(shown.YAML, `secret: "file:***"`) {
		t.Errorf("the secret is not masked:\n%s", shown.YAML)
	}
	if !strings.Contains(strings.Join(shown.Warnings, "\n"), "forward_credentials") {
		t.Errorf("warnings: %q", shown.Warnings)
	}
	if strings.Contains(w.log.String(), planted) {
		t.Error("the secret is in the log")
	}

	for name, mode := range map[string]os.FileMode{"a key that everybody reads": 0o644, "a key that everybody writes": 0o646} {
		t.Run(name, func(t *testing.T) {
			if err := os.Chmod(filepath.Join(w.dir, "hs.key"), mode); err != nil {
				t.Fatal(err)
			}
			if _, _, err := w.load(); err == nil || !strings.Contains(err.Error(), "chmod") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("a configuration that everybody writes", func(t *testing.T) {
		if err := os.Chmod(w.file, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.load(); err == nil || !strings.Contains(err.Error(), "chmod") {
			t.Errorf("got %v", err)
		}
	})
}

// TestNewCertificateCutsNobody: hosts that follow a new certificate leave the
// keys of a file in force.
func TestNewCertificateCutsNobody(t *testing.T) {
	w := newWorld(t)
	cert := selfSigned(t, w.dir, 1, "app.example.com")
	files := fmt.Sprintf("tls: {files: [{cert: %s/cert.pem, key: %s/key.pem}]}", w.dir, w.dir)
	w.configure(strings.Replace(w.text(w.jwtGate("/chat", "")), "tls: {dev: true}", files, 1)).start()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	d := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "app.example.com"}}
	h := map[string][]string{"Origin": {trusted}, "Authorization": {"Bearer " + w.idp.token(t, "alice", nil)}, "Host": {"app.example.com"}}
	conn, _, err := d.Dial("wss://"+w.server.Addr().String()+"/chat", h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	selfSigned(t, w.dir, 2, "app.example.com", "www.example.com")
	app.Rename(w.server)
	alive(t, conn)
}
