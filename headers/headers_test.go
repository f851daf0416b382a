package headers_test

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/headers"
)

func policy(t testing.TB, c headers.Config) *headers.Policy {
	t.Helper()
	p, err := headers.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// snapshot is the strict set, as it goes over the wire.
const snapshot = "Strict-Transport-Security: max-age=31536000; includeSubDomains; preload\r\n" +
	"Content-Security-Policy: default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; connect-src 'self'\r\n" +
	"X-Frame-Options: DENY\r\n" +
	"X-Content-Type-Options: nosniff\r\n" +
	"Referrer-Policy: no-referrer\r\n" +
	"Cross-Origin-Opener-Policy: same-origin\r\n" +
	"Cross-Origin-Resource-Policy: same-origin\r\n" +
	"Permissions-Policy: accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), " +
	"hid=(), magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=(), xr-spatial-tracking=()\r\n"

const hsts = "max-age=31536000; includeSubDomains; preload"

// wire writes h in the order of the snapshot.
func wire(h http.Header) string {
	var b strings.Builder
	for line := range strings.SplitSeq(snapshot, "\r\n") {
		name, _, _ := strings.Cut(line, ":")
		for _, v := range h.Values(name) {
			b.WriteString(name + ": " + v + "\r\n")
		}
	}
	return b.String()
}

func TestStrictSet(t *testing.T) {
	p := policy(t, headers.Config{})
	t.Run("SR-08 SR-26 SR-27 a raw refusal", func(t *testing.T) {
		if got := string(p.Append([]byte("x"))); got != "x"+snapshot {
			t.Errorf("got\n%s\nwant\n%s", got, snapshot)
		}
	})
	t.Run("SR-08 SR-26 SR-27 the door's own response, whatever was there", func(t *testing.T) {
		h := http.Header{"X-Frame-Options": {"SAMEORIGIN", "ALLOWALL"}, "Strict-Transport-Security": {"max-age=0"}}
		p.Apply(h)
		if got := wire(h); got != snapshot || len(h) != 8 {
			t.Errorf("got\n%s\nwant\n%s", got, snapshot)
		}
	})
	t.Run("SR-08 SR-26 SR-27 an application's response without any", func(t *testing.T) {
		h := http.Header{}
		p.Fill(h)
		if got := wire(h); got != snapshot {
			t.Errorf("got\n%s\nwant\n%s", got, snapshot)
		}
	})
	t.Run("one response does not share its values with the next", func(t *testing.T) {
		a, b := http.Header{}, http.Header{}
		p.Apply(a)
		p.Apply(b)
		a["X-Frame-Options"][0] = "changed"
		if b.Get("X-Frame-Options") != "DENY" {
			t.Error("values are shared")
		}
	})
}

func TestFill(t *testing.T) {
	p := policy(t, headers.Config{})
	for _, tt := range []struct {
		name, header string
		app, want    []string
	}{
		{"SR-08 HSTS is the door's", "Strict-Transport-Security", []string{"max-age=0"}, []string{hsts}},
		{"SR-26 an own CSP stays", "Content-Security-Policy", []string{"script-src 'self'", "img-src *"}, []string{"script-src 'self'", "img-src *"}},
		{"SR-26 an own X-Frame-Options stays", "X-Frame-Options", []string{"SAMEORIGIN"}, []string{"SAMEORIGIN"}},
		{"SR-27 an own CORP stays", "Cross-Origin-Resource-Policy", []string{"cross-origin"}, []string{"cross-origin"}},
		{"SR-27 an own Permissions-Policy stays", "Permissions-Policy", []string{"camera=(self)"}, []string{"camera=(self)"}},
		{"SR-26 an empty X-Frame-Options is none", "X-Frame-Options", []string{" ", ""}, []string{"DENY"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{tt.header: tt.app}
			p.Fill(h)
			if got := h[tt.header]; !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if len(h) != 8 {
				t.Errorf("%d headers, want 8: %v", len(h), h)
			}
		})
	}
	t.Run("SR-26 a policy that is added does not overrule an own X-Frame-Options", func(t *testing.T) {
		for _, c := range []headers.Config{{}, {CSP: "default-src 'self'; Frame-Ancestors 'none'; img-src *;"}} {
			h := http.Header{"X-Frame-Options": {"SAMEORIGIN"}}
			policy(t, c).Fill(h)
			csp := h.Get("Content-Security-Policy")
			if strings.Contains(strings.ToLower(csp), "frame-ancestors") || !strings.HasPrefix(csp, "default-src 'self'; ") {
				t.Errorf("CSP %q", csp)
			}
		}
	})
}

func TestDev_SR08(t *testing.T) {
	p := policy(t, headers.Config{Dev: true})
	_, rest, _ := strings.Cut(snapshot, "\r\n")
	if got := string(p.Append(nil)); got != rest {
		t.Errorf("got\n%s\nwant\n%s", got, rest)
	}
	for name, set := range map[string]func(http.Header){"Apply": p.Apply, "Fill": p.Fill} {
		h := http.Header{"Strict-Transport-Security": {hsts}}
		if set(h); wire(h) != rest {
			t.Errorf("%s: got\n%s\nwant\n%s", name, wire(h), rest)
		}
	}
}

func TestConfig_SR26(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    headers.Config
		csp  string // the end of the policy; "" if the Config is refused
		why  string
	}{
		{"SR-26 further hosts", headers.Config{ConnectSrc: []string{"wss://rt.example.com", "rt2.example.com:8443", "[::1]:3000"}},
			"; connect-src 'self' wss://rt.example.com wss://rt2.example.com:8443 wss://[::1]:3000", ""},
		{"SR-26 an own policy", headers.Config{CSP: "img-src *; default-src 'none'"}, "img-src *; default-src 'none'", ""},
		{"SR-26 an own policy without a default", headers.Config{CSP: "img-src *"}, "", "has no default-src"},
		{"SR-26 an own policy open to all", headers.Config{CSP: "default-src *"}, "", "other than"},
		{"SR-26 an own policy with scripts in the page", headers.Config{CSP: "default-src 'self' 'unsafe-inline'"}, "", "other than"},
		{"SR-26 a strict default that comes too late", headers.Config{CSP: "default-src *; default-src 'self'"}, "", "other than"},
		{"SR-26 a policy that ends the header", headers.Config{CSP: "default-src 'self'\r\nSet-Cookie: a=b"}, "", "printable"},
		{"SR-26 two policies", headers.Config{CSP: "default-src 'self', img-src *"}, "", "comma"},
		{"SR-26 an own policy of 5000 bytes", headers.Config{CSP: "default-src 'self'" + strings.Repeat(" ", 5000)}, "", "longer"},
		{"SR-26 an own policy and further hosts", headers.Config{CSP: "default-src 'self'", ConnectSrc: []string{"a.example"}}, "", "must be empty"},
		{"SR-26 a plaintext socket", headers.Config{ConnectSrc: []string{"ws://rt.example.com"}}, "", "no host"},
		{"SR-26 every host", headers.Config{ConnectSrc: []string{"*"}}, "", "no host"},
		{"SR-26 every host below a domain", headers.Config{ConnectSrc: []string{"wss://*.example.com"}}, "", "no host"},
		{"SR-26 a host that ends the directive", headers.Config{ConnectSrc: []string{"a.example; script-src *"}}, "", "no host"},
		{"SR-26 a host with a path", headers.Config{ConnectSrc: []string{"a.example/ws"}}, "", "no host"},
		{"SR-26 a host with a port that is none", headers.Config{ConnectSrc: []string{"a.example:0"}}, "", "no host"},
		{"SR-26 a host that is a bracket", headers.Config{ConnectSrc: []string{"["}}, "", "no host"},
		{"SR-26 no host", headers.Config{ConnectSrc: []string{""}}, "", "no host"},
		{"SR-26 a line break", headers.Config{ConnectSrc: []string{"a.example\r\nX: y"}}, "", "no host"},
		{"SR-26 65 hosts", headers.Config{ConnectSrc: slices.Repeat([]string{"a.example"}, 65)}, "", "more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := headers.New(tt.c)
			if tt.why != "" {
				fe, ok := errors.AsType[*headers.FieldError](err)
				if !ok || p != nil || !strings.Contains(fe.Why, tt.why) {
					t.Errorf("New = %v, %v, want a FieldError about %q", p, err, tt.why)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			h := http.Header{}
			p.Apply(h)
			if got := h.Get("Content-Security-Policy"); !strings.HasSuffix(got, tt.csp) {
				t.Errorf("got %q, want …%q", got, tt.csp)
			}
		})
	}
	_, err := headers.New(headers.Config{ConnectSrc: []string{"*", "/"}})
	if err == nil || !strings.Contains(err.Error(), `"*"`) || !strings.Contains(err.Error(), `"/"`) {
		t.Errorf("not all mistakes are in %v", err)
	}
}

func TestNoStore_SR28(t *testing.T) {
	h := http.Header{"Cache-Control": {"public", "max-age=60"}}
	if headers.NoStore(h); !slices.Equal(h["Cache-Control"], []string{"no-store"}) {
		t.Errorf("Cache-Control %q", h["Cache-Control"])
	}
}

func readAll(t *testing.T, r io.ReadCloser) string {
	t.Helper()
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
