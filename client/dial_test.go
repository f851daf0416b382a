package client

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/ws"
)

func TestDial(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		o.Protocols = []string{"chat.v2", "chat.v1"}
		o.Ticket = func(context.Context, Why) (string, error) { return "sallyport.ticket.Zm9v", nil }
		o.Header = http.Header{"Origin": {"https://app.example.com"}}
		c := d.connect(o)
		if c.Protocol() != "chat.v1" || !c.Speaks() {
			t.Errorf("got protocol %q, speaks %t", c.Protocol(), c.Speaks())
		}
		want := Limits{ID: "c0ffee", Beat: 25 * time.Second, Idle: time.Minute, Ends: 24 * time.Hour, MaxMessage: 65536, MessagesPerSecond: 50}
		if got := c.Limits(); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if err := c.Send(t.Context(), text("hello")); err != nil {
			t.Error(err)
		}
		if got := receive(t, c); got != "HELLO" {
			t.Errorf("got %q", got)
		}
		closeConn(t, c)
		if _, err := c.Receive(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close got %v", err)
		}
		if err := c.Send(t.Context(), text("late")); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close got %v", err)
		}
	}, func(v *visitor) {
		want := []string{"sallyport.ticket.Zm9v", "sallyport.v1~chat.v2", "sallyport.v1~chat.v1", "sallyport.v1"}
		if got := v.offered(); !slices.Equal(got, want) {
			v.t.Errorf("offered %q, want %q", got, want)
		}
		if r := v.request; r.RequestURI != "/chat?room=1" || r.Host != "door.example.com" || r.Header.Get("Origin") != "https://app.example.com" {
			v.t.Errorf("got %s %s %v", r.RequestURI, r.Host, r.Header)
		}
		v.upgrade("sallyport.v1~chat.v1", helloFrame(`,"messages_per_second":50`)...)
		v.serve(func(op ws.Opcode, data string) { v.send(op, strings.ToUpper(data[1:])) })
	})
}

func TestDialPlain(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		o.Plain = true
		c := d.connect(o)
		if c.Protocol() != "" || c.Speaks() {
			t.Errorf("got protocol %q, speaks %t", c.Protocol(), c.Speaks())
		}
		c.Send(t.Context(), Message{Kind: Binary, Data: []byte{0, 1}})
		if got := receive(t, c); got != "\x00\x01" {
			t.Errorf("got %q", got)
		}
		closeConn(t, c)
	}, func(v *visitor) {
		if got := v.offered(); !slices.Equal(got, []string{"sallyport"}) {
			v.t.Errorf("offered %q", got)
		}
		v.upgrade("sallyport")
		v.serve(func(op ws.Opcode, data string) { v.send(op, data) })
	})
}

