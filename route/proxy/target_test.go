package proxy

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestTargets_SR88(t *testing.T) {
	for _, tt := range []struct{ to, network, address, host, base string }{
		{"ws://127.0.0.1:3000", "tcp", "127.0.0.1:3000", "127.0.0.1:3000", ""},
		{"ws://backend", "tcp", "backend:80", "backend", ""},
		{"wss://backend/", "tcp", "backend:443", "backend", ""},
		{"ws://[::1]:3000/base/", "tcp", "[::1]:3000", "[::1]:3000", "/base"},
		{"ws://[fe80::1%25lo]:3000", "tcp", "[fe80::1%lo]:3000", "[fe80::1]:3000", ""},
		{"ws://h:1/a%2Fb/c", "tcp", "h:1", "h:1", "/a%2Fb/c"},
		{"unix:/run/app.sock", "unix", "/run/app.sock", "localhost", ""},
		{"unix:/run/app.sock:/base", "unix", "/run/app.sock", "localhost", "/base"},
		{"unix:/run/app.sock:/", "unix", "/run/app.sock", "localhost", ""},
	} {
		got, err := parseTarget(tt.to, "ws", "wss")
		if err != nil || got.network != tt.network || got.address != tt.address || got.host != tt.host || got.base != tt.base || got.tls != strings.HasPrefix(tt.to, "wss") {
			t.Errorf("%s: got %+v, %v", tt.to, got, err)
		}
	}
	for _, to := range []string{
		"", "127.0.0.1:3000", "http://h", "ws://", "ws:h", "ws://u:p@h", "ws://h?x", "ws://h/?", "ws://h#f", "ws://h:0", "ws://h:65536", "ws://h:", "ws:///path",
		"unix:", "unix:app.sock", "unix://app.sock", "unix:/" + strings.Repeat("a", 107), "ws://h/a//b", "ws://h/a b", "ws://h\r\nX: y", "WS ://h",
	} {
		if got, err := parseTarget(to, "ws", "wss"); err == nil {
			t.Errorf("%q was accepted: %+v", to, got)
		}
	}
}

// Nothing in a request chooses scheme, host or port; the bytes of its path stay.
func TestPaths_SR87_SR88_SR89(t *testing.T) {
	p, err := prepare(Config{To: "http://10.0.0.1:3000/base"}, "http", "https")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ uri, want string }{
		{"/a", "/base/a"},
		{"/", "/base/"},
		{"/a?", "/base/a?"},
		{"/a?b=c;d&e=%zz", "/base/a?b=c;d&e=%zz"},
		{"/a%2e%2e/%2F/..;/\\", "/base/a%2e%2e/%2F/..;/\\"},
		{"//evil.example/x", "/base//evil.example/x"},
		{"http://evil.example:99/x?y", "/base/x?y"},
		{"/@evil.example:99", "/base/@evil.example:99"},
		{"*", ""}, {"evil.example:443", ""}, {"/a b", ""}, {"/a#b", ""}, {"/\x00", ""}, {"/ü", ""}, {"/a\r\nX: y", ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if r.RequestURI = tt.uri; !strings.HasPrefix(tt.uri, "/") { // as net/http parses it
			r.URL, _ = url.ParseRequestURI(tt.uri)
			if tt.uri == "*" {
				r.URL = &url.URL{Path: "*"}
			}
		}
		out, err := p.request(r, nil)
		if tt.want == "" {
			if err == nil {
				t.Errorf("SR-89 %q was accepted: %s", tt.uri, out.URL)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tt.uri, err)
			continue
		}
		if out.URL.RequestURI() != tt.want || out.URL.Host != "10.0.0.1:3000" || out.URL.Scheme != "http" {
			t.Errorf("SR-87 SR-88 %q: got %q at %s, want %q", tt.uri, out.URL.RequestURI(), out.URL.Host, tt.want)
		}
	}
	bare, _ := prepare(Config{To: "http://10.0.0.1:3000"}, "http", "https")
	r := httptest.NewRequest("GET", "/", nil)
	if r.RequestURI = "//evil.example/x"; true {
		if out, err := bare.request(r, nil); err == nil {
			t.Errorf("SR-88 a path that could be read as a host passed: %s", out.URL.RequestURI())
		}
	}
}

func TestConfigMistakes(t *testing.T) {
	_, err := New(Config{
		To: "http://h", Host: "a b", IdentityHeaders: map[string]string{"X-User": "email", "Cookie": "sub", "X-Real-IP": "sub", "X_User": "sub"},
		StripCookies: []string{"a=b"}, MaxMessageDown: -1, DialTimeout: -1,
	})
	for _, want := range []string{
		`backend "http://h"`, `host "a b"`, `the claim "email"`, `identity header "Cookie"`, `identity header "X-Real-IP"`, `identity header "X_User"`,
		`strip cookie "a=b"`, "max_message_down", "dial timeout",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not among the mistakes: %v", want, err)
		}
	}
	if _, err := New(Config{To: "ws://h", TLS: TLS{ServerName: "x"}}); err == nil {
		t.Error("tls for a plaintext backend was accepted")
	}
	if _, err := App("http://h", Config{DangerouslyPassMasked: "speed"}); err == nil || !strings.Contains(err.Error(), "dangerously_pass_masked") {
		t.Errorf("masks of ordinary requests: %v", err)
	}
	if _, err := App("http://h", Config{To: "ws://h"}); err == nil {
		t.Error("two targets were accepted")
	}
	defer func() {
		if recover() == nil {
			t.Error("To did not panic")
		}
	}()
	To("nonsense")
}
