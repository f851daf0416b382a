package config

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestFromFlags(t *testing.T) {
	dir := fixtures(t)
	env := []string{"HOME=" + dir}
	origins := []string{"https://localhost:5173"}
	for _, c := range []struct {
		name  string
		flags Flags
		want  []string // of the error; none: it loads
	}{
		{"the line of the handbook", Flags{Dev: true, To: "ws://127.0.0.1:3000", Origins: origins, Forward: "http://127.0.0.1:3000/me"}, nil},
		{"production with tokens", Flags{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), To: "ws://127.0.0.1:3000", Path: "/ws",
			Origins: []string{"https://app.example.com"}, JWKS: "https://idp.example.com/jwks", Issuer: "https://idp.example.com", Audience: "chat", Listen: ":443", State: dir}, nil},
		{"everybody, with a reason", Flags{Dev: true, To: "ws://127.0.0.1:3000", Origins: origins, Anonymous: "a public demonstration"}, nil},
		{"programs alone", Flags{Dev: true, To: "ws://127.0.0.1:3000", Without: "bearer", Forward: "http://127.0.0.1:3000/me"}, nil},
		{"no way to authenticate prints the three", Flags{Dev: true, To: "ws://127.0.0.1:3000", Origins: origins},
			[]string{"nothing says who may pass", "--jwks URL --issuer ISSUER --audience NAME", "--forward URL", "--anonymous \"reason\"", "1 error."}},
		{"two ways to authenticate", Flags{Dev: true, To: "ws://127.0.0.1:3000", Origins: origins, Forward: "http://127.0.0.1:3000/me", Anonymous: "a public demonstration"},
			[]string{"flag --anonymous: exactly one of --jwks, --forward and --anonymous", "1 error."}},
		{"a token without its issuer", Flags{Dev: true, To: "ws://127.0.0.1:3000", Origins: origins, JWKS: "https://idp.example.com/jwks"},
			[]string{`flag --jwks: jwt needs "issuer"`, `flag --jwks: jwt needs "audience"`}},
		{"no backend", Flags{Dev: true, Origins: origins, Anonymous: "a public demonstration"}, []string{"flag --to: the backend is missing"}},
		{"no certificate", Flags{To: "ws://127.0.0.1:3000", Origins: []string{"https://app.example.com"}, Forward: "http://127.0.0.1:3000/me"}, []string{"--cert chain.pem --key key.pem"}},
		{"a certificate without key", Flags{Cert: filepath.Join(dir, "cert.pem"), To: "ws://127.0.0.1:3000", Origins: []string{"https://app.example.com"}, Forward: "http://127.0.0.1:3000/me"},
			[]string{"flag --cert: a certificate needs both cert and key"}},
		{"development for the world", Flags{Dev: true, Listen: ":8443", To: "ws://127.0.0.1:3000", Origins: origins, Forward: "http://127.0.0.1:3000/me"}, []string{"flag --listen: with tls.dev the door listens on loopback only"}},
		{"a bad origin", Flags{Dev: true, To: "ws://127.0.0.1:3000", Origins: []string{"*"}, Forward: "http://127.0.0.1:3000/me"}, []string{`flag --origin: "*" trusts every page`}},
		{"no origin", Flags{Dev: true, To: "ws://127.0.0.1:3000", Forward: "http://127.0.0.1:3000/me"}, []string{"a gate needs the origins"}},
		{"a further setting that is wrong", Flags{Dev: true, To: "ws://127.0.0.1:3000", Origins: origins, Forward: "http://127.0.0.1:3000/me", Set: map[string]string{"limits.connections": "0"}}, []string{"flag --limits.connections: connections: 0 is too small"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.flags.Env = env
			f, o, err := FromFlags(c.flags)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
			if len(c.want) > 0 {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := cmpPath(c.flags.Path); f.Gates[0].Path != want || o["gates[0].to"].String() != "flag --to" {
				t.Errorf("got %+v, %v", f.Gates[0], o)
			}
		})
	}
}

func cmpPath(p string) string {
	if p == "" {
		return "/"
	}
	return p
}

func TestDevelopmentIsLoopback(t *testing.T) {
	f, _, err := FromFlags(Flags{Dev: true, To: "ws://127.0.0.1:3000", Origins: []string{"http://localhost:5173"}, Forward: "http://127.0.0.1:3000/me", State: "memory"})
	if err != nil || !f.TLS.Dev || f.Listen != "127.0.0.1:8443" || !f.InMemory() || f.Gates[0].Auth.Forward == nil {
		t.Errorf("got %+v, %v", f, err)
	}
}
