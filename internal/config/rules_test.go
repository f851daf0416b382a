package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// shorthands of testdata/rules.txt.
var shorthands = strings.NewReplacer(
	"$SERVER", "tls: {dev: true}\nstate: memory",
	"$GATE", "  - path: /ws\n    to: ws://127.0.0.1:3000\n    origins: [\"https://app.example.com\"]",
	"$AUTH", "    auth: {anonymous: \"a public demonstration\"}",
	"$GOOD", "tls: {dev: true}\nstate: memory\ngates:\n  - path: /ws\n    to: ws://127.0.0.1:3000\n    origins: [\"https://app.example.com\"]\n    auth: {anonymous: \"a public demonstration\"}",
)

// TestRules_SR91_AT98 loads each configuration of testdata/rules.txt and
// compares the whole report with what stands below it. A row is
//
//	# a sentence that names the rule
//	the configuration
//	----
//	the report
func TestRules_SR91_AT98(t *testing.T) {
	golden := filepath.Join("testdata", "rules.txt")
	data, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	abs, _ := filepath.Abs(golden)
	dir := fixtures(t)
	t.Chdir(dir)
	var out strings.Builder
	for row := range strings.SplitSeq(strings.TrimPrefix(string(data), "\n"), "\n# ") {
		name, rest, _ := strings.Cut(strings.TrimPrefix(row, "# "), "\n")
		input, want, _ := strings.Cut(rest, "\n----\n")
		t.Run(name, func(t *testing.T) {
			got := report(t, dir, shorthands.Replace(input)+"\n")
			if got != strings.TrimRight(want, "\n") && !*update {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			out.WriteString("# " + name + "\n" + input + "\n----\n" + got + "\n\n")
		})
	}
	if *update {
		if err := os.WriteFile(abs, []byte(strings.TrimRight(out.String(), "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// report loads input and returns the error's text, or the warnings.
func report(t *testing.T, dir, input string) string {
	t.Helper()
	if err := os.WriteFile("sallyport.yaml", []byte(input), 0o600); err != nil {
		t.Fatal(err)
	}
	f, _, err := Load(Source{Files: []string{"sallyport.yaml"}, Env: []string{"STRONG=" + strings.Repeat("0123456789abcdef", 4)}})
	if err == nil {
		return "ok\n" + strings.Join(f.Warnings(), "\n")
	}
	var e *Error
	if !errors.As(err, &e) || f != nil {
		t.Fatalf("got %T and %v, want *Error and no file", err, f)
	}
	for _, leak := range []string{"hunter2", "0123456789abcdef", "PRIVATE"} {
		if strings.Contains(err.Error(), leak) {
			t.Errorf("the report repeats a secret: %s", err)
		}
	}
	return strings.ReplaceAll(err.Error(), dir, "$DIR")
}

// fixtures makes the files that rows refer to.
func fixtures(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, content string, mode os.FileMode) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // the umask may have narrowed it
			t.Fatal(err)
		}
	}
	cert, key := keyPair(t)
	_, other := keyPair(t)
	strong := strings.Repeat("0123456789abcdef", 4) + "\n"
	write("cert.pem", cert, 0o644)
	write("key.pem", key, 0o600)
	write("open.pem", key, 0o644)
	write("other.pem", other, 0o600)
	write("strong.token", strong, 0o600)
	write("group.token", strong, 0o640)
	write("open.token", strong, 0o644)
	write("weak.token", "hunter2hunter2hunter2hunter2hunter2\n", 0o600)
	write("short.secret", "hunter2\n", 0o600)
	write("32.secret", strong[:32], 0o600)
	write("big.secret", strings.Repeat("x", maxReferenced+1), 0o600)
	write("empty.secret", "\n", 0o600)
	write("spaced.token", strings.Repeat("hunter2 ", 10), 0o600)
	write("same.token", strings.Repeat("z", 64), 0o600)
	write("jwks.json", `{"keys":[]}`, 0o644)
	return dir
}

func keyPair(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app.example.com"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}
