package client

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/sallyporttest"
	"github.com/sallyport/sallyport/seal"
)

func source(s string, err error) Source {
	return func(context.Context, Why) (string, error) { return s, err }
}

func TestOptions_SR01(t *testing.T) {
	const url = "wss://app.example.com/chat"
	some := source("x", nil)
	pin := seal.PinOf(make([]byte, 32)).String()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, _ := ed25519.GenerateKey(nil)
	tests := []struct {
		name string
		url  string
		o    Options
		want string // in the error; empty: there is none
	}{
		{"the zero value", url, Options{}, ""},
		{"no path", "wss://app.example.com", Options{}, ""},
		{"a port and a query", "wss://app.example.com:8443/chat?room=1", Options{}, ""},
		{"an address of version 6", "wss://[::1]:8443/", Options{}, ""},
		{"plaintext", "ws://app.example.com/", Options{}, "wss://"},
		{"plaintext with a reason", "ws://app.example.com/", Options{DangerouslyAllowPlaintext: "in a test"}, ""},
		{"http", "https://app.example.com/", Options{}, "scheme"},
		{"no URL at all", "%", Options{}, "wss://host/path"},
		{"no host", "wss:///chat", Options{}, "wss://host/path"},
		{"a user", "wss://ada:secret@app.example.com/", Options{}, "user"},
		{"a fragment", url + "#top", Options{}, "fragment"},
		{"an empty fragment", url + "#", Options{}, "fragment"},
		{"a host that ends its line", "wss://app.example.com%0d%0ax/", Options{}, ""},
		{"a query that ends its line", "wss://app.example.com/?a\r\nb", Options{}, "wss://host/path"},
		{"a verification that is none", url, Options{TLS: &tls.Config{InsecureSkipVerify: true}}, "InsecureSkipVerify"},
		{"a verification of one's own", url, Options{TLS: &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return nil }}}, ""},
		{"an old TLS", url, Options{TLS: &tls.Config{MinVersion: tls.VersionTLS11}}, "MinVersion"},
		{"two credentials", url, Options{Ticket: some, Token: some}, "one credential"},
		{"two sources of tickets", url, Options{Ticket: some, TicketURL: "https://app.example.com/t"}, "one credential"},
		{"a token for tickets", url, Options{Token: some, TicketURL: "https://app.example.com/t"}, ""},
		{"two authorizations", url, Options{Token: some, Header: http.Header{"Authorization": {"Basic eA=="}}}, "Authorization"},
		{"tickets over plaintext", url, Options{TicketURL: "http://app.example.com/t"}, "https"},
		{"tickets from nowhere", url, Options{TicketURL: "/t"}, "TicketURL"},
		{"a protocol of ours", url, Options{Protocols: []string{"sallyport.v1"}}, "not the application's"},
		{"a header of the handshake", url, Options{Header: http.Header{"Sec-WebSocket-Key": {"x"}}}, "may not be set"},
		{"a header that ends its line", url, Options{Header: http.Header{"X-A": {"b\r\nc"}}}, "not valid"},
		{"two authorizations, one spelled otherwise", url, Options{Token: some, Header: http.Header{"authorization": {"Basic eA=="}}}, "Authorization"},
		{"a seal", url, Options{Seal: &Seal{Pins: []string{pin}}}, ""},
		{"a seal for an address of version 6", "wss://[::1]:8443/", Options{Seal: &Seal{Pins: []string{pin, pin}, Suites: []seal.Suite{seal.Classical}}}, ""},
		{"a seal without pins", url, Options{Seal: &Seal{}}, "Pins must name"},
		{"a pin that is none", url, Options{Seal: &Seal{Pins: []string{pin, "sp1.x"}}}, "Pins[1]"},
		{"a seal on what is plain", url, Options{Plain: true, Seal: &Seal{Pins: []string{pin}}}, "Plain must be false"},
		{"a seal, and a credential outside", url, Options{Header: http.Header{"authorization": {"x"}}, Seal: &Seal{Pins: []string{pin}}}, "use Token"},
		{"a seal, and a cookie outside", url, Options{Header: http.Header{"cookie": {"x"}}, Seal: &Seal{Pins: []string{pin}}}, "use Token"},
		{"a seal, and a token for tickets that anybody in between could use", url,
			Options{Token: some, TicketURL: "https://app.example.com/t", Seal: &Seal{Pins: []string{pin}}}, "Device must be given"},
		{"a seal, and a token for tickets that is bound", url,
			Options{Token: some, TicketURL: "https://app.example.com/t", Seal: &Seal{Pins: []string{pin}, Device: ed}}, ""},
		{"a seal, and a cookie for tickets", url, Options{TicketURL: "https://app.example.com/t", Header: http.Header{"Cookie": {"x"}}, Seal: &Seal{Pins: []string{pin}}}, ""},
		{"a suite that is none", url, Options{Seal: &Seal{Pins: []string{pin}, Suites: []seal.Suite{7}}}, "unknown"},
		{"a device that cannot sign", url, Options{Seal: &Seal{Pins: []string{pin}, Device: p384}}, "P-256"},
		{"keys over plaintext", url, Options{Seal: &Seal{Pins: []string{pin}, KeysURL: "http://app.example.com/k"}}, "KeysURL must be https"},
		{"two sources of keys", url, Options{Seal: &Seal{Pins: []string{pin}, KeysURL: "https://a.example/k", Keys: func(context.Context, bool) ([]byte, error) { return nil, nil }}}, "KeysURL must be empty"},
		{"a path that the seal cannot name", url + strings.Repeat("x", 9000), Options{Seal: &Seal{Pins: []string{pin}}}, "the path and query"},
		{"a host that the seal cannot name", "wss://bücher.example/", Options{Seal: &Seal{Pins: []string{pin}}}, "the host"},
		{"a protocol that the seal cannot name", url, Options{Protocols: []string{strings.Repeat("x", 250)}, Seal: &Seal{Pins: []string{pin}}}, "the subprotocol"},
		{"a seal, and a protocol of ours", url, Options{Protocols: []string{"sallyport.v1"}, Seal: &Seal{Pins: []string{pin}}}, "not the application's"},
		{"a negative time", url, Options{ConnectTimeout: -1}, "negative"},
		{"a negative size", url, Options{Buffer: -1}, "negative"},
		{"messages without a bound", url, Options{MaxMessage: 1 << 40}, "1 GiB"},
	}
	for _, test := range tests {
		_, err := New(test.url, test.o)
		if test.name == "a host that ends its line" {
			if err == nil {
				t.Errorf("%s: no error", test.name)
			}
			continue
		}
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells a secret: %v", test.name, err)
		}
	}
	_, err = New("ws://app.example.com/", Options{Protocols: []string{"a", "a"}, Buffer: -1})
	for _, want := range []string{"wss://", "twice", "Buffer"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("not all mistakes at once: %v lacks %q", err, want)
		}
	}
}