func TestDialRefused(t *testing.T) {
	tests := []struct {
		name   string
		script func(*visitor)
		want   RefusedError
		client deny.Client
	}{
		{"by a status, with a reason and advice", func(v *visitor) {
			v.answer(503, "Retry-After: 7\r\n", `{"error":"guard.full","message":"no place"}`)
		}, RefusedError{Status: 503, Reason: deny.GuardFull, Code: "guard.full", RetryAfter: 7 * time.Second}, deny.Later},
		{"by a date", func(v *visitor) {
			v.answer(429, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:47 GMT\r\n", "")
		}, RefusedError{Status: 429, RetryAfter: 10 * time.Second}, deny.Later},
		{"for a time that nobody waits", func(v *visitor) { v.answer(429, "Retry-After: 999999999\r\n", "") },
			RefusedError{Status: 429, RetryAfter: time.Hour}, deny.Later},
		{"by a status alone", func(v *visitor) { v.answer(401, "", "go away") }, RefusedError{Status: 401}, deny.Reauth},
		{"by a server that is no such thing", func(v *visitor) { v.answer(200, "", "<html>") }, RefusedError{Status: 200}, deny.Never},
		{"by a redirect, which is not followed", func(v *visitor) { v.answer(302, "Location: https://evil.example/\r\n", "") }, RefusedError{Status: 302}, deny.Never},
		{"behind interim answers", func(v *visitor) {
			v.raw([]byte("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"))
			v.answer(403, "", `{"error":"origin.untrusted"}`)
		}, RefusedError{Status: 403, Reason: deny.OriginUntrusted, Code: "origin.untrusted"}, deny.Never},
		{"by close", func(v *visitor) { v.refuse(4001, "Unauthorized;auth.expired"); v.drop() },
			RefusedError{Status: 101, Reason: deny.AuthExpired, Code: "auth.expired"}, deny.Reauth},
		{"by close, for a reason that is not known", func(v *visitor) { v.refuse(4298, "Moon;moon.full"); v.drop() },
			RefusedError{Status: 101, Code: "moon.full"}, deny.Later},
		{"by close, on a plain connection", func(v *visitor) {
			v.upgrade("", ws.AppendClose(nil, ws.Server, 4001, "Unauthorized;auth.missing")...)
			v.drop()
		}, RefusedError{Status: 101, Reason: deny.AuthMissing, Code: "auth.missing"}, deny.Reauth},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
				_, err := Dial(t.Context(), testURL, &o)
				got, ok := errors.AsType[*RefusedError](err)
				if !ok {
					t.Fatalf("got %v, want a refusal", err)
				}
				client := got.client()
				plain := *got
				plain.Close = nil
				if plain != test.want || client != test.client {
					t.Errorf("got %+v, %s; want %+v, %s", plain, client, test.want, test.client)
				}
				if strings.Contains(err.Error(), "room=1") {
					t.Errorf("the error repeats the query: %v", err)
				}
			}, test.script)
		})
	}
}

// TestDialHostile_SR58_AT88_AT99: a server that is none must not hang, be
// believed, or fill the memory.
func TestDialHostile_SR58_AT88_AT99(t *testing.T) {
	const head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	accept := func(v *visitor) string {
		return "Sec-WebSocket-Accept: " + ws.AcceptKey(v.request.Header.Get("Sec-WebSocket-Key")) + "\r\n"
	}
	tests := []struct {
		name   string
		script func(*visitor)
		want   string
	}{
		{"an accept value that is wrong", func(v *visitor) {
			v.raw([]byte(head + "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"))
		}, "accept"},
		{"an extension that was not offered", func(v *visitor) {
			v.raw([]byte(head + accept(v) + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"))
		}, "extension"},
		{"a subprotocol that was not offered", func(v *visitor) { v.raw([]byte(head + accept(v) + "Sec-WebSocket-Protocol: other\r\n\r\n")) }, "subprotocol"},
		{"no upgrade", func(v *visitor) { v.raw([]byte("HTTP/1.1 101 X\r\nConnection: Upgrade\r\n" + accept(v) + "\r\n")) }, "upgrade"},
		{"the ticket echoed", func(v *visitor) {
			v.raw([]byte(head + accept(v) + "Sec-WebSocket-Protocol: sallyport.ticket.Zm9v\r\n\r\n"))
		}, "ticket"},
		{"HTTP/1.0", func(v *visitor) { v.raw([]byte(strings.Replace(head, "1.1", "1.0", 1) + accept(v) + "\r\n")) }, "HTTP/1.1"},
		{"a bare line feed", func(v *visitor) { v.raw([]byte("HTTP/1.1 101 X\nUpgrade: websocket\r\n\r\n")) }, "CRLF"},
		{"a folded line", func(v *visitor) { v.raw([]byte("HTTP/1.1 101 X\r\nUpgrade:\r\n websocket\r\n\r\n")) }, "folded"},
		{"a head without an end", func(v *visitor) {
			v.raw([]byte("HTTP/1.1 101 X\r\n"))
			for range 1000 {
				if _, err := v.socket.Write([]byte("X-Fill: " + strings.Repeat("x", 100) + "\r\n")); err != nil {
					return
				}
			}
		}, "16 KiB"},
		{"interim answers without an end", func(v *visitor) {
			for range 100000 {
				if _, err := v.socket.Write([]byte("HTTP/1.1 103 X\r\n\r\n")); err != nil {
					return
				}
			}
		}, "16 KiB"},
		{"an end instead of an answer", func(v *visitor) {}, "unexpected EOF"},
		{"silence instead of an answer", func(v *visitor) { v.drop() }, "no connection within 10s"},
		{"silence instead of a hello", func(v *visitor) { v.upgrade(channel); v.drop() }, "no connection within 10s"},
		{"a refusal whose body never ends", func(v *visitor) {
			v.raw([]byte("HTTP/1.1 503 X\r\nContent-Length: 99999999\r\n\r\n"))
			for {
				if _, err := v.socket.Write(make([]byte, 1000)); err != nil {
					return
				}
			}
		}, "503"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
				o.Ticket = func(context.Context, Why) (string, error) { return "sallyport.ticket.Zm9v", nil }
				began := time.Now()
				_, err := Dial(t.Context(), testURL, &o)
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want an error about %q", err, test.want)
				}
				if took := time.Since(began); took > 11*time.Second {
					t.Errorf("took %s", took)
				}
			}, test.script)
		})
	}
}

