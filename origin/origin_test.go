package origin_test

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/origin"
)

func policy(t testing.TB, c origin.Config) *origin.Policy {
	t.Helper()
	p, err := origin.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// app is the one origin that the catalogue of attacks assumes to be listed.
const app = "https://app.example.com"

// untrusted is the catalogue: none of these is app.
var untrusted = []struct{ why, origin string }{
	{"its name continues into another domain", "https://app.example.com.evil.com"},
	{"a longer label ends in the name", "https://evilapp.example.com"},
	{"the name is user information", "https://app.example.com@evil.com"},
	{"the origin is another one's path", "https://evil.com/https://app.example.com"},
	{"the name is a fragment", "https://evil.com#app.example.com"},
	{"the name is a query", "https://evil.com?app.example.com"},
	{"name and port are user information", "https://app.example.com:443@evil.com"},
	{"another port", "https://app.example.com:8443"},
	{"plaintext", "http://app.example.com"},
	{"plaintext on the port of TLS", "http://app.example.com:443"},
	{"the scheme of a socket", "ws://app.example.com"},
	{"the scheme of a secure socket", "wss://app.example.com"},
	{"a trailing dot", "https://app.example.com."},
	{"an empty port", "https://app.example.com:"},
	{"the default port written out", "https://app.example.com:443"},
	{"a port with a leading zero", "https://app.example.com:0443"},
	{"a port with a dot", "https://app.example.com:443."},
	{"a port with a sign", "https://app.example.com:+443"},
	{"port zero", "https://app.example.com:0"},
	{"a port that wraps around to 443", "https://app.example.com:65979"},
	{"a path, if only a slash", "https://app.example.com/"},
	{"an upper-case host", "https://APP.example.com"},
	{"an upper-case scheme", "HTTPS://app.example.com"},
	{"an ideographic full stop", "https://app。example.com"},
	{"a Cyrillic a", "https://аpp.example.com"},
	{"the A-label of that look-alike", "https://xn--pp-7kc.example.com"},
	{"an A-label that stands for plain ASCII (CVE-2026-39821)", "https://xn--example-.com"},
	{"an A-label of the name itself", "https://xn--app-.example.com"},
	{"a long s", "https://ſcript.example.com"},
	{"a Kelvin sign", "https://app.example.Kom"},
	{"the IPv6 loopback", "https://[::1]"},
	{"the IPv4 loopback", "https://127.0.0.1"},
	{"an address as one decimal", "https://2130706433"},
	{"an address in hexadecimal", "https://0x7f.1"},
	{"an address with a leading zero", "https://127.0.0.01"},
	{"an address of three parts", "https://127.0.1"},
	{"an IPv6 address with a zone", "https://[fe80::1%25eth0]"},
	{"an IPv6 address not in canonical form", "https://[0:0:0:0:0:0:0:1]"},
	{"an IPv4-mapped address", "https://[::ffff:127.0.0.1]"},
	{"a bracket that stays open", "https://[::1"},
	{"something after the bracket", "https://[::1]app.example.com"},
	{"an underscore", "https://app_example.com"},
	{"an encoded NUL", "https://app.example.com%00.evil.com"},
	{"a NUL", "https://app.example.com\x00.evil.com"},
	{"a tab at the end", "https://app.example.com\t"},
	{"a space at the end", "https://app.example.com "},
	{"a space at the start", " https://app.example.com"},
	{"a line break", "https://app.example.com\r\n"},
	{"a list with a comma", "https://app.example.com, https://evil.com"},
	{"a list with a space", "https://app.example.com https://evil.com"},
	{"null", "null"},
	{"null in capitals", "NULL"},
	{"a file", "file://"},
	{"a file with a host", "file://app.example.com"},
	{"data", "data:"},
	{"data with slashes", "data://app.example.com"},
	{"the blank page", "about:blank"},
	{"a blob", "blob:https://app.example.com"},
	{"an extension", "chrome-extension://abcdefghijklmnopabcdefghijklmnop"},
	{"an app without a host", "app://"},
	{"a web view", "capacitor://localhost"},
	{"nothing", ""},
	{"the word for a missing one", origin.None},
	{"a star", "*"},
	{"no scheme", "app.example.com"},
	{"no scheme before the slashes", "://app.example.com"},
	{"slashes only", "//app.example.com"},
	{"one slash", "https:/app.example.com"},
	{"three slashes", "https:///app.example.com"},
	{"a backslash", "https:\\\\app.example.com"},
	{"a backslash before another host", "https://evil.com\\.app.example.com"},
	{"no host", "https://"},
	{"an empty label", "https://app..example.com"},
	{"10 KiB", "https://app.example.com" + strings.Repeat("a", 10<<10)},
	{"10 KiB that begin elsewhere", "https://" + strings.Repeat("a.", 5<<10) + "app.example.com"},
	{"bytes beyond ASCII", "https://app.example.com\xff\xfe"},
	{"a name below it", "https://sub.app.example.com"},
	{"its parent", "https://example.com"},
	{"DEL", "https://app.example.com\x7f"},
}

func TestTrusts_SR11(t *testing.T) {
	p := policy(t, origin.Config{Trusted: []string{app}})
	for _, tt := range untrusted {
		t.Run("SR-11 AT-01 refused: "+tt.why, func(t *testing.T) {
			if p.Trusts(tt.origin) {
				t.Errorf("%.80q is trusted", tt.origin)
			}
		})
	}
	t.Run("SR-11 accepted: exactly the listed one", func(t *testing.T) {
		if !p.Trusts(app) {
			t.Errorf("%q is not trusted", app)
		}
	})
}

func TestWildcard_SR11(t *testing.T) {
	p := policy(t, origin.Config{Trusted: []string{"https://*.example.com", "https://*.example.org:8443"}})
	for _, tt := range []struct {
		why, origin string
		want        bool
	}{
		{"one label", "https://app.example.com", true},
		{"one label that is an A-label", "https://xn--pp-7kc.example.com", true},
		{"one label with the listed port", "https://app.example.org:8443", true},
		{"the domain itself", "https://example.com", false},
		{"two labels", "https://a.b.example.com", false},
		{"an empty label", "https://.example.com", false},
		{"a hyphen as the label", "https://-.example.com", false},
		{"a star as the label", "https://*.example.com", false},
		{"the domain inside another", "https://example.com.evil.com", false},
		{"a label of the domain inside another", "https://app.example.com.evil.com", false},
		{"a domain that ends alike", "https://evilexample.com", false},
		{"a label of a domain that ends alike", "https://app.evilexample.com", false},
		{"plaintext", "http://app.example.com", false},
		{"another port", "https://app.example.com:8443", false},
		{"without the listed port", "https://app.example.org", false},
		{"a trailing dot", "https://app.example.com.", false},
		{"upper case", "https://APP.example.com", false},
	} {
		t.Run("SR-11 wildcard, "+tt.why, func(t *testing.T) {
			if got := p.Trusts(tt.origin); got != tt.want {
				t.Errorf("Trusts(%q) = %v, want %v", tt.origin, got, tt.want)
			}
		})
	}
	t.Run("SR-11 a name on the suffix list fits no wildcard above it", func(t *testing.T) {
		p := policy(t, origin.Config{Trusted: []string{"https://*.amazonaws.com"}})
		if p.Trusts("https://s3.amazonaws.com") {
			t.Error("https://s3.amazonaws.com is trusted, below which are strangers")
		}
		if !p.Trusts("https://console.amazonaws.com") {
			t.Error("https://console.amazonaws.com is not trusted")
		}
	})
}

func TestConfig_SR11(t *testing.T) {
	for _, tt := range []struct {
		why, pattern, want string
		dev                bool
	}{
		{"everybody", "*", "every page", true},
		{"every https page", "https://*", "whole first label", true},
		{"a top-level domain", "https://*.com", "public suffix", true},
		{"a public suffix of a registry", "https://*.co.uk", "public suffix", true},
		{"a public suffix of a company", "https://*.github.io", "public suffix", true},
		{"a name whose children are all public suffixes", "https://*.kawasaki.jp", "public suffix", true},
		{"a top-level domain that nobody registered", "https://*.internal", "public suffix", true},
		{"a public suffix with a port", "https://*.co.uk:8443", "public suffix", true},
		{"a wildcard that is part of a label", "https://*app.example.com", "whole first label", true},
		{"a wildcard in the middle", "https://a.*.example.com", "whole first label", true},
		{"two wildcards", "https://*.*.example.com", "whole first label", true},
		{"a wildcard for the port", "https://app.example.com:*", "whole first label", true},
		{"a wildcard before an address", "https://*.127.0.0.1", "address", true},
		{"a wildcard before a part of an address", "https://*.0.0.1", "canonical", true},
		{"a wildcard of extensions", "chrome-extension://*.example", "only https", true},
		{"a path", "https://app.example.com/ws", "path", true},
		{"a final slash", "https://app.example.com/", "path", true},
		{"a query", "https://app.example.com?x", "path", true},
		{"user information", "https://me@app.example.com", "user information", true},
		{"plaintext", "http://app.example.com", "plaintext", false},
		{"plaintext under Dev", "http://app.example.com", "no loopback", true},
		{"plaintext loopback without Dev", "http://localhost:5173", "Dev only", false},
		{"loopback without Dev", "https://localhost", "Dev only", false},
		{"a loopback address without Dev", "https://127.0.0.2:8443", "Dev only", false},
		{"the IPv6 loopback without Dev", "https://[::1]", "Dev only", false},
		{"names below localhost without Dev", "https://*.localhost", "Dev only", false},
		{"a socket", "wss://app.example.com", "page", true},
		{"a file", "file://", "no origin", true},
		{"data", "data://x", "no origin", true},
		{"a name alone", "app.example.com", "no origin", true},
		{"nothing", "", "empty", true},
		{"a space", " https://app.example.com", "printable ASCII", true},
		{"two in one", "https://a.example.com,https://b.example.com", "path", true},
		{"letters beyond ASCII", "https://bücher.example", "xn--", true},
		{"a trailing dot", "https://app.example.com.", "canonical", true},
		{"a port with a leading zero", "https://app.example.com:0443", "canonical", true},
		{"a port out of range", "https://app.example.com:65536", "canonical", true},
		{"a port of a scheme without ports", "capacitor://localhost:80", "canonical", true},
		{"600 bytes", "https://" + strings.Repeat("a", 600), "longer than", true},
	} {
		t.Run("SR-11 refused in the configuration: "+tt.why, func(t *testing.T) {
			wantPatternError(t, origin.Config{Trusted: []string{tt.pattern}, Dev: tt.dev}, tt.pattern, tt.want)
		})
	}
	t.Run("SR-15 refused in the configuration: null", func(t *testing.T) {
		wantPatternError(t, origin.Config{Trusted: []string{"null"}, Dev: true}, "null", "sandboxed")
	})
}

func wantPatternError(t *testing.T, c origin.Config, pattern, why string) {
	t.Helper()
	p, err := origin.New(c)
	pe, ok := errors.AsType[*origin.PatternError](err)
	if !ok || p != nil {
		t.Fatalf("New = %v, %v, want a PatternError", p, err)
	}
	if pe.Pattern != pattern || !strings.Contains(pe.Why, why) {
		t.Errorf("got %v, want %q about %q", pe, why, pattern)
	}
}

func TestConfigNormalises_SR11(t *testing.T) {
	p := policy(t, origin.Config{Dev: true, Trusted: []string{
		"https://app.example.com:443", "HTTPS://App.Example.com", "https://*.example.com:8443", "https://[2001:db8::443]",
		"http://localhost:5173", "http://localhost:80", "https://127.0.0.1:8443", "https://*.localhost:8443", "http://[::1]:3000",
		"chrome-extension://abcdefghijklmnopabcdefghijklmnop", "capacitor://localhost",
	}})
	want := []string{
		"capacitor://localhost", "chrome-extension://abcdefghijklmnopabcdefghijklmnop", "http://[::1]:3000",
		"http://localhost", "http://localhost:5173", "https://*.example.com:8443", "https://*.localhost:8443",
		"https://127.0.0.1:8443", "https://[2001:db8::443]", "https://app.example.com",
	}
	if got := p.Origins(); !slices.Equal(got, want) {
		t.Errorf("Origins = %q, want %q", got, want)
	}
	for _, o := range want {
		if wild := strings.Contains(o, "*"); p.Trusts(o) == wild {
			t.Errorf("Trusts(%q) = %v", o, !wild)
		}
	}
	if !p.Trusts("https://a.localhost:8443") || p.Trusts("https://a.b.localhost:8443") {
		t.Error("the wildcard below localhost is not one label")
	}
}

func TestNewJoinsAllMistakes(t *testing.T) {
	_, err := origin.New(origin.Config{Trusted: []string{"*", app, "https://*.co.uk"}, Hosts: []string{"*", "a/b"}, Without: 7})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"Without(7)", `origin: "*" trusts`, `origin: "https://*.co.uk" covers a public suffix`, `origin: "*" serves`, `origin: "a/b" is no host`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if _, err := origin.New(origin.Config{Trusted: slices.Repeat([]string{app}, 4097)}); err == nil {
		t.Error("4097 entries are accepted")
	}
}

func TestWithoutText(t *testing.T) {
	for _, w := range []origin.Without{origin.Refuse, origin.AllowBearer} {
		text, err := w.MarshalText()
		var back origin.Without
		if err != nil || back.UnmarshalText(text) != nil || back != w {
			t.Errorf("%v becomes %q and %v", w, text, back)
		}
	}
	if new(origin.Without).UnmarshalText([]byte("allow")) == nil {
		t.Error(`"allow" is accepted`)
	}
}

// FuzzParse: what is accepted is written in one way only, and means the same to
// a parser of another author.
func FuzzParse(f *testing.F) {
	f.Add(app)
	f.Add("https://[2001:db8::1]:8443")
	f.Add("capacitor://localhost")
	for _, tt := range untrusted {
		f.Add(tt.origin)
	}
	p := policy(f, origin.Config{Trusted: []string{app, "https://*.example.com"}})
	f.Fuzz(func(t *testing.T, s string) {
		o, ok := origin.Parse(s)
		if !ok {
			if o != (origin.Origin{}) || p.Trusts(s) {
				t.Errorf("%q is refused, and still %v, trusted %v", s, o, p.Trusts(s))
			}
			return
		}
		if o.String() != s || len(s) > origin.MaxLength {
			t.Errorf("%q is read as %q", s, o)
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme != o.Scheme || u.Scheme+"://"+u.Host != s || u.User != nil || u.Path+u.RawQuery+u.Fragment != "" {
			t.Errorf("%q is %#v elsewhere (%v)", s, u, err)
		}
		label, under := strings.CutSuffix(o.Host, ".example.com")
		want := s == app || under && o.Scheme == "https" && o.Port == 0 && !strings.Contains(label, ".")
		if p.Trusts(s) != want {
			t.Errorf("Trusts(%q) = %v", s, !want)
		}
	})
}