func TestCredentials_SR93(t *testing.T) {
	tests := []struct {
		name string
		o    Options
		want credential
		err  string
	}{
		{"none", Options{}, credential{}, ""},
		{"a ticket", Options{Ticket: source("sallyport.ticket.Zm9v", nil)}, credential{ticket: "sallyport.ticket.Zm9v"}, ""},
		{"a token", Options{Token: source("secret.a-b_c", nil)}, credential{token: "secret.a-b_c"}, ""},
		{"no ticket at all", Options{Ticket: source("secret", nil)}, credential{}, "no ticket"},
		{"an empty ticket", Options{Ticket: source("sallyport.ticket.", nil)}, credential{}, "no ticket"},
		{"a ticket that ends its line", Options{Ticket: source("sallyport.ticket.Zm9v\r\n", nil)}, credential{}, "no ticket"},
		{"a ticket of too many bytes", Options{Ticket: source("sallyport.ticket."+strings.Repeat("Zm9v", 200), nil)}, credential{}, "no ticket"},
		{"a token that ends its line", Options{Token: source("secret\r\nCookie: a", nil)}, credential{}, "no token"},
		{"an empty token", Options{Token: source("", nil)}, credential{}, "empty"},
		{"a token of too many bytes", Options{Token: source(strings.Repeat("x", 8193), nil)}, credential{}, "8 KiB"},
		{"an error", Options{Token: source("secret", ErrUnauthenticated)}, credential{}, "sign-in needed"},
	}
	for _, test := range tests {
		p, err := newPlan("wss://app.example.com/", test.o)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.credential(t.Context(), Connecting)
		if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: got %v, %v, want %v, %q", test.name, got, err, test.want, test.err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells a secret: %v", test.name, err)
		}
	}
}