func TestDialCancelled(t *testing.T) {
	for _, script := range []func(*visitor){
		func(v *visitor) { v.drop() },
		func(v *visitor) { v.upgrade(channel); v.drop() },
	} {
		bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
			why := errors.New("enough")
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
			defer cancel()
			began := time.Now()
			if _, err := Dial(ctx, testURL, &o); !errors.Is(err, why) {
				t.Errorf("got %v, want %v", err, why)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("took %s", took)
			}
		}, script)
	}
}

// TestTimeoutIsSaid wants the close code of a client that got no hello.
func TestTimeoutIsSaid(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		if _, err := Dial(t.Context(), testURL, &o); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	}, func(v *visitor) {
		v.upgrade(channel)
		if op, data, err := v.receive(); op != ws.Close || data != "4901 local.timeout" {
			v.t.Errorf("got %v %q %v", op, data, err)
		}
	})
}

func TestEndings(t *testing.T) {
	tests := []struct {
		name  string
		plain bool
		end   func(*visitor)
		want  CloseError
	}{
		{"announced", false, func(v *visitor) { v.end(`,"retry_after":2.5`, 4200, "Restarting;drain") },
			CloseError{Code: 4200, Text: "Restarting;drain", Door: "drain", Reason: deny.Drain, RetryAfter: 2500 * time.Millisecond}},
		{"announced, and the frame was lost", false, func(v *visitor) { v.control(`{"t":"close","code":"drain","got":0}`); v.socket.Close() },
			CloseError{Code: 1006, Door: "drain", Reason: deny.Drain}},
		{"by the application", false, func(v *visitor) { v.close(4400, "bye") }, CloseError{Code: 4400, Text: "bye"}},
		{"without a code", false, func(v *visitor) { v.close(0, "") }, CloseError{Code: 1005}},
		{"without a word", false, func(v *visitor) { v.socket.Close() }, CloseError{Code: 1006}},
		{"in a frame alone, plain", true, func(v *visitor) { v.close(4000, "Idle timeout;guard.idle") },
			CloseError{Code: 4000, Text: "Idle timeout;guard.idle", Door: "guard.idle", Reason: deny.GuardIdle}},
		{"by a broken frame", false, func(v *visitor) { v.raw([]byte{0xff, 0xff}) }, CloseError{Code: 1002, Text: "a reserved bit is set", Local: true}},
		{"by a message without its first byte", false, func(v *visitor) { v.raw(ws.AppendFrame(nil, ws.Server, true, ws.Text, nil)) },
			CloseError{Code: CodeProtocol, Local: true}},
		{"by a control message that is binary", false, func(v *visitor) {
			v.raw(ws.AppendFrame(nil, ws.Server, true, ws.Binary, []byte("\x01"+`{"t":"beat","got":0}`)))
		}, CloseError{Code: CodeProtocol, Local: true}},
		{"by a control message that does not end", false, func(v *visitor) {
			v.raw(ws.AppendFrame(nil, ws.Server, false, ws.Text, []byte("\x01"+strings.Repeat(" ", 4096))))
		}, CloseError{Code: CodeProtocol, Local: true}},
		{"by a second hello", false, func(v *visitor) { v.raw(helloFrame("")) }, CloseError{Code: CodeProtocol, Local: true}},
		{"by a count of what was not sent", false, func(v *visitor) { v.control(`{"t":"beat","got":1}`) }, CloseError{Code: CodeProtocol, Local: true}},
		{"by a message that is too large", false, func(v *visitor) { v.send(ws.Binary, strings.Repeat("x", 1001)) },
			CloseError{Code: 1009, Text: "the message is larger than allowed", Local: true}},
		{"by a plain message that is too large", true, func(v *visitor) { v.send(ws.Binary, strings.Repeat("x", 1001)) },
			CloseError{Code: 1009, Text: "the message is larger than allowed", Local: true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
				o.Plain, o.MaxMessage = test.plain, 1000
				c := d.connect(o)
				if got := receive(t, c); got != "before" {
					t.Errorf("got %q", got)
				}
				_, err := c.Receive(t.Context())
				end, ok := errors.AsType[*CloseError](err)
				if !ok {
					t.Fatalf("got %v", err)
				}
				got := *end
				got.Err = nil
				if got.Code != test.want.Code || got.Text != test.want.Text || got.Local != test.want.Local || got.Door != test.want.Door ||
					got.Reason != test.want.Reason || got.RetryAfter != test.want.RetryAfter {
					t.Errorf("got %+v, want %+v", got, test.want)
				}
				if !errors.Is(err, ErrClosed) || context.Cause(c.Context()) != error(end) {
					t.Errorf("%v is not ErrClosed, or %v is another", err, context.Cause(c.Context()))
				}
				closeConn(t, c)
			}, func(v *visitor) {
				v.upgradeAs(test.plain)
				v.send(ws.Text, "before")
				test.end(v)
				v.drop()
			})
		})
	}
}

