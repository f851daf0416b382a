package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/auth/jwt"
	"github.com/sallyport/sallyport/deny"
)

// ask sends a raw request to the door and reads the response.
func ask(t *testing.T, addr, head, body string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	method, _, _ := strings.Cut(head, " ")
	io.WriteString(conn, strings.ReplaceAll(head, "\n", "\r\n")+"\r\nHost: door.example\r\nContent-Length: "+fmt.Sprint(len(body))+"\r\n\r\n"+body)
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Requests on the gate's path that are no upgrade reach the same backend, clean.
func TestGuardedRequests_SR85(t *testing.T) {
	signer, _ := jwt.NewSigner()
	identity, err := NewIdentity(signer, page, "chat")
	if err != nil {
		t.Fatal(err)
	}
	var got *http.Request
	var body []byte
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "X-Secret")
		h["access_control_allow_credentials"] = []string{"true"}
		h.Set("Cross-Origin-Resource-Policy", "same-site")
		h["Set-Cookie"] = []string{"io=1", "__Host-sallyport=fixed; Path=/; Secure", " __Host-sallyport =; Max-Age=0"}
		h.Set("Location", "http://127.0.0.1/elsewhere")
		w.WriteHeader(302)
		io.WriteString(w, "polled")
	}))
	defer backend.Close()
	s := &setup{proxy: Config{
		To: "ws://" + backend.Listener.Addr().String() + "/base", Identity: identity,
		IdentityHeaders: map[string]string{"X-User-Id": "sub"}, StripCookies: []string{"__Host-sallyport"},
	}, http: true}
	_, addr := s.start(t)
	response := ask(t, addr, "POST /ws/socket.io/%2e?EIO=4;x&t=%2F HTTP/1.1\nOrigin: "+page+`
X_User_Id: root
Connection: X-User-Id
Sallyport-Identity: forged
X-Forwarded-For: 6.6.6.6
Cookie: io=1; __Host-sallyport=secret`, "hello")
	if response.StatusCode != 302 || text(t, response) != "polled" || strings.Join(response.Header["Set-Cookie"], "|") != "io=1" || response.Header.Get("Location") == "" {
		t.Errorf("got %v", response)
	}
	if v := response.Header["Access-Control-Allow-Origin"]; len(v) != 1 || v[0] != page {
		t.Errorf("CORS for %q", v)
	}
	for name, want := range map[string]string{"Cross-Origin-Resource-Policy": "cross-origin", "Access-Control-Expose-Headers": "", "Access_control_allow_credentials": ""} {
		if got := strings.Join(response.Header[name], "|"); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if response.Header.Get("Content-Security-Policy") == "" {
		t.Error("measure 3 is missing")
	}
	if got.RequestURI != "/base/ws/socket.io/%2e?EIO=4;x&t=%2F" || got.Method != "POST" || string(body) != "hello" {
		t.Errorf("SR-87 the backend got %s %s %q", got.Method, got.RequestURI, body)
	}
	for name, want := range map[string]string{
		"X-User-Id": "alice", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "door.example", "Cookie": "io=1", "Origin": page,
	} {
		if v := got.Header[name]; len(v) != 1 || v[0] != want {
			t.Errorf("SR-85 %s: got %q, want %q", name, v, want)
		}
	}
	if v := got.Header["Sallyport-Identity"]; len(v) != 1 || v[0] == "forged" || got.Header["X_user_id"] != nil {
		t.Errorf("SR-85 the identity is %q, %v", v, got.Header)
	}
	// without a gate before it, nobody is let in
	p, _ := New(s.proxy)
	w := httptest.NewRecorder()
	if p.HTTP().ServeHTTP(w, httptest.NewRequest("GET", "/", nil)); w.Code != 500 {
		t.Errorf("a request that passed no gate got %d", w.Code)
	}
}

