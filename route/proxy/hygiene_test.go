package proxy

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/jwt"
)

// forged are headers that a client makes up, in the spellings that some backend
// takes for the real ones.
var forged = []string{
	"Forwarded", "X-Forwarded-For", "x-forwarded-for", "X_Forwarded_For", "X-Forwarded_For", "X.Forwarded.For", "X-Forwarded-Host", "X-Forwarded-Proto",
	"X-Forwarded-User", "X-Forwarded-Prefix", "X-FORWARDED-SSL", "X-Forwarded", "X-Real-IP", "X_Real_Ip", "x-real-ip", "X-Client-IP", "True-Client-IP",
	"CF-Connecting-IP", "Cf_Connecting_Ip", "Fastly-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Url", "X-Rewrite-Url", "X-Original-Host", "Via",
	"Sallyport-Identity", "sallyport_identity", "Sallyport-Anything", "X-User-Id", "x-user-id", "X_User_Id", "X_USER-ID", "X-User_id", "X~User~Id",
	"Forwarded-For", "Fly-Client-Ip", "Remote_Addr", "X-AppEngine-User-IP", "X-Azure-ClientIP", "WL-Proxy-Client-IP", "HTTP_X_FORWARDED_FOR",
	"X-Envoy-External-Address", "X-Envoy-Original-Path", "X-Host-Override", "X-Url-Scheme", "Front-End-Https",
	"Proxy", "Proxy-Authorization", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Http2-Settings", "Sec-Websocket-Extensions", "Sec_Websocket_Key", "Sec-Websocket-Foo",
	"Upgrade", "Expect", "Transfer_Encoding", "Content_Length",
}

func TestClean_SR85_AT82_AT83(t *testing.T) {
	for _, name := range forged {
		t.Run("SR-85 AT-82 "+name, func(t *testing.T) {
			h := http.Header{name: {"1", "2"}, "Accept": {"x"}, "Cookie": {"a=b"}, "Origin": {page}}
			Clean(h, "X-User-Id")
			if len(h) != 3 || h.Get("Accept") != "x" || h.Get("Cookie") == "" || h.Get("Origin") == "" {
				t.Errorf("left: %v", h)
			}
		})
	}
	t.Run("SR-85 AT-83 what Connection names", func(t *testing.T) {
		h := http.Header{"Connection": {"close, X-Private", "keep-alive,x_other"}, "X-Private": {"1"}, "X-Other": {"2"}, "X-Kept": {"3"}}
		Clean(h)
		if len(h) != 1 || h.Get("X-Kept") != "3" {
			t.Errorf("left: %v", h)
		}
	})
}

// What the backend reads, header by header, through the whole door.
func TestWhatTheBackendReads_SR85_AT82_AT83(t *testing.T) {
	signer, err := jwt.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	identity, err := NewIdentity(signer, page, "chat")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan *http.Request, 1)
	f := backendAt(t, func(c net.Conn) {
		r, w := accept(t, c)
		if r == nil {
			return
		}
		got <- r
		w.message()
	})
	s := &setup{proxy: Config{
		To: "ws://" + f.addr + "/base/", Identity: identity, StripCookies: []string{"__Host-sallyport"},
		IdentityHeaders: map[string]string{"X-User-Id": "sub", "X-Forwarded-User": "iss", "X-Scope": "scope", "X-Session": "sid"},
	}, id: auth.Identity{Issuer: "idp", Subject: "alice", Method: "forward", Scopes: []string{"read", "write"}}}
	_, addr := s.start(t)

	// raw, since no library would send this
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	head := "GET /ws/a%2Fb;c=d/..%2e?x=%00&y=1&x=2 HTTP/1.1\r\nHost: door.example\r\nOrigin: " + page + "\r\n" +
		"Upgrade: websocket\r\nConnection: Upgrade, X-User-Id, Sallyport-Identity, X-Forwarded-For\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n" +
		"Cookie: a=b; __Host-sallyport=secret; c=d\r\nAuthorization: Bearer app\r\nUser-Agent: test\r\n"
	for _, name := range forged {
		switch name {
		case "Upgrade", "Expect", "Trailer", "Sec-Websocket-Extensions":
			continue // the handshake itself would be refused
		}
		head += name + ": forged\r\n" + strings.ToUpper(name) + ": forged\r\n"
	}
	conn.Write([]byte(head + "\r\n"))
	r := <-got
	want := map[string]string{
		"Origin": page, "User-Agent": "test", "Authorization": "Bearer app", "Cookie": "a=b; c=d",
		"X-User-Id": "alice", "X-Forwarded-User": "idp", "X-Scope": "read write",
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "door.example",
	}
	for name, value := range want {
		if v := r.Header[name]; len(v) != 1 || v[0] != value {
			t.Errorf("%s is %q, want %q", name, v, value)
		}
	}
	for name, values := range r.Header {
		if strings.Contains(strings.Join(values, ""), "forged") {
			t.Errorf("SR-85 %s reached the backend: %q", name, values)
		}
		if want[name] == "" && name != "Sallyport-Identity" && name != "Upgrade" && name != "Connection" && !strings.HasPrefix(name, "Sec-Websocket-") {
			t.Errorf("SR-85 %s reached the backend: %q", name, values)
		}
	}
	if r.Header.Get("Sec-Websocket-Key") == "dGhlIHNhbXBsZSBub25jZQ==" || r.Header.Get("Sec-Websocket-Extensions") != "" {
		t.Error("the client's handshake reached the backend")
	}
	if v := r.Header["Connection"]; len(v) != 1 || v[0] != "Upgrade" {
		t.Errorf("Connection is %q", v)
	}
	if len(r.Header["Sallyport-Identity"]) != 1 || strings.Count(r.Header.Get("Sallyport-Identity"), ".") != 2 {
		t.Errorf("the identity is %q", r.Header["Sallyport-Identity"])
	}
	// SR-87, SR-88: the bytes of the path and the query are the client's, the rest is ours
	if want := "/base/ws/a%2Fb;c=d/..%2e?x=%00&y=1&x=2"; r.RequestURI != want {
		t.Errorf("SR-87 the target is %q, want %q", r.RequestURI, want)
	}
}