// upgradeAs opens the channel, or does not.
func (v *visitor) upgradeAs(plain bool) {
	if plain {
		v.upgrade("sallyport")
	} else {
		v.welcome("")
	}
}

func TestFirstMessageMustBeHello(t *testing.T) {
	for _, first := range []string{"\x00hi", "\x01" + `{"t":"beat","got":0}`, "\x01" + `{"t":"drain","spread":1,"deadline":1}`} {
		bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
			_, err := Dial(t.Context(), testURL, &o)
			if end, ok := errors.AsType[*CloseError](err); !ok || end.Code != CodeProtocol {
				t.Errorf("after %q got %v", first, err)
			}
		}, func(v *visitor) {
			v.upgrade(channel, ws.AppendFrame(nil, ws.Server, true, ws.Text, []byte(first))...)
			v.drop()
		})
	}
}

// TestMarkAlone: the first byte may come in a fragment of its own, and control
// messages between two frames of control.
func TestMarkAlone(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		c := d.connect(o)
		if got := receive(t, c); got != "\x01{}" {
			t.Errorf("got %q", got)
		}
		closeConn(t, c)
	}, func(v *visitor) {
		v.welcome("")
		for i, part := range []string{"\x00", "", "\x01", "{}"} {
			op := ws.Continuation
			if i == 0 {
				op = ws.Text
			}
			v.raw(ws.AppendFrame(nil, ws.Server, i == 3, op, []byte(part)))
		}
		v.serve(nil)
	})
}