// A whole site behind the door: nothing that asks for an upgrade passes as one,
// and whatever the site answers is no tunnel.
func TestApp_SR82_SR85_AT86(t *testing.T) {
	heads := make(chan string, 8)
	f := backendAt(t, func(c net.Conn) {
		in := bufio.NewReader(c)
		for {
			var head strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if head.WriteString(line); line == "\r\n" {
					break
				}
			}
			heads <- head.String()
			switch {
			case strings.Contains(head.String(), "/switch"):
				io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
			case strings.Contains(head.String(), "/bare"):
				io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
			case strings.Contains(head.String(), "/hints"):
				io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			default:
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Frame-Options: SAMEORIGIN\r\n\r\nok")
			}
		}
	})
	app, err := App("http://"+f.addr, Config{IdentityHeaders: map[string]string{"X-User-Id": "sub"}, StripCookies: []string{"__Host-sallyport"}})
	if err != nil {
		t.Fatal(err)
	}
	s := &setup{proxy: Config{To: "ws://" + f.addr}, app: app}
	_, addr := s.start(t)

	response := ask(t, addr, "GET /page?x=%00;y HTTP/1.1\nUpgrade: websocket\nConnection: Upgrade, X-Gone\nX-Gone: 1\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"+
		"Sec-WebSocket-Version: 13\nSec-WebSocket-Protocol: sallyport.ticket.x\nX_User-Id: root\nX-Forwarded-For: 1.2.3.4\nCookie: __Host-sallyport=s\nAuthorization: Basic app", "")
	head := <-heads
	if response.StatusCode != 200 || text(t, response) != "ok" || response.Header.Get("X-Frame-Options") != "SAMEORIGIN" {
		t.Errorf("got %v", response)
	}
	want := "GET /page?x=%00;y HTTP/1.1\r\nHost: door.example\r\nAuthorization: Basic app\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: door.example\r\nX-Forwarded-Proto: https\r\n\r\n"
	if head != want {
		t.Errorf("SR-85 the site got\n%s\nwant\n%s", head, want)
	}
	for path, status := range map[string]int{"/switch": 502, "/bare": 502, "/hints": 200} {
		response := ask(t, addr, "GET "+path+" HTTP/1.1\nUpgrade: websocket\nConnection: Upgrade", "")
		if response.StatusCode != status {
			t.Errorf("SR-82 AT-86 %s: got %d, want %d", path, response.StatusCode, status)
		}
		if response.Header.Get("Content-Security-Policy") == "" || response.Header.Get("Link") != "" {
			t.Errorf("%s: headers %v", path, response.Header)
		}
		<-heads
	}
	for _, head := range []string{"GET //evil.example/ HTTP/1.1", "TRACE / HTTP/1.1"} {
		if response := ask(t, addr, head, ""); response.StatusCode < 400 || response.StatusCode > 405 {
			t.Errorf("SR-88 %s: got %d", head, response.StatusCode)
		}
	}
	select {
	case head := <-heads:
		t.Errorf("the site got %q", head)
	default:
	}
}

// What a site can do wrong is answered by the door.
func TestHTTPFailures(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(net.Conn)
		want deny.Reason
	}{
		{"closes", func(net.Conn) {}, deny.BackendLost},
		{"is silent", func(c net.Conn) { io.Copy(io.Discard, c) }, deny.BackendTimeout},
		{"sends a giant head", func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nX-A: "+strings.Repeat("a", 70<<10)+"\r\n\r\n")
		}, deny.BackendProtocol},
		{"sends garbage", func(c net.Conn) { io.WriteString(c, "SSH-2.0-x\r\n\r\n") }, deny.BackendProtocol},
	} {
		f := backendAt(t, func(c net.Conn) {
			if r, _ := request(t, c); r != nil {
				tt.do(c)
			}
		})
		s := &setup{proxy: Config{To: "ws://" + f.addr, ResponseTimeout: 200 * time.Millisecond}, http: true}
		_, addr := s.start(t)
		response := ask(t, addr, "GET /ws/ HTTP/1.1\nOrigin: "+page, "")
		if body := text(t, response); response.StatusCode != tt.want.Status() || !strings.Contains(body, `"`+tt.want.Code()+`"`) {
			t.Errorf("a backend that %s: got %d %s, want %s", tt.name, response.StatusCode, body, tt.want)
		}
		if response.Header.Get("Cache-Control") != "no-store" || response.Header.Get("Access-Control-Allow-Origin") != page {
			t.Errorf("headers %v", response.Header)
		}
	}
	s := &setup{proxy: Config{To: "unix:" + filepath.Join(t.TempDir(), "none")}, http: true}
	_, addr := s.start(t)
	if response := ask(t, addr, "GET /ws/ HTTP/1.1\nOrigin: "+page, ""); response.StatusCode != 502 || !strings.Contains(text(t, response), "backend.unreachable") {
		t.Errorf("got %v", response)
	}
}

// A backend may answer piece by piece, and each piece arrives at once.
func TestResponsesStream(t *testing.T) {
	next := make(chan struct{})
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	backend := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "%d", i)
			w.(http.Flusher).Flush()
			<-next
		}
	})}
	go backend.Serve(l)
	defer backend.Close()
	s := &setup{proxy: Config{To: "unix:" + l.Addr().String()}, http: true}
	_, addr := s.start(t)
	response := ask(t, addr, "GET /ws/ HTTP/1.1\nOrigin: "+page, "")
	for i := range 3 {
		var b [1]byte
		if _, err := io.ReadFull(response.Body, b[:]); err != nil || b[0] != '0'+byte(i) {
			t.Errorf("got %q, %v", b, err)
		}
		next <- struct{}{}
	}
}

// Many requests use few connections, and a large body passes unchanged.
func TestConnectionsAreKept(t *testing.T) {
	f := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Write(b)
	}))
	conns := 0
	f.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns++
		}
	}
	f.Start()
	defer f.Close()
	app, err := App("http://"+f.Listener.Addr().String(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := &setup{proxy: Config{To: "ws://h"}, app: app}
	_, addr := s.start(t)
	big := bytes.Repeat([]byte("x"), 1<<20)
	for range 5 {
		request, _ := http.NewRequestWithContext(context.Background(), "POST", "http://"+addr+"/", bytes.NewReader(big))
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if got := text(t, response); got != string(big) {
			t.Errorf("got %d bytes", len(got))
		}
	}
	if conns != 1 {
		t.Errorf("%d connections", conns)
	}
}
