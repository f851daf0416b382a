package sallyport_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/origin"
	"github.com/sallyport/sallyport/sallyporttest"
)

// opened counts what a refused handshake must never reach.
type opened struct{ n *atomic.Int64 }

func (o opened) Open(ctx context.Context, h *sallyport.Handshake) (sallyport.Sink, error) {
	o.n.Add(1)
	return echo.Open(ctx, h)
}

func (o opened) Authenticate(ctx context.Context, r *http.Request) (auth.Identity, error) {
	o.n.Add(1)
	return named{}.Authenticate(ctx, r)
}

func TestUntrustedOriginIsRefusedBeforeAnythingElse_SR11_SR21_AT01(t *testing.T) {
	origins := []string{
		"https://evil.example", "https://app.example.com.evil.com", "https://sub.app.example.com", "https://app.example.com:8443",
		"http://app.example.com", "null", "https://app.example.com.", "https://APP.example.com", "-",
	}
	for _, o := range origins {
		t.Run("SR-11 AT-01 AT-02 AT-03 AT-04 origin "+o, func(t *testing.T) {
			var n atomic.Int64
			for _, refuse := range []sallyport.Refuse{sallyport.RefuseClose, sallyport.RefuseHTTP} {
				change := func(c *sallyport.Config) {
					c.Auth, c.Gates[0].Route, c.Gates[0].Refuse = opened{&n}, opened{&n}, refuse
				}
				bubble(t, change, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
					o := sallyporttest.Options{Path: "/ws", Origin: o, Header: http.Header{"Authorization": {"Bearer ada"}}}
					c := s.Try(t, o)
					if refuse == sallyport.RefuseHTTP {
						if c.Response.StatusCode != 403 {
							t.Errorf("got %s, want 403", c.Response.Status)
						}
						return
					}
					wantReason(t, c, deny.OriginUntrusted)
				})
			}
			if n.Load() != 0 {
				t.Errorf("the authenticator or the route was asked")
			}
		})
	}
}

func TestCredentials_SR39(t *testing.T) {
	tests := []struct {
		name    string
		options sallyporttest.Options
		want    deny.Reason
	}{
		{"none", sallyporttest.Options{Path: "/ws"}, deny.AuthMissing},
		{"SR-38 AT-69 a token in the URL, even with a good one in the header", sallyporttest.Options{Path: "/ws?access_token=x", Header: http.Header{"Authorization": {"Bearer ada"}}}, deny.AuthInURL},
		{"SR-38 AT-69 a ticket in the URL", sallyporttest.Options{Path: "/ws?ticket=x"}, deny.AuthInURL},
		{"expired", as("ada;-1s"), deny.AuthExpired},
		{"AT-68 good for longer than revocations are kept", as("ada;200h"), deny.AuthInvalid},
	}
	for _, tt := range tests {
		for _, protocols := range [][]string{nil, {"chat"}, {"sallyport", "chat"}} {
			t.Run(fmt.Sprintf("%s, offering %v", tt.name, protocols), func(t *testing.T) {
				bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
					o := tt.options
					o.Protocols = protocols
					c := s.Connect(t, o)
					if want := strings.Join(protocols[:min(1, len(protocols))], ""); c.Protocol != want {
						t.Errorf("selected %q, want %q", c.Protocol, want)
					}
					wantReason(t, c, tt.want)
				})
			})
		}
	}
}

// raw sends a request as it is and returns the status, and what follows.
func raw(t *testing.T, s *sallyporttest.Server, request string) (int, http.Header) {
	t.Helper()
	socket, err := s.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if _, err := io.WriteString(socket, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(socket), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header
}

const good = "GET /ws HTTP/1.1\nHost: app.example.com\nUpgrade: websocket\nConnection: Upgrade\nOrigin: https://app.example.com\n" +
	"Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nAuthorization: Bearer ada\n"

func TestMalformedHandshakes(t *testing.T) {
	tests := []struct {
		name    string
		request string
		want    int
	}{
		{"a good one", good + "\n", 101},
		{"SR-16 two Origin lines, the good one first", good + "Origin: https://evil.example\n\n", 400},
		{"SR-16 two keys", good + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n", 400},
		{"SR-09 version 8", strings.Replace(good, "13", "8", 1) + "\n", 426},
		{"SR-81 a body", good + "Content-Length: 5\n\nhello", 400},
		{"SR-81 a chunked body", good + "Transfer-Encoding: chunked\n\n0\n\n", 400},
		{"SR-80 h2c", strings.Replace(good, "Upgrade: websocket", "Upgrade: h2c", 1) + "\n", 400},
		{"SR-80 AT-26 two upgrades", strings.Replace(good, "Upgrade: websocket", "Upgrade: websocket, h2c", 1) + "\n", 400},
		{"SR-12 SR-13 AT-05 another host with its own origin", strings.ReplaceAll(good, "app.example.com", "evil.example") + "\n", 421},
		{"SR-83 AT-87 a frame before the 101", good + "\n\x81\x80\x00\x00\x00\x00", 400},
		{"SR-83 AT-87 a second request before the 101", good + "\n" + good + "\n", 400},
		{"a ticket offered alone", good + "Sec-WebSocket-Protocol: sallyport.ticket.abc\n\n", 400},
		{"no upgrade at all", "GET /ws HTTP/1.1\nHost: app.example.com\n\n", 426},
		{"SR-89 a path beside the gate", strings.Replace(good, "/ws ", "/other ", 1) + "\n", 404},
		{"SR-17 Sec-Fetch-Mode that is no WebSocket's is refused by close code", good + "Sec-Fetch-Mode: cors\n\n", 101},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				status, h := raw(t, s, tt.request)
				if status != tt.want {
					t.Errorf("got %d, want %d", status, tt.want)
				}
				for name, want := range map[string]string{
					"Strict-Transport-Security": "max-age=31536000; includeSubDomains; preload", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
				} {
					if got := h.Get(name); got != want {
						t.Errorf("SR-08 SR-27 %s: got %q, want %q", name, got, want)
					}
				}
				if !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'self'") {
					t.Error("SR-26 no Content-Security-Policy")
				}
				if status == 426 && strings.Contains(tt.name, "version") && h.Get("Sec-WebSocket-Version") != "13" {
					t.Error("no Sec-WebSocket-Version in the answer")
				}
			})
		})
	}
}