// TestBackPressure: who does not receive makes the server wait, and loses nothing.
func TestBackPressure(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		o.Buffer = 10_000
		c := d.connect(o)
		synctest.Wait()
		c.inbox.mu.Lock()
		held := c.inbox.size
		c.inbox.mu.Unlock()
		if held < 10_000 || held > 12_000 {
			t.Errorf("%d bytes are held", held)
		}
		time.Sleep(10 * time.Minute) // silence says nothing while we do not listen
		for i := range 200 {
			if got := receive(t, c); len(got) != 1000 || got[0] != byte('a'+i%26) {
				t.Fatalf("message %d is %.5q…", i, got)
			}
		}
		closeConn(t, c)
	}, func(v *visitor) {
		v.welcome("")
		for i := range 200 {
			v.send(ws.Binary, strings.Repeat(string(rune('a'+i%26)), 1000))
		}
		v.serve(nil)
	})
}

// TestCloseWithFullBuffer: nobody receives, and Close does not wait for that.
func TestCloseWithFullBuffer(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		o.Buffer = 1000
		c := d.connect(o)
		synctest.Wait()
		began := time.Now()
		closeConn(t, c)
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %s", took)
		}
	}, func(v *visitor) {
		v.welcome("")
		for range 20 {
			v.send(ws.Binary, strings.Repeat("x", 1000))
		}
		v.serve(nil)
	})
}

func TestReceiveEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		c := d.connect(o)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		c.Send(t.Context(), text("still here"))
		if got := receive(t, c); got != "still here" {
			t.Errorf("got %q", got)
		}
		closeConn(t, c)
	}, echo)
}

func TestCloseCutsAServerThatDoesNotAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		c := d.connect(o)
		c.Send(t.Context(), text("a"))
		began := time.Now()
		closeConn(t, c) // 5 s for the count, 5 s for the goodbye
		if took := time.Since(began); took < 9*time.Second || took > 12*time.Second {
			t.Errorf("took %s", took)
		}
		if end := c.ended.Load(); len(end.Unknown) != 1 || string(end.Unknown[0].Data) != "a" {
			t.Errorf("unknown is %v", end.Unknown)
		}
		c = d.connect(o)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	}, func(v *visitor) { v.welcome(""); v.drop() })
}

func TestMessages(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		c := d.connect(o)
		var got []string
		for m, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Error(err)
			}
			got = append(got, string(m.Data))
		}
		if !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("got %q", got)
		}
		closeConn(t, c)
	}, func(v *visitor) {
		v.welcome("")
		v.send(ws.Text, "a")
		v.send(ws.Text, "b")
		v.close(1000, "")
		v.drop()
	})
}

// TestLongMessage sends what is larger than all queues.
func TestLongMessage(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		c := d.connect(o)
		long := strings.Repeat("0123456789abcdef", 1<<16)
		if err := c.Send(t.Context(), text(long+"0")); !errors.Is(err, ErrTooLarge) {
			t.Errorf("got %v", err)
		}
		for range 2 {
			if err := c.Send(t.Context(), text(long)); err != nil {
				t.Error(err)
			}
			if got := receive(t, c); got != long {
				t.Errorf("got %d bytes", len(got))
			}
		}
		closeConn(t, c)
	}, func(v *visitor) {
		v.upgrade(channel, controlOf(`{"t":"hello","id":"a","beat":25,"idle":60,"ends_in":86400,"max_message":1048576}`)...)
		v.serve(func(op ws.Opcode, data string) { v.send(op, data[1:]) })
	})
}

func TestOnlyWholeMessagesOfAKind(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		c := d.connect(o)
		if err := c.Send(t.Context(), Message{Kind: Text, Data: []byte{0xff}}); err == nil {
			t.Error("text that is not UTF-8 was sent")
		}
		if err := c.Send(t.Context(), Message{}); err == nil {
			t.Error("a message without a kind was sent")
		}
		if err := c.CloseWith(t.Context(), 4900, ""); err == nil {
			t.Error("a code of the client's own was taken")
		}
		closeConn(t, c)
	}, echo)
}
