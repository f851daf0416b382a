package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
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

// TestWhoFetches: what is fetched is fetched as the options say, whatever else is.
func TestWhoFetches_SR97(t *testing.T) {
	pins := []string{seal.PinOf(make([]byte, 32)).String()}
	own := &http.Client{Transport: &http.Transport{}}
	for _, tt := range []struct {
		name          string
		o             Options
		keys, tickets string // the name that TLS verifies
	}{
		{"keys alone", Options{Seal: &Seal{}}, "inner.example.com", ""},
		{"tickets too", Options{Seal: &Seal{}, TicketURL: "https://app.example.com/t"}, "inner.example.com", ""},
		{"keys from elsewhere", Options{Seal: &Seal{KeysURL: "https://keys.example.com/"}, TicketURL: "https://app.example.com/t"}, "", ""},
		{"by the application's client", Options{Seal: &Seal{}, TicketURL: "https://app.example.com/t", HTTPClient: own}, "own", "own"},
	} {
		tt.o.Seal.Pins, tt.o.TLS = pins, &tls.Config{ServerName: "inner.example.com"}
		p, err := newPlan("wss://app.example.com/chat", tt.o)
		if err != nil {
			t.Fatal(err)
		}
		look := func(what string, c *http.Client, want string) {
			transport := c.Transport.(*http.Transport)
			switch {
			case want == "own":
				if transport != own.Transport {
					t.Errorf("%s: the %s are not fetched by it", tt.name, what)
				}
			case transport.TLSClientConfig.ServerName != want || transport.MaxResponseHeaderBytes != 16<<10 || !transport.DisableCompression || !transport.DisableKeepAlives:
				t.Errorf("%s: the %s are fetched from %q by %+v", tt.name, what, transport.TLSClientConfig.ServerName, transport)
			case c.CheckRedirect(nil, nil) != http.ErrUseLastResponse:
				t.Errorf("%s: redirects are followed for the %s", tt.name, what)
			}
		}
		look("keys", p.seal.http, tt.keys)
		if tt.o.TicketURL != "" {
			look("tickets", p.tickets, tt.tickets)
		}
	}
}

// TestTicketsOutside: the endpoint of tickets is outside the seal, so that its
// refusal ends nothing at once, and not a renewal either.
func TestTicketsOutside_AT28(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		reason deny.Reason
		other  bool
	}{
		{401, `{"error":"auth.revoked"}`, deny.AuthRevoked, true},
		{403, ``, 0, true},
		{404, `{"error":"http.not-found"}`, deny.HTTPNotFound, false},
		{429, `{"error":"guard.crowded"}`, deny.GuardCrowded, false},
	} {
		t.Run(fmt.Sprint(tt.status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sallyporttest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Retry-After", "3600")
					w.WriteHeader(tt.status)
					io.WriteString(w, tt.body)
				}))
				defer s.Close()
				d := newSealedDoor(t)
				p, err := newPlan(testURL, Options{
					TicketURL: "http://app.example.com/t", Seal: d.seal, DangerouslyAllowPlaintext: "a test in memory",
					NetDial: func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Dial(ctx) },
				})
				if err != nil {
					t.Fatal(err)
				}
				_, err = p.credential(t.Context(), Expiring)
				refused, ok := errors.AsType[*RefusedError](err)
				if !ok || !refused.Outside || refused.Status != tt.status || refused.Reason != tt.reason || errors.Is(err, ErrUnauthenticated) {
					t.Errorf("got %v", err)
				}
				if v := judge(err, nil); v.do != deny.Later || v.other != tt.other || v.login || v.after != 0 {
					t.Errorf("then %+v", v)
				}
			})
		})
	}
}

// TestHandshakeGivenUp: what there is of keys is erased, also if nobody was reached.
func TestHandshakeGivenUp_SR97(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newSealedDoor(t)
		p, err := newPlan(testURL, Options{
			Seal: d.seal, DangerouslyAllowPlaintext: "a test in memory",
			NetDial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no network") },
		})
		if err != nil {
			t.Fatal(err)
		}
		key, err := p.sealingKey(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		a, err := p.prepare(key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.reach(t.Context(), a, credential{}); err == nil || !strings.Contains(err.Error(), "no network") {
			t.Errorf("got %v", err)
		}
		if _, _, err := a.client.Finish(nil, seal.Credential{}, nil); seal.FaultOf(err) != seal.FaultMisuse {
			t.Errorf("the keys of a handshake that was given up are kept: %v", err)
		}
	})
}

// TestKeysComeFirst: a ticket lives for seconds, and does not age while the list
// of keys is fetched.
func TestKeysComeFirst(t *testing.T) {
	var d *sealedDoor
	bubble(t, func(t *testing.T, f *fakeDoor, o Options) {
		d = newSealedDoor(t)
		list := d.seal.Keys
		var asked []string
		d.seal.Keys = func(ctx context.Context, fresh bool) ([]byte, error) {
			asked = append(asked, "keys")
			time.Sleep(8 * time.Second)
			return list(ctx, fresh)
		}
		o.Seal, o.Ticket = d.seal, func(context.Context, Why) (string, error) {
			asked = append(asked, "ticket")
			return "sallyport.ticket.Zm9v", nil
		}
		c := f.connect(o)
		if got := strings.Join(asked, " "); got != "keys ticket" {
			t.Errorf("asked for %s", got)
		}
		closeConn(t, c)
	}, func(v *visitor) {
		s, _ := d.accept(v)
		r, err := s.Seal(nil, seal.Text, false, []byte(sealedHello))
		d.say(v, r, err)
		v.receive()
		r, err = s.End(nil, 1000, "")
		d.say(v, r, err)
		v.drop()
	})
}