func TestTicketURL(t *testing.T) {
	const ok = `{"ticket":"sallyport.ticket.Zm9v","protocol":"sallyport","expires_in":10}`
	tests := []struct {
		name   string
		status int
		header http.Header
		body   string
		want   string // a ticket
		check  func(error) bool
	}{
		{"a ticket", 200, nil, ok, "sallyport.ticket.Zm9v", nil},
		{"sign-in needed", 401, nil, `{"error":"auth.missing","message":"…"}`, "", func(err error) bool {
			refused, is := errors.AsType[*RefusedError](err)
			return errors.Is(err, ErrUnauthenticated) && is && refused.Reason == deny.AuthMissing
		}},
		{"not for you", 403, nil, ``, "", func(err error) bool { return errors.Is(err, ErrUnauthenticated) }},
		{"later", 429, http.Header{"Retry-After": {"9"}}, `{"error":"guard.crowded"}`, "", func(err error) bool {
			refused, is := errors.AsType[*RefusedError](err)
			return is && refused.Reason == deny.GuardCrowded && refused.RetryAfter == 9*time.Second && judge(err, nil).do == deny.Later
		}},
		{"no such gate", 404, nil, `{"error":"http.not-found"}`, "", func(err error) bool { return judge(err, nil).do == deny.Never }},
		{"a redirect is not followed", 307, http.Header{"Location": {"http://evil.example/"}}, ``, "", func(err error) bool {
			refused, is := errors.AsType[*RefusedError](err)
			return is && refused.Status == 307
		}},
		{"no JSON", 200, nil, `<html>`, "", nil},
		{"a name twice", 200, nil, `{"ticket":"sallyport.ticket.Zm9v","ticket":"sallyport.ticket.YmFy"}`, "", nil},
		{"no ticket in it", 200, nil, `{"ticket":7}`, "", nil},
		{"too long", 200, nil, ok + strings.Repeat(" ", 5000), "", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sallyporttest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					var gate map[string]string
					json.Unmarshal(body, &gate)
					if r.Method != "POST" || r.URL.Path != "/sallyport/ticket" || r.Header.Get("Authorization") != "Bearer ada" ||
						r.Header.Get("Cookie") != "a=b" || r.Header.Get("Content-Type") != "application/json" || len(gate) != 1 || gate["gate"] != "/chat" {
						t.Errorf("asked with %s %s %v %s", r.Method, r.URL, r.Header, body)
					}
					for name, values := range test.header {
						w.Header()[name] = values
					}
					w.WriteHeader(test.status)
					io.Copy(w, bytes.NewReader([]byte(test.body)))
				}))
				defer s.Close()
				p, err := newPlan("ws://app.example.com/chat?room=1", Options{
					TicketURL: "http://app.example.com/sallyport/ticket", Token: source("ada", nil), Header: http.Header{"Cookie": {"a=b"}},
					DangerouslyAllowPlaintext: "in memory",
					NetDial:                   func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Dial(ctx) },
				})
				if err != nil {
					t.Fatal(err)
				}
				got, err := p.credential(t.Context(), Connecting)
				if got.token != "" || got.ticket != test.want || (err == nil) != (test.want != "") || test.check != nil && !test.check(err) {
					t.Errorf("got %v, %v", got, err)
				}
			})
		})
	}
}
