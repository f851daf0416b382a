package load

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestMistakes(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*Config)
		want   string // "": none
	}{
		{"a load", func(*Config) {}, ""},
		{"no connection", func(c *Config) { c.Connections = 0 }, "connections: 1 to"},
		{"too many", func(c *Config) { c.Connections = MaxConnections + 1 }, "connections: 1 to"},
		{"a negative rate", func(c *Config) { c.Rate = -1 }, "rate: 0 to"},
		{"messages without a head", func(c *Config) { c.Size = MinSize - 1 }, "size: 20 bytes"},
		{"messages too large", func(c *Config) { c.Size = MaxSize + 1 }, "size: 20 bytes"},
		{"no ramp", func(c *Config) { c.Ramp = 0 }, "ramp: up to"},
		{"no handshakes", func(c *Config) { c.Handshakes = 0 }, "handshakes: 1 to"},
		{"no time", func(c *Config) { c.Duration = 0 }, "duration: up to"},
		{"too much of it", func(c *Config) { c.Duration = 25 * time.Hour }, "duration: up to"},
		{"a negative warm-up", func(c *Config) { c.Warmup = -1 }, "warm-up: 0s to"},
		{"an expectation of nobody", func(c *Config) { c.Expect = "surprise" }, "expect: echo"},
		{"no URL", func(c *Config) { c.URL = "" }, "the URL is wss://"},
		{"a URL of pages", func(c *Config) { c.URL = "https://app.example.com/" }, "the URL is wss://"},
		{"a URL with a password", func(c *Config) { c.URL = "wss://a:b@app.example.com/" }, "name or password"},
		{"a URL with a fragment", func(c *Config) { c.URL = "wss://app.example.com/#a" }, "fragment"},
		{"plaintext over the network", func(c *Config) { c.URL = "ws://app.example.com/" }, "loopback"},
		{"plaintext to a name that begins like an address", func(c *Config) { c.URL = "ws://127.0.0.1.example.com/" }, "loopback"},
		{"plaintext on this machine", func(c *Config) { c.URL = "ws://127.0.0.1:3000/" }, ""},
		{"plaintext on this machine, by name", func(c *Config) { c.URL = "ws://localhost/" }, ""},
		{"plaintext on this machine, IPv6", func(c *Config) { c.URL = "ws://[::1]:3000/" }, ""},
		{"the control channel", func(c *Config) { c.Protocols = []string{"sallyport.v1"} }, "is spoken here"},
		{"a subprotocol that is none", func(c *Config) { c.Protocols = []string{"a b"} }, "not a token"},
		{"a header that breaks out", func(c *Config) { c.Header = http.Header{"Origin": {"a\r\nb: c"}} }, "Origin"},
		{"the third bearer breaks out", func(c *Config) { c.Bearers = []string{"a", "b", "c\n"} }, "Authorization"},
		{"a header of the handshake", func(c *Config) { c.Header = http.Header{"Upgrade": {"h2c"}} }, "may not be set"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := config(func(c *Config) { c.URL = "wss://app.example.com/ws" })
			row.change(&c)
			_, err := c.check()
			if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
	c := config(func(c *Config) { c.URL, c.Connections, c.Size, c.Ramp = "", 0, 0, 0 })
	if _, err := Run(t.Context(), c); err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("all mistakes are reported at once: got %v", err)
	}
}

func TestAddresses(t *testing.T) {
	for _, row := range []struct{ url, host, address, target, shown, name string }{
		{"wss://app.example.com", "app.example.com", "app.example.com:443", "/", "wss://app.example.com", "app.example.com"},
		{"wss://app.example.com:8443/a?key=secret", "app.example.com:8443", "app.example.com:8443", "/a?key=secret", "wss://app.example.com:8443/a", "app.example.com"},
		{"ws://[::1]/a", "[::1]", "[::1]:80", "/a", "ws://[::1]/a", ""},
	} {
		p, err := config(func(c *Config) { c.URL = row.url }).check()
		if err != nil {
			t.Fatal(err)
		}
		name := ""
		if p.TLS != nil {
			name = p.TLS.ServerName
		}
		got := []string{p.host, p.address, p.target, p.shown, name}
		if want := []string{row.host, row.address, row.target, row.shown, row.name}; strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: got %q, want %q", row.url, got, want)
		}
	}
}

func TestCredentialsAreTakenInTurn(t *testing.T) {
	p, err := config(func(c *Config) { c.Bearers, c.Cookies = []string{"a", "b"}, []string{"x=1", "x=2", "x=3"} }).check()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"Bearer a x=1", "Bearer b x=2", "Bearer a x=3", "Bearer b x=1"} {
		h := p.headers(i)
		if got := h.Get("Authorization") + " " + h.Get("Cookie"); got != want || h.Get("Origin") != trusted {
			t.Errorf("client %d: got %q, want %q", i, got, want)
		}
	}
	if len(p.Header) != 1 {
		t.Error("the common header was changed")
	}
}
