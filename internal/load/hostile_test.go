package load

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/sallyporttest"
)

// against runs a load of one connection against a server that is not one: serve
// has the socket, after the request was read.
func against(t *testing.T, serve func(socket net.Conn, r *http.Request), change func(*Config), look func(t *testing.T, r *Result, err error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var serving sync.WaitGroup
		r, err := Run(t.Context(), config(func(c *Config) {
			c.Connections = 1
			c.Dial = func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := sallyporttest.Pipe()
				serving.Go(func() {
					defer theirs.Close()
					if r, err := http.ReadRequest(bufio.NewReader(theirs)); err == nil {
						serve(theirs, r)
					}
				})
				return ours, nil
			}
			if change != nil {
				change(c)
			}
		}))
		look(t, r, err)
		serving.Wait()
	})
}

// upgraded is a right answer, with a line more, and bytes behind it.
func upgraded(r *http.Request, line, behind string) []byte {
	return []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		ws.AcceptKey(r.Header.Get("Sec-WebSocket-Key")) + "\r\n" + line + "\r\n" + behind)
}

func TestAnswersThatAreNone(t *testing.T) {
	for _, row := range []struct {
		name, want string
		answer     func(r *http.Request) []byte
	}{
		{"no HTTP", "malformed HTTP", func(*http.Request) []byte { return []byte("SSH-2.0\r\n\r\n") }},
		{"the end", "handshake: the server ended the connection", func(*http.Request) []byte { return nil }},
		{"another accept value", "accept value", func(r *http.Request) []byte {
			r.Header.Set("Sec-WebSocket-Key", ws.NewKey())
			return upgraded(r, "", "")
		}},
		{"a head without end", "handshake: the server ended the connection", func(*http.Request) []byte {
			return []byte("HTTP/1.1 101 Switching Protocols\r\n" + strings.Repeat("A: b\r\n", ws.MaxHead/6))
		}},
		{"interim answers without end", "interim answers only", func(*http.Request) []byte {
			return []byte(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 20))
		}},
		{"the ticket as subprotocol", "selected the ticket", func(r *http.Request) []byte {
			return upgraded(r, "Sec-WebSocket-Protocol: sallyport.ticket.a\r\n", "")
		}},
		{"a subprotocol of its own", "not offered", func(r *http.Request) []byte {
			return upgraded(r, "Sec-WebSocket-Protocol: surprise\r\n", "")
		}},
		{"an extension", "extension", func(r *http.Request) []byte {
			return upgraded(r, "Sec-WebSocket-Extensions: permessage-deflate\r\n", "")
		}},
		{"a page", "refused with status 200", func(*http.Request) []byte {
			return []byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
		}},
		{"a redirect, which is not followed", "refused with status 302", func(*http.Request) []byte {
			return []byte("HTTP/1.1 302 Found\r\nLocation: wss://elsewhere.example/\r\nContent-Length: 0\r\n\r\n")
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			against(t, func(socket net.Conn, r *http.Request) { socket.Write(row.answer(r)) }, func(c *Config) { c.Tickets = []string{"sallyport.ticket.a"} },
				func(t *testing.T, r *Result, err error) {
					if err == nil || !strings.Contains(err.Error(), row.want) || r.Connections.Opened != 0 || r.Connections.Refused+r.Connections.Failed != 1 {
						t.Errorf("got %v, want %q", err, row.want)
					}
				})
		})
	}
}

func TestServersThatMisbehave(t *testing.T) {
	text := func(s string) string { return string(ws.AppendFrame(nil, ws.Server, true, ws.Text, []byte(s))) }
	for _, row := range []struct {
		name   string
		behind string // the 101
		want   []Close
		other  uint64
	}{
		{"a masked frame", string(ws.AppendFrame(nil, ws.Client, true, ws.Text, []byte("x"))), []Close{{1002, "the server broke the protocol: a server frame is masked", 1}}, 0},
		{"text that is none", text("\xff"), []Close{{1007, "the server broke the protocol: a text message is not UTF-8", 1}}, 0},
		{"messages that nobody asked for", text("hello") + text(strings.Repeat("f", 64)), []Close{{1006, "read: the server ended the connection", 1}}, 2},
		{"a reply before its message", text("00000000000000000000" + strings.Repeat(".", 44)), []Close{{1006, "read: the server ended the connection", 1}}, 1},
		{"the end", "", []Close{{1006, "read: the server ended the connection", 1}}, 0},
		{"a message, then the end with a reason of its own", text("hello") + string(ws.AppendClose(nil, ws.Server, 4999, "because")), []Close{{4999, "because", 1}}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			against(t, func(socket net.Conn, r *http.Request) { socket.Write(upgraded(r, "", row.behind)) }, nil, func(t *testing.T, r *Result, err error) {
				if err != nil || len(r.Closes) != len(row.want) || r.Closes[0] != row.want[0] || r.Messages.Other != row.other || r.Messages.Answered != 0 {
					t.Errorf("got %v, %+v, %+v", err, r.Closes, r.Messages)
				}
			})
		})
	}
}

// TestServerThatDoesNotRead: a write that is stuck ends the connection, and what
// was due is counted.
func TestServerThatDoesNotRead(t *testing.T) {
	against(t, func(socket net.Conn, r *http.Request) {
		socket.Write(upgraded(r, "", ""))
		time.Sleep(time.Minute)
	}, func(c *Config) { c.Size, c.Duration = 50_000, 20*time.Second }, func(t *testing.T, r *Result, err error) {
		if err != nil || len(r.Closes) != 1 || r.Closes[0] != (Close{1006, "write: it took too long", 1}) || r.Problem() != "connections ended before their time" {
			t.Errorf("got %v, %+v", err, r.Closes)
		}
	})
}

// TestServerThatDoesNotSayGoodbye costs two seconds, not more.
func TestServerThatDoesNotSayGoodbye(t *testing.T) {
	var ended time.Time
	against(t, func(socket net.Conn, r *http.Request) {
		socket.Write(upgraded(r, "", ""))
		buf := make([]byte, 4<<10)
		for {
			if _, err := socket.Read(buf); err != nil {
				ended = time.Now()
				return
			}
		}
	}, func(c *Config) { c.Rate = 0 }, func(t *testing.T, r *Result, err error) {
		if err != nil || r.Problem() != "" {
			t.Error(err, r.Problem())
		}
		if took := time.Since(r.Began); took > 11*time.Second+2*leaveWait {
			t.Errorf("took %s", took)
		}
	})
	if ended.IsZero() {
		t.Error("the server was left alone")
	}
}
