package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/ws"
)

// good is a right answer to r, with more lines.
func good(r *http.Request, more ...string) string {
	return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + ws.AcceptKey(r.Header.Get("Sec-Websocket-Key")) + "\r\n" + strings.Join(more, "") + "\r\n"
}

// Whatever a backend answers but a right 101, the client gets a refusal of the
// door, the backend's connection is closed, and nothing that the client sends
// goes anywhere.
func TestHostileAnswers_SR82_AT86_AT88(t *testing.T) {
	plain := func(s string) func(net.Conn, *http.Request) {
		return func(c net.Conn, _ *http.Request) { io.WriteString(c, s) }
	}
	answer := func(more ...string) func(net.Conn, *http.Request) {
		return func(c net.Conn, r *http.Request) { io.WriteString(c, good(r, more...)) }
	}
	silent := func(net.Conn, *http.Request) {}
	for _, tt := range []struct {
		name string
		do   func(net.Conn, *http.Request)
		want deny.Reason
	}{
		{"200 and a body", plain("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), deny.BackendRefused},
		{"401", plain("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"), deny.BackendRefused},
		{"426", plain("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n"), deny.BackendRefused},
		{"500 of HTTP/1.0", plain("HTTP/1.0 500 Oops\r\n\r\n"), deny.BackendRefused},
		{"a redirect", plain("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"), deny.BackendRefused},
		{"103 and then 200", plain("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), deny.BackendRefused},
		{"103 without end", func(c net.Conn, _ *http.Request) {
			for range 2000 {
				if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n"); err != nil {
					return
				}
			}
		}, deny.BackendProtocol},
		{"103 with a body", plain("HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\nabc"), deny.BackendProtocol},
		{"a wrong accept value", plain("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"), deny.BackendProtocol},
		{"no accept value", plain("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), deny.BackendProtocol},
		{"a second accept value", answer("Sec-WebSocket-Accept: x\r\n"), deny.BackendProtocol},
		{"a subprotocol that was not offered", answer("Sec-WebSocket-Protocol: admin\r\n"), deny.BackendProtocol},
		{"two subprotocols", answer("Sec-WebSocket-Protocol: chat\r\n", "Sec-WebSocket-Protocol: chat\r\n"), deny.BackendProtocol},
		{"an extension", answer("Sec-WebSocket-Extensions: permessage-deflate\r\n"), deny.BackendProtocol},
		{"an upgrade to something else", func(c net.Conn, r *http.Request) {
			io.WriteString(c, strings.Replace(good(r), "Upgrade: websocket", "Upgrade: h2c", 1))
		}, deny.BackendProtocol},
		{"no Connection header", func(c net.Conn, r *http.Request) {
			io.WriteString(c, strings.Replace(good(r), "Connection: Upgrade\r\n", "", 1))
		}, deny.BackendProtocol},
		{"101 of HTTP/1.0", func(c net.Conn, r *http.Request) {
			io.WriteString(c, strings.Replace(good(r), "HTTP/1.1", "HTTP/1.0", 1))
		}, deny.BackendProtocol},
		{"101 with a length", answer("Content-Length: 5\r\n"), deny.BackendProtocol},
		{"101 in chunks", answer("Transfer-Encoding: chunked\r\n"), deny.BackendProtocol},
		{"a control character in the head", answer("X-A: a\x00b\r\n"), deny.BackendProtocol},
		{"a bare LF", answer("X-A: a\n"), deny.BackendProtocol},
		{"a bare CR", answer("X-A: a\rb\r\n"), deny.BackendProtocol},
		{"a folded line", answer("X-A: a\r\n b\r\n"), deny.BackendProtocol},
		{"a space before the colon", answer("X-A : a\r\n"), deny.BackendProtocol},
		{"a giant head", answer("X-A: " + strings.Repeat("a", 17<<10) + "\r\n"), deny.BackendProtocol},
		{"a head of many lines", answer(strings.Repeat("X-A: a\r\n", 100)), deny.BackendProtocol},
		{"another protocol", plain("SSH-2.0-OpenSSH_9.9\r\n"), deny.BackendProtocol},
		{"garbage", plain("\x16\x03\x01\x00\x05hello"), deny.BackendProtocol},
		{"an end before the answer", silent, deny.BackendRefused},
		{"an end in the answer", plain("HTTP/1.1 101 Switching Pro"), deny.BackendProtocol},
		{"silence", func(c net.Conn, _ *http.Request) { io.Copy(io.Discard, c) }, deny.BackendTimeout},
		{"a head that drips", func(c net.Conn, r *http.Request) {
			for _, b := range []byte(good(r)) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}, deny.BackendTimeout},
	} {
		t.Run("SR-82 AT-86 "+tt.name, func(t *testing.T) {
			t.Parallel()
			after := make(chan int64, 1)
			f := backendAt(t, func(c net.Conn) {
				r, in := request(t, c)
				if r == nil {
					return
				}
				tt.do(c, r)
				if tt.want == deny.BackendRefused || tt.want == deny.BackendProtocol {
					c.(*net.TCPConn).CloseWrite()
				}
				c.SetReadDeadline(time.Now().Add(5 * time.Second))
				n, err := io.Copy(io.Discard, in)
				if timedOut(err) {
					t.Error("the backend's connection is still open")
				}
				after <- n
			})
			s := &setup{proxy: Config{To: "ws://" + f.addr, HandshakeTimeout: 300 * time.Millisecond}}
			_, addr := s.start(t)
			response, w := dial(t, addr, "/ws/", nil, "chat")
			body, _ := io.ReadAll(response.Body)
			if response.StatusCode != tt.want.Status() || !strings.Contains(string(body), `"`+tt.want.Code()+`"`) {
				t.Errorf("got %d %s, want %d %s", response.StatusCode, body, tt.want.Status(), tt.want.Code())
			}
			for name := range response.Header {
				if name == "Location" || name == "Link" || name == "Set-Cookie" || strings.HasPrefix(name, "Sec-Websocket") {
					t.Errorf("the backend's %s reached the client", name)
				}
			}
			w.conn.Write([]byte("GET /admin HTTP/1.1\r\nHost: internal\r\n\r\n"))
			if n := <-after; n != 0 {
				t.Errorf("%d bytes of the client reached the backend", n)
			}
			if got := s.reason(t); got != tt.want {
				t.Errorf("observed %s, want %s", got, tt.want)
			}
			if n := f.count(); n != 1 {
				t.Errorf("%d connections to the backend, want 1", n)
			}
		})
	}
}

func TestGoodAnswers_SR82_AT88(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(*http.Request) string
	}{
		{"with a cookie, which is dropped", func(r *http.Request) string {
			return good(r, "Set-Cookie: session=evil\r\n", "Server: x\r\n", "Access-Control-Allow-Origin: *\r\n", "Strict-Transport-Security: max-age=0\r\n")
		}},
		{"after an interim answer", func(r *http.Request) string {
			return "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + good(r)
		}},
		{"in other letters", func(r *http.Request) string {
			s := strings.Replace(good(r), "Upgrade: websocket", "upgrade: WebSocket", 1)
			return strings.Replace(s, "Connection: Upgrade", "connection: keep-alive, upgrade", 1)
		}},
	} {
		t.Run("SR-82 AT-88 "+tt.name, func(t *testing.T) {
			f := backendAt(t, func(c net.Conn) {
				r, in := request(t, c)
				if r == nil {
					return
				}
				// the answer and two frames in one write: early frames
				b := ws.AppendFrame([]byte(tt.answer(r)), ws.Server, true, ws.Text, []byte("welcome"))
				c.Write(ws.AppendFrame(b, ws.Server, true, ws.Binary, []byte("early")))
				newWire(t, c, in, ws.Server).message()
			})
			s := &setup{proxy: Config{To: "ws://" + f.addr}}
			_, addr := s.start(t)
			response, w := dial(t, addr, "/ws/", nil)
			if response.StatusCode != 101 {
				t.Fatalf("got status %d", response.StatusCode)
			}
			for _, name := range []string{"Set-Cookie", "Server", "Link", "Access-Control-Allow-Origin"} {
				if response.Header.Get(name) != "" {
					t.Errorf("the backend's %s reached the client", name)
				}
			}
			w.wantMessage(ws.Text, []byte("welcome"))
			w.wantMessage(ws.Binary, []byte("early"))
		})
	}
}

func TestSubprotocol(t *testing.T) {
	for _, tt := range []struct {
		name      string
		offered   []string
		choice    string
		backend   string // what the backend was offered
		selected  string
		allHidden bool
	}{
		{"the backend chooses the second", []string{"a", "b"}, "b", "a, b", "b", false},
		{"the backend chooses none", []string{"a"}, "", "a", "", false},
		{"the door's own is not offered to the backend", []string{"sallyport", "a", "sallyport.v1"}, "a", "a", "a", false},
		{"the door's own is selected when the backend selects none", []string{"sallyport", "a"}, "", "a", "sallyport", false},
		{"only the door's own: the backend is offered nothing", []string{"sallyport"}, "", "", "sallyport", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := make(chan []string, 1)
			f := backendAt(t, func(c net.Conn) {
				r, in := request(t, c)
				if r == nil {
					return
				}
				got <- r.Header["Sec-Websocket-Protocol"]
				line := ""
				if tt.choice != "" {
					line = "Sec-WebSocket-Protocol: " + tt.choice + "\r\n"
				}
				io.WriteString(c, good(r, line))
				newWire(t, c, in, ws.Server).message()
			})
			s := &setup{proxy: Config{To: "ws://" + f.addr}}
			_, addr := s.start(t)
			response, _ := dial(t, addr, "/ws/", nil, tt.offered...)
			if response.StatusCode != 101 || response.Header.Get("Sec-Websocket-Protocol") != tt.selected {
				t.Errorf("got %d, %q, want %q", response.StatusCode, response.Header.Get("Sec-Websocket-Protocol"), tt.selected)
			}
			if lines := <-got; strings.Join(lines, "|") != tt.backend || tt.allHidden && lines != nil {
				t.Errorf("the backend was offered %q, want %q", lines, tt.backend)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, to := range []string{"ws://" + l.Addr().String(), "unix:" + t.TempDir() + "/none.sock"} {
		s := &setup{proxy: Config{To: to}}
		_, addr := s.start(t)
		if response, _ := dial(t, addr, "/ws/", nil); response.StatusCode != 502 {
			t.Errorf("%s: got status %d, want 502", to, response.StatusCode)
		}
		if got := s.reason(t); got != deny.BackendUnreachable {
			t.Errorf("%s: got %s", to, got)
		}
	}
}

// A client that leaves while the door dials, or waits for the answer, ends the
// attempt.
func TestClientLeavesBeforeTheAnswer(t *testing.T) {
	asked, gone := make(chan struct{}), make(chan error, 1)
	f := backendAt(t, func(c net.Conn) {
		_, in := request(t, c)
		close(asked)
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err := in.ReadByte()
		gone <- err
	})
	s := &setup{proxy: Config{To: "ws://" + f.addr}}
	_, addr := s.start(t)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	request, _ := ws.AppendRequest(nil, "GET", "/ws/", "door.example", ws.NewKey(), nil, http.Header{"Origin": {page}})
	conn.Write(request)
	<-asked
	began := time.Now()
	conn.Close()
	if err := <-gone; err == nil || timedOut(err) {
		t.Errorf("the backend's socket did not end: %v", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestResponseHead(t *testing.T) {
	for _, tt := range []struct {
		in   string
		end  int
		want string
	}{
		{"HTTP/1.1 101 S\r\nA: b\r\n\r\nrest", 24, ""},
		{"HTTP/1.1 101 S\r\n\r\n", 18, ""},
		{"HTTP/1.1 101 S\r\n", 0, ""},
		{"HTTP/2 101 S\r\n", 0, "it is not HTTP/1.1"},
		{"HTTP/1.1 101 S\n", 0, "a line does not end in CRLF"},
		{"HTTP/1.1 101\rS", 0, "a line does not end in CRLF"},
		{"\n", 0, "a line does not end in CRLF"},
		{" HTTP/1.1", 0, "a line is folded"},
		{"HTTP/1.1 101\x1b", 0, "its head has a control character"},
	} {
		for _, step := range []int{1, 3, len(tt.in)} { // in any split
			var h responseHead
			var end int
			var why string
			for i := 0; i < len(tt.in) && end == 0 && why == ""; i += step {
				h.buf = append(h.buf, tt.in[i:min(i+step, len(tt.in))]...)
				end, why = h.scan(100)
			}
			if end != tt.end || why != tt.want {
				t.Errorf("%q by %d: got %d, %q, want %d, %q", tt.in, step, end, why, tt.end, tt.want)
			}
		}
	}
	if _, err := new(responseHead).read(strings.NewReader(strings.Repeat("HTTP/1.1 ", 100)), 100); deny.Of(err) != deny.BackendProtocol {
		t.Errorf("got %v", err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add("HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n\x81\x00", 3)
	f.Add("HTTP/1.1 103 S\r\n\r\nHTTP/1.1 101 S\r\nA: b\r\n\r\n", 1)
	f.Fuzz(func(t *testing.T, in string, step int) {
		r := &stepped{in, 1 + (step&0x7fffffff)%64}
		response, early, err := readAnswer(r)
		if err != nil {
			if d, ok := errors.AsType[*deny.Denial](err); !ok {
				t.Fatalf("%q: not a denial: %v", in, d)
			}
			return
		}
		if s := response.StatusCode; s != 101 && s < 200 {
			t.Errorf("%q: an interim answer %d was taken for an answer", in, s)
		}
		if len(early) > len(in) || !strings.HasSuffix(in[:len(in)-len(r.rest)], string(early)) {
			t.Errorf("%q: early %q", in, early)
		}
		for name, values := range response.Header {
			if s := fmt.Sprint(name, values); strings.ContainsAny(s, "\r\n\x00") {
				t.Errorf("%q: header %q", in, s)
			}
		}
	})
}

// stepped gives a few bytes at a time.
type stepped struct {
	rest string
	step int
}

func (s *stepped) Read(b []byte) (int, error) {
	if s.rest == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(s.step, len(b))], s.rest)
	s.rest = s.rest[n:]
	return n, nil
}