func TestTooManyRefusalsBecome429_SR73(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		evil := sallyporttest.Options{Path: "/ws", Origin: "https://evil.example"}
		for range 5 {
			wantReason(t, s.Connect(t, evil), deny.OriginUntrusted)
		}
		c := s.Try(t, evil)
		if c.Response.StatusCode != 429 || c.Response.Header.Get("Retry-After") == "" {
			t.Errorf("the sixth: got %s, want 429 with Retry-After", c.Response.Status)
		}
		s.Connect(t, as("ada")) // one that passes is not affected
		time.Sleep(11 * time.Second)
		wantReason(t, s.Connect(t, evil), deny.OriginUntrusted)
	})
}

func TestPathsThatOnlyLookLikeAGate_SR87_AT89(t *testing.T) {
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			t.Errorf("%s: Upgrade reached the application", r.RequestURI)
		}
		w.WriteHeader(http.StatusTeapot)
	})
	tests := map[string]int{
		"/":                    418,
		"/w":                   418,
		"/wss":                 418,
		"/ws/":                 400, // cleaned it is the gate
		"/%77s":                400,
		"/%2577s":              400,
		"/./ws":                400,
		"//ws":                 400,
		"/x/../ws":             400,
		"/x/%2e%2e/ws":         400,
		"/WS":                  400,
		"/ws;x=1":              400,
		"/ws%3bx":              400,
		`/\ws`:                 400,
		"/x%2f..%2fws":         400,
		`/0\0/../ws`:           400, // for a server that knows no backslash
		`/0%5c0/../ws`:         400,
		"/Sallyport/ticket":    400,
		"/%73allyport/ticket":  400,
		"/sallyport":           404,
		"/sallyport/nosuch":    404,
		"/page%20with%20space": 418,
		"/%zz":                 400,
	}
	for path, want := range tests {
		t.Run("SR-87 AT-89 "+path, func(t *testing.T) {
			bubble(t, func(c *sallyport.Config) { c.App = app }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				if got, _ := raw(t, s, "GET "+path+" HTTP/1.1\nHost: app.example.com\nUpgrade: websocket\nConnection: Upgrade\n\n"); got != want {
					t.Errorf("got %d, want %d", got, want)
				}
			})
		})
	}
}

func TestPrograms_SR14(t *testing.T) {
	program := func(c *sallyport.Config) { c.Origin.Without = origin.AllowBearer }
	tests := []struct {
		name   string
		header http.Header
		want   deny.Reason
	}{
		{"a bearer token alone", http.Header{"Authorization": {"Bearer ada"}}, 0},
		{"a cookie", http.Header{"Cookie": {"a=b"}}, deny.OriginUntrusted},
		{"a bearer token and a cookie", http.Header{"Authorization": {"Bearer ada"}, "Cookie": {"a=b"}}, deny.OriginUntrusted},
		{"nothing", nil, deny.OriginUntrusted},
	}
	for _, tt := range tests {
		t.Run("SR-14 "+tt.name, func(t *testing.T) {
			bubble(t, program, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				c := s.Connect(t, sallyporttest.Options{Path: "/ws", Origin: "-", Header: tt.header})
				if tt.want != 0 {
					wantReason(t, c, tt.want)
					return
				}
				c.Text("hi")
				c.WantText("hi")
			})
		})
	}
}

func TestConfigMistakesComeAllAtOnce(t *testing.T) {
	_, err := sallyport.New(sallyport.Config{
		Origin: origin.Config{Trusted: []string{"*"}},
		Gates:  []sallyport.Gate{{Path: "/a//b", Route: echo}, {Path: "/x"}, {Path: "/y", Route: echo}, {Path: "/y", Route: echo}},
		API:    sallyport.API{Prefix: "nope"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"auth:", `"*"`, "/a//b", "no route", "given twice", "nope"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not among:\n%v", want, err)
		}
	}
}

func TestHostsDefaultToThoseOfTheOrigins_SR12_SR13(t *testing.T) {
	bubble(t, func(c *sallyport.Config) { c.Origin.Hosts = nil }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		s.Connect(t, as("ada"))
		o := as("ada")
		o.Host = "evil.example"
		if c := s.Try(t, o); c.Response.StatusCode != 421 {
			t.Errorf("SR-13 another host: got %s, want 421", c.Response.Status)
		}
	})
}

// Connection and Upgrade are errors in HTTP/2, which a server of the user's own
// may speak.
func TestNoUpgradeOverHTTP2(t *testing.T) {
	door, err := sallyport.New(config(nil))
	if err != nil {
		t.Fatal(err)
	}
	for major, want := range map[int]string{1: "websocket", 2: ""} {
		r := httptest.NewRequest("GET", "/ws", nil)
		r.Host, r.ProtoMajor = "app.example.com", major
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		if w.Code != 426 || w.Header().Get("Upgrade") != want {
			t.Errorf("HTTP/%d: got %d, Upgrade %q, want 426 and %q", major, w.Code, w.Header().Get("Upgrade"), want)
		}
	}
}
