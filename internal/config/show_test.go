package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// golden compares got with a file of testdata, or rewrites it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

const whole = `
listen: ":8443"
hosts: [app.example.com]
state: memory
tls: {terminated_by: [unix, 10.0.0.0/8]}
admin: {listen: "127.0.0.1:9091", token: env:TOKEN}
app: http://127.0.0.1:3000
identity: {headers: {X-Forwarded-User: sub}}
defaults:
  guard: {idle: 90s}
gates:
  - path: /chat
    to: ws://127.0.0.1:3000
    origins: ["https://app.example.com", "https://*.example.com"]
    auth:
      jwt: {issuer: "https://idp.example.com", audience: chat, jwks: "https://idp.example.com/jwks?key=x"}
      session: {}
  - path: /feed/
    to: unix:/run/feed.sock:/ws
    without: bearer
    auth: {anonymous: "prices are public: everybody may read"}
`

func TestShow(t *testing.T) {
	home, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Dir(write(t, whole)[0]))
	f, o, err := Load(Source{Files: []string{"a.yaml"}, Env: []string{"TOKEN=" + strings.Repeat("ab", 32), "SALLYPORT_LOG__LEVEL=warn"}, Flags: map[string]string{"health": "off"}})
	if err != nil {
		t.Fatal(err)
	}
	var plain, masked bytes.Buffer
	if err := Show(&plain, f, o, false); err != nil {
		t.Fatal(err)
	}
	if err := Show(&masked, f, o, true); err != nil {
		t.Fatal(err)
	}
	again, _, err := Load(Source{Files: []string{"-"}, Stdin: &plain, Env: []string{"TOKEN=" + strings.Repeat("ab", 32)}})
	if err != nil || again.Gates[1].Auth.Anonymous != f.Gates[1].Auth.Anonymous || again.Admin.Token.String() != "env:TOKEN" {
		t.Errorf("what Show prints does not load: %v", err)
	}
	for _, hidden := range []string{"key=x", "env:TOKEN", "abab"} {
		if strings.Contains(masked.String(), hidden) {
			t.Errorf("masked output has %q", hidden)
		}
	}
	t.Chdir(home)
	golden(t, "show.yaml", masked.String())
}

func TestExplain(t *testing.T) {
	for _, c := range []struct{ name, key, want string }{
		{"a key of a gate", "gates.guard.idle", "gates.guard.idle: duration (30s, 5m, 24h)\nEnds a connection on which no data message was exchanged for this long, with guard.idle. Heartbeats do not count. At 25s or less set ping too, and at 10s or less pong_wait.\nValues: 1s to 24h.\nDefault: 60s.\nEnvironment: SALLYPORT_DEFAULTS__GUARD__IDLE (for all gates)."},
		{"a key of a gate by index", "gates[3].guard.idle", "gates.guard.idle:"},
		{"a key of a gate without its scope", "guard.idle", "gates.guard.idle:"},
		{"a key of defaults", "defaults.guard.idle", "defaults.guard.idle:"},
		{"a key of the server", "limits.connections", "Environment: SALLYPORT_LIMITS__CONNECTIONS."},
		{"a word among others", "log.format", "Values: auto, text, json."},
		{"a section", "tls", "tls: mapping\n"},
		{"a default that is computed", "state", "Default: $STATE_DIRECTORY, else"},
		{"a list with a default", "auth.jwt.types", "Default: [at+jwt, JWT]."},
		{"a section of a gate names its keys", "guard", "\nKeys:\n  gates.guard.idle: duration (30s, 5m, 24h)\n  gates.guard.idle_counts: text\n"},
		{"a section names the sections in it", "auth", "\nKeys:\n  gates.auth.jwt: mapping\n  gates.auth.forward: mapping\n  gates.auth.session: mapping\n  gates.auth.anonymous: text"},
		{"a section of defaults", "defaults.backend", "\nKeys:\n  defaults.backend.ca: text\n"},
		{"a section of the server", "tls", "\nKeys:\n  tls.dev: true or false\n"},
		{"all gates", "gates", "\nKeys:\n  gates.path: text\n  gates.to: text\n"},
		{"what gates share has no path", "defaults", "\nKeys:\n  defaults.to: text\n"},
		{"a misspelt key of a gate without its scope", "guard.idel", `Did you mean "guard.idle"?`},
		{"a misspelt key of a gate", "gates.guard.idel", `Did you mean "gates.guard.idle"?`},
		{"a misspelt key of defaults", "defaults.guard.idel", `Did you mean "defaults.guard.idle"?`},
		{"a misspelt key of the deepest kind", "auth.jwt.isuer", `Did you mean "auth.jwt.issuer"?`},
		{"a misspelt key", "limits.conections", `Did you mean "limits.connections"?`},
		{"a key in the wrong place", "limits.idle", `There is "gates.guard.idle".`},
		{"a key of nothing", "xyzzyplugh", `There is no key "xyzzyplugh".`},
		{"no key", "", `There is no key "".`},
	} {
		if got := Explain(c.key); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	if _, ok := Lookup("defaults.path"); ok {
		t.Error("defaults.path is no key")
	}
}

func TestReference(t *testing.T) {
	var b bytes.Buffer
	if err := Reference(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "CONFIG.md", b.String())
}