func TestAuthorization(t *testing.T) {
	for _, tt := range []struct {
		method  string
		forward bool
		want    bool
	}{
		{"jwt", false, false},
		{"jwt", true, true},
		{"application's own", false, false},
		{"forward", false, true},
		{"session", false, true},
		{"anonymous", false, true},
	} {
		p, err := New(Config{To: "ws://h", ForwardCredentials: tt.forward})
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{"Authorization": {"Bearer x"}}
		if err := p.outgoing(h, "h", netip.Addr{}, &auth.Identity{Method: tt.method}, ""); err != nil {
			t.Fatal(err)
		}
		if got := h.Get("Authorization") != ""; got != tt.want {
			t.Errorf("%s, forward_credentials %v: passes %v, want %v", tt.method, tt.forward, got, tt.want)
		}
	}
}

// A name that would break out of its line ends the handshake before the backend
// sees anything.
func TestInjection_SR89_AT84(t *testing.T) {
	for _, subject := range []string{"a\r\nX-Admin: 1", "a\nb", "a\x00", "a\x7f", " a", "a "} {
		f := backendAt(t, echo(t))
		s := &setup{proxy: Config{To: "ws://" + f.addr, IdentityHeaders: map[string]string{"X-User-Id": "sub"}}, id: auth.Identity{Subject: subject, Issuer: "i", Method: "forward"}, http: true}
		_, addr := s.start(t)
		if response, _ := dial(t, addr, "/ws/", nil); response.StatusCode != 401 {
			t.Errorf("SR-89 AT-84 %q: got status %d, want 401", subject, response.StatusCode)
		}
		request, _ := http.NewRequest("GET", "http://"+addr+"/ws/poll", nil)
		request.Header.Set("Origin", page)
		if response, err := http.DefaultClient.Do(request); err != nil || response.StatusCode != 401 {
			t.Errorf("SR-89 AT-84 %q over HTTP: got %v, %v", subject, response, err)
		}
		if f.count() != 0 {
			t.Errorf("%q: the backend was contacted", subject)
		}
	}
	// An empty claim sends nothing, not the client's.
	p, _ := New(Config{To: "ws://h", IdentityHeaders: map[string]string{"X-User-Id": "sub"}})
	h := http.Header{"X-User-Id": {"admin"}}
	if err := p.outgoing(h, "h", netip.Addr{}, &auth.Identity{}, ""); err != nil || h["X-User-Id"] != nil {
		t.Errorf("got %v, %v", h, err)
	}
}

func FuzzClean_SR89(f *testing.F) {
	f.Add("X_Forwarded-For", "a", "X-User-Id")
	f.Add("connection", "x-a, sallyport-identity", "b")
	f.Fuzz(func(t *testing.T, name, value, named string) {
		h := http.Header{name: {value}, "Connection": {named}, named: {value}, "X-Forwarded-For": {value}}
		Clean(h, "X-User-Id")
		for left := range h {
			folded := fold(left)
			if isUnwanted(folded) || folded == "x-user-id" || folded == fold(strings.Trim(named, " \t")) && !strings.Contains(named, ",") {
				t.Errorf("%q is left", left)
			}
		}
	})
}
