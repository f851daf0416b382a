package sallyport_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/origin"
	"github.com/sallyport/sallyport/sallyporttest"
)

// A door on the developer's own machine guards as any other: pages elsewhere can
// reach loopback.
func TestLoopbackIsNoExcuse_SR19(t *testing.T) {
	dev := func(c *sallyport.Config) {
		c.Origin = origin.Config{Trusted: []string{"http://localhost:5173"}, Hosts: []string{"localhost", "127.0.0.1"}, Dev: true}
		c.API = sallyport.API{}
	}
	const local = "GET /ws HTTP/1.1\nHost: 127.0.0.1\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
	tests := []struct {
		name, request string
		want          int
		admitted      int64
	}{
		{"the developer's page with a token", local + "Origin: http://localhost:5173\nAuthorization: Bearer ada\n\n", 101, 1},
		{"a page elsewhere", local + "Origin: https://evil.example\nAuthorization: Bearer ada\n\n", 101, 0},
		{"no token", local + "Origin: http://localhost:5173\n\n", 101, 0},
		{"a name that was made to resolve here", strings.Replace(local, "127.0.0.1", "rebound.example", 1) + "Origin: http://localhost:5173\nAuthorization: Bearer ada\n\n", 421, 0},
	}
	for _, tt := range tests {
		t.Run("SR-19 "+tt.name, func(t *testing.T) {
			var n atomic.Int64
			bubble(t, func(c *sallyport.Config) { dev(c); c.Gates[0].Route = opened{&n} }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				if got, _ := raw(t, s, tt.request); got != tt.want || n.Load() != tt.admitted {
					t.Errorf("got %d and %d admitted, want %d and %d", got, n.Load(), tt.want, tt.admitted)
				}
			})
		})
	}
}

// No extension is ever negotiated, whatever is offered.
func TestCompressionIsNeverNegotiated_SR59_AT45_AT46_AT47_AT48(t *testing.T) {
	offers := []string{
		"permessage-deflate",
		"permessage-deflate; client_max_window_bits=7",
		"permessage-deflate; server_max_window_bits=99; nosuch",
		"permessage-deflate, permessage-deflate",
		`x-unknown; a="b;c, d"`,
	}
	for _, offer := range offers {
		t.Run("AT-46 "+offer, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				status, h := raw(t, s, good+"Sec-WebSocket-Extensions: "+offer+"\n\n")
				if status != 101 || len(h.Values("Sec-WebSocket-Extensions")) != 0 {
					t.Errorf("got %d, extensions %q", status, h.Values("Sec-WebSocket-Extensions"))
				}
			})
		})
	}
	for name, frames := range map[string][]byte{
		"AT-48 a compressed frame":           {0xc1, 0x80, 0, 0, 0, 0},
		"AT-48 RSV1 on a continuation":       append(ws.AppendFrame(nil, ws.Client, false, ws.Text, []byte("a")), 0xc0, 0x80, 0, 0, 0, 0),
		"AT-45 a bomb, of which one byte is": {0xc2, 0xfe, 0xff, 0xff, 0, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				c := s.Connect(t, as("ada"))
				c.Raw(frames)
				wantReason(t, c, deny.WSProtocol)
			})
		})
	}
}

func TestEndpointsReadJSONStrictly_AT56(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		defer s.close()
		for name, body := range map[string]string{
			"a name twice":   `{"gate":"/partner","gate":"/ws"}`,
			"nested deeply":  `{"gate":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`,
			"a number":       `{"gate":1e999999999}`,
			"an array":       `["/ws"]`,
			"invalid UTF-8":  "{\"gate\":\"\xff\"}",
			"nothing":        ``,
			"half an object": `{"gate":"/ws"`,
		} {
			if status, _, _ := s.call("POST", "/sallyport/ticket", body, s.page()...); status != 400 {
				t.Errorf("AT-56 %s: got %d, want 400", name, status)
			}
		}
	})
}

// costly stands for a signature check: how often was it made?
type costly struct{ n *atomic.Int64 }

func (a costly) Authenticate(ctx context.Context, r *http.Request) (auth.Identity, error) {
	a.n.Add(1)
	return named{}.Authenticate(ctx, r)
}

func TestNobodyIsAuthenticatedWithoutAPlace_AT58(t *testing.T) {
	var n atomic.Int64
	change := func(c *sallyport.Config) {
		c.Auth = costly{&n}
		c.Limits = guard.Limits{PerAddress: 3}
	}
	bubble(t, change, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		for range 3 {
			s.Connect(t, as("ada"))
		}
		for range 100 {
			if c := s.Try(t, as("ada")); c.Response.StatusCode != 429 {
				t.Fatalf("got %s, want 429", c.Response.Status)
			}
		}
		for range 5 {
			s.Try(t, sallyporttest.Options{Path: "/ws", Origin: "https://evil.example"})
		}
		if got := n.Load(); got != 3 {
			t.Errorf("AT-58 %d credentials were checked, want 3", got)
		}
	})
}

// Knowing the id of somebody's connection is worth nothing.
func TestConnectionIDsAreNoRights_AT79(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		defer s.close()
		ada := s.connect(s.ticket(s.page()...))
		var id string
		for c := range s.door.Conns() {
			id = c.ID()
		}
		if len(id) != 32 {
			t.Errorf("id %q is not of 128 bits", id)
		}
		bob := "Cookie: " + s.login("bob")
		status, _, _ := s.call("POST", "/sallyport/renew", `{"gate":"/ws","connection":"`+id+`"}`, asJSON, "Origin: "+own, bob)
		if status != 409 {
			t.Errorf("renewal of another's connection: got %d, want 409", status)
		}
		ada.Text("untouched")
		ada.WantText("untouched")
		time.Sleep(time.Second)
	})
}
