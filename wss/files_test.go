package wss

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFilesAreChecked(t *testing.T) {
	hour := time.Hour
	clock := time.Now()
	for _, tt := range []struct {
		name string
		make func(t *testing.T, f File)
		want string // "" is success
	}{
		{"a good certificate", func(t *testing.T, f File) { store(t, f, now(t, "a.test")) }, ""},
		{"an address alone", func(t *testing.T, f File) { store(t, f, now(t, "127.0.0.1")) }, ""},
		{"expired", func(t *testing.T, f File) {
			store(t, f, selfSigned(t, 0, clock.Add(-2*hour), clock.Add(-hour), "a.test"))
		}, "expired at"},
		{"not valid yet", func(t *testing.T, f File) {
			store(t, f, selfSigned(t, 0, clock.Add(hour), clock.Add(2*hour), "a.test"))
		}, "not valid before"},
		{"a short RSA key", func(t *testing.T, f File) {
			t.Setenv("GODEBUG", "rsa1024min=0")
			store(t, f, selfSigned(t, 1024, clock.Add(-hour), clock.Add(hour), "a.test"))
		}, "1024 bits"},
		{"no names", func(t *testing.T, f File) { store(t, f, now(t)) }, "names no host"},
		{"another key", func(t *testing.T, f File) {
			store(t, File{f.Cert + "x", f.Key}, now(t, "a.test"))
			store(t, File{f.Cert, f.Key + "x"}, now(t, "a.test"))
		}, "private key does not match"},
		{"no files", func(*testing.T, File) {}, "no such file"},
		{"not PEM", func(t *testing.T, f File) { os.WriteFile(f.Cert, []byte("x"), 0o600); os.WriteFile(f.Key, nil, 0o600) }, "PEM"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := fileIn(t.TempDir(), "a")
			tt.make(t, file)
			f, err := OpenFiles([]File{file})
			if tt.want == "" {
				if err != nil || len(f.Names()) != 1 {
					t.Errorf("got %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := OpenFiles(nil); err == nil {
		t.Error("no files at all: no error")
	}
	if _, err := OpenFiles([]File{{"/nonexistent/a", "a"}, {"/nonexistent/b", "b"}}); err == nil || strings.Count(err.Error(), "wss:") != 2 {
		t.Errorf("got %v, want both mistakes", err)
	}
}

func TestFilesReload(t *testing.T) {
	dir := t.TempDir()
	a, b := fileIn(dir, "a"), fileIn(dir, "b")
	store(t, a, now(t, "a.test", "shared.test"))
	store(t, b, now(t, "b.test", "127.0.0.1"))
	f, err := OpenFiles([]File{a, b})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(f.Names()); got != "[127.0.0.1 a.test b.test shared.test]" {
		t.Errorf("got %s", got)
	}
	if changed, err := f.Poll(); changed || err != nil {
		t.Error("nothing changed", changed, err)
	}

	// One bad file keeps both.
	store(t, a, now(t, "new.test"))
	os.WriteFile(b.Key, []byte("torn"), 0o600)
	if changed, err := f.Poll(); !changed || err == nil {
		t.Error("a torn file went unnoticed", changed, err)
	}
	if changed, err := f.Poll(); changed || err != nil {
		t.Error("told twice of the same state", changed, err)
	}
	if f.Generation() != 1 || f.Names()[1] != "a.test" {
		t.Error("half a reload", f.Names())
	}
	if err := f.Reload(); err == nil {
		t.Error("Reload of a torn file")
	}

	later := selfSigned(t, 0, time.Now().Add(-time.Hour), time.Now().Add(48*time.Hour), "new.test", "b.test")
	store(t, b, later)
	if changed, err := f.Poll(); !changed || err != nil {
		t.Error(changed, err)
	}
	if f.Generation() != 2 || fmt.Sprint(f.Names()) != "[b.test new.test]" {
		t.Error("not reloaded", f.Names())
	}
	if got := f.NotAfter()["new.test"]; !got.Equal(later.Leaf.NotAfter) {
		t.Errorf("the better certificate counts: got %s", got)
	}
}

// Open connections keep what they were made with; new ones get the new certificate.
func TestReloadCutsNobody(t *testing.T) {
	file := fileIn(t.TempDir(), "a")
	old := now(t, "localhost")
	store(t, file, old)
	f, err := OpenFiles([]File{file})
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, overTLS, nil, func(o *Options) { o.TLS = profile(t, Config{Certificates: f}) })
	trust := func(c *tls.Certificate) {
		s.roots = x509.NewCertPool()
		s.roots.AddCert(c.Leaf)
	}
	trust(old)
	before := s.client(overTLS)
	defer before.Close()
	before.send(head("GET", "/"))
	before.wantAnswer(200, "GET /:")

	fresh := now(t, "localhost")
	store(t, file, fresh)
	if err := f.Reload(); err != nil {
		t.Fatal(err)
	}
	trust(fresh)
	after := s.client(overTLS)
	defer after.Close()
	after.send(head("GET", "/"))
	after.wantAnswer(200, "GET /:")
	before.send(head("GET", "/again"))
	before.wantAnswer(200, "GET /again:")
}

func TestWatch(t *testing.T) {
	file := fileIn(t.TempDir(), "a")
	store(t, file, now(t, "a.test"))
	f, err := OpenFiles([]File{file})
	if err != nil {
		t.Fatal(err)
	}
	other := now(t, "longer-name.test")
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(other.Leaf.NotBefore.Add(time.Minute))) // the bubble begins in 2000
		ctx, cancel := context.WithCancel(t.Context())
		reports := make(chan error, 10)
		ended := make(chan struct{})
		go func() { f.Watch(ctx, 10*time.Second, func(err error) { reports <- err }); close(ended) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(reports) != 0 {
			t.Error("reported a change of nothing")
		}
		store(t, file, other)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(reports) != 1 || <-reports != nil || f.Names()[0] != "longer-name.test" {
			t.Error("the change went unnoticed")
		}
		cancel()
		<-ended
	})
}

func TestDevCA(t *testing.T) {
	dir := t.TempDir() + "/state"
	ca, err := OpenDevCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenDevCA(dir)
	if err != nil || again.Fingerprint() != ca.Fingerprint() {
		t.Fatalf("another authority the second time: %v", err)
	}
	if info, err := os.Stat(dir + "/dev-ca-key.pem"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key has %v, %v", info.Mode(), err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("left behind: %v", files)
	}
	if got := len(ca.Fingerprint()); got != 95 {
		t.Errorf("the fingerprint has %d characters", got)
	}
	if left := time.Until(ca.NotAfter()); left > devCALife || left < devCALife-time.Minute {
		t.Errorf("valid for %s", left)
	}
	help := ca.TrustHelp()
	for _, want := range []string{ca.Path(), ca.Fingerprint(), "update-ca-certificates", "update-ca-trust", "certutil", "security add-trusted-cert", "Import-Certificate", "Firefox", "undo"} {
		contains(t, help, want)
	}
	for _, left := range []string{"$CERT", "$PRINT", "$THUMB", "$UNTIL", "$CN"} {
		if strings.Contains(help, left) {
			t.Errorf("%s was not replaced", left)
		}
	}
	if got := quote("/home/it's me/ca.pem"); got != `'/home/it'\''s me/ca.pem'` {
		t.Errorf("got %s", got)
	}

	os.Chmod(dir+"/dev-ca-key.pem", 0o640)
	if _, err := OpenDevCA(dir); err == nil || !strings.Contains(err.Error(), "0640") {
		t.Errorf("a key that the group may read: %v", err)
	}
	os.Chmod(dir+"/dev-ca-key.pem", 0o600)
	store(t, File{dir + "/dev-ca.pem", dir + "/dev-ca-key.pem"}, now(t, "a.test"))
	if _, err := OpenDevCA(dir); err == nil || !strings.Contains(err.Error(), "not an authority made by this program") {
		t.Errorf("a foreign certificate: %v", err)
	}
}

func TestDevCAIsReplacedBeforeItsEnd(t *testing.T) {
	for left, replaced := range map[time.Duration]bool{devCALeft - time.Hour: true, devCALeft + time.Hour: false} {
		dir := t.TempDir()
		old, err := createDevCA(dir, time.Now().Add(left-devCALife))
		if err != nil {
			t.Fatal(err)
		}
		ca, err := OpenDevCA(dir)
		if err != nil || (ca.Fingerprint() != old.Fingerprint()) != replaced {
			t.Errorf("with %s left: replaced %v, %v", left, !replaced, err)
		}
	}
}

func TestDevCALeaf(t *testing.T) {
	ca := devCA(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for _, name := range []string{"localhost", "app.localhost", "LOCALHOST", "*.localhost", "a.b.test", "127.0.0.1", "127.8.9.10", "::1", "[::1]"} {
		c, err := ca.Leaf(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		dns := strings.Replace(name, "*", "x", 1)
		if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: dns}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if life := time.Until(c.Leaf.NotAfter); life > 30*24*time.Hour {
			t.Errorf("%s: valid for %s", name, life)
		}
	}
	for _, name := range []string{"example.com", "localhost.example.com", "notlocalhost", "test", ".test", ".localhost", "10.0.0.1", "0.0.0.0", "::", "", "*"} {
		if _, err := ca.Leaf("localhost", name); err == nil {
			t.Errorf("%q was signed", name)
		}
	}
	if _, err := ca.Leaf(); err == nil {
		t.Error("a certificate without names")
	}
}

// Even with its key stolen, the authority cannot vouch for the world.
func TestDevCAIsConstrained(t *testing.T) {
	ca := devCA(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for _, name := range []string{"example.com", "accounts.example.com", "evillocalhost", "192.0.2.1", "localhost"} {
		evil := now(t, name)
		template := *evil.Leaf
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		der, err := x509.CreateCertificate(nil, &template, ca.cert, evil.Leaf.PublicKey, ca.key)
		if err != nil {
			t.Fatal(err)
		}
		leaf, _ := x509.ParseCertificate(der)
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); (err == nil) != (name == "localhost") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !ca.cert.PermittedDNSDomainsCritical || !ca.cert.MaxPathLenZero || ca.cert.KeyUsage != x509.KeyUsageCertSign {
		t.Error("the constraints are not binding")
	}
}

func TestDevCARenewsLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, err := createDevCA(t.TempDir(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		certs, err := ca.For("localhost")
		if err != nil {
			t.Fatal(err)
		}
		hello := &tls.ClientHelloInfo{ServerName: "localhost"}
		for day := range 89 {
			for range 3 { // a generation changes only with the certificate
				if c := certs.Certificate(hello); c == nil || time.Now().After(c.Leaf.NotAfter) {
					t.Fatalf("day %d: no certificate that is valid", day)
				}
			}
			time.Sleep(24 * time.Hour)
		}
		if got := certs.Generation(); got < 4 || got > 8 {
			t.Errorf("%d leaves in 89 days", got)
		}
		if certs.Certificate(&tls.ClientHelloInfo{ServerName: "evil.test"}) != nil {
			t.Error("a certificate for another name")
		}
	})
	if _, err := devCA(t).For("example.com"); err == nil {
		t.Error("a name beyond the constraints")
	}
}

// A standard client over the whole stack, many requests on few connections.
func TestStandardClient(t *testing.T) {
	s := newSite(t, overTLS, nil)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	hc := &http.Client{Transport: transport}
	url := "https://" + s.l.Addr().String()
	for i := range 50 {
		body := strings.Repeat("x", i*1000)
		var reader io.Reader = strings.NewReader(body)
		if i%2 == 0 {
			reader = io.MultiReader(reader) // of unknown length: chunks
		}
		r, err := hc.Post(url+"/p", "text/plain", reader)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode != 200 || string(b) != "POST /p:"+body || r.ProtoMajor != 1 {
			t.Fatalf("got %d %.100q", r.StatusCode, b)
		}
	}
	if got := s.l.Count(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}
