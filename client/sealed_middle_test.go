package client_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/seal"
)

// The client with pins, against whoever is in between: what they can do, and to
// what end.

// replaced changes a part of a head.
func replaced(from, to string) func(string) string {
	return func(head string) string { return strings.Replace(head, from, to, 1) }
}

const offeredToken = "Sec-WebSocket-Protocol: sallyport.v1+seal"

// TestStripped_AT28: whoever is in between changes the offer or the answer, and a
// client with a pin sends nothing to whom answers otherwise.
func TestStripped_AT28(t *testing.T) {
	for _, tt := range []struct {
		name            string
		apps            []string
		request, answer func(string) string
		fault           seal.Fault
		refused         string // outside
	}{
		{"the offer is left out, and the answer", nil, replaced(offeredToken+"\r\n", ""), nil, seal.FaultUnsealed, ""},
		{"a plain channel is offered", nil, replaced(offeredToken, "Sec-WebSocket-Protocol: sallyport.v1"), nil, seal.FaultUnsealed, ""},
		{"a plain application is offered", []string{"chat"}, replaced(offeredToken+"~chat", "Sec-WebSocket-Protocol: chat"), nil, seal.FaultUnsealed, ""},
		{"the answer is plain", nil, nil, replaced("sallyport.v1+seal", "sallyport.v1"), seal.FaultUnsealed, ""},
		{"the answer names nothing", nil, nil, replaced(offeredToken+"\r\n", ""), seal.FaultUnsealed, ""},
		{"the answer names two", nil, nil, replaced(offeredToken, offeredToken+"\r\n"+offeredToken), seal.FaultUnsealed, ""},
		{"another application", []string{"chat", "admin"}, replaced("seal~chat, sallyport.v1+seal~admin", "seal~admin"), nil, seal.FaultUnsealed, ""},
		{"another application, and the answer is forged", []string{"chat", "admin"},
			replaced("seal~chat, sallyport.v1+seal~admin", "seal~admin"), replaced("seal~admin", "seal~chat"), "", "seal.handshake"},
		{"another path", nil, replaced("GET /ws", "GET /ws?room=2"), nil, "", "seal.handshake"},
		{"another origin", nil, replaced("\r\n\r\n", "\r\nOrigin: https://app.example.com\r\n\r\n"), nil, "", "seal.handshake"},
		{"plain beside sealed", nil, replaced(offeredToken, "Sec-WebSocket-Protocol: sallyport.v1, sallyport.v1+seal"), nil, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var heard []string
			atSealed(t, sallyport.SealOffered, func(c *sallyport.Config) {
				c.Gates[0].Route = choosing{sallyport.OnMessage(func(c *sallyport.Conn, m sallyport.Message) { heard = append(heard, string(m.Data)) })}
			}, func(t *testing.T, b *between, o client.Options) {
				b.request, b.answer, o.Protocols = tt.request, tt.answer, tt.apps
				c, err := client.Dial(t.Context(), doorURL, &o)
				refused, _ := errors.AsType[*client.RefusedError](err)
				switch {
				case tt.fault == "" && tt.refused == "":
					if err != nil {
						t.Fatal(err)
					}
					closeAll(t, c)
				case tt.fault != "" && seal.FaultOf(err) != tt.fault:
					t.Errorf("got %v, want %s", err, tt.fault)
				case tt.refused != "" && (refused == nil || refused.Code != tt.refused):
					t.Errorf("got %v, want a refusal with %s", err, tt.refused)
				}
				synctest.Wait()
				if _, n := b.counts(); n != 1 || len(heard) != 0 {
					t.Errorf("%d handshakes, the application heard %q", n, heard)
				}
			})
		})
	}
}

// TestFlipped: a bit of each message is flipped, and nothing of it is delivered.
func TestFlipped_SR97(t *testing.T) {
	for _, tt := range []struct {
		name  string
		n     int // of the door's messages
		step  int
		fault seal.Fault
		dial  bool // it fails before there is a connection
	}{
		{"the answer of the handshake", 0, 61, seal.FaultHandshake, true},
		{"the greeting", 1, 29, seal.FaultBroken, true},
		{"a message", 2, 5, seal.FaultBroken, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
				size := 1
				for at := 0; at < size; at += tt.step {
					b.set(func(b *between) {
						b.down = func(n int, m []byte) []byte {
							if n == tt.n {
								size = len(m)
								m[min(at, len(m)-1)] ^= 1 << (at % 8)
							}
							return binaryDown(m)
						}
					})
					c, err := client.Dial(t.Context(), doorURL, &o)
					if tt.dial != (err != nil) {
						t.Fatalf("byte %d: got %v", at, err)
					}
					if err == nil {
						if err := c.Send(t.Context(), text("x")); err != nil {
							t.Fatal(err)
						}
						var m client.Message
						if m, err = c.Receive(t.Context()); err == nil {
							t.Fatalf("byte %d: %q was delivered", at, m.Data)
						}
						if end, ok := errors.AsType[*client.CloseError](err); !ok || end.Code != client.CodeSeal || end.Text != string(tt.fault) || !end.Local {
							t.Errorf("byte %d: got %v", at, err)
						}
						closeAll(t, c)
					}
					if seal.FaultOf(err) != tt.fault {
						t.Errorf("byte %d: got %v, want %s", at, err, tt.fault)
					}
				}
				if synctest.Wait(); tt.n == 0 && !strings.Contains(b.seen.String(), "\nclose 4905 seal.handshake\n") {
					t.Error("the door was not told")
				}
			})
		})
	}
}

// TestBetween: what else can be done to the messages of a door.
func TestBetween_SR97(t *testing.T) {
	const hello, greeting, first, second = 0, 1, 2, 3 // messages of the door
	var kept []byte
	var earlier [4][]byte // of another connection
	at := func(which int, f func(m []byte) []byte) func(int, []byte) []byte {
		return func(n int, m []byte) []byte {
			if n == which {
				return f(m)
			}
			return binaryDown(m)
		}
	}
	for _, tt := range []struct {
		name  string
		down  func(n int, m []byte) []byte
		got   string // by the application
		fault seal.Fault
	}{
		{"nothing", nil, "ab", ""},
		{"frames are split", at(first, func(m []byte) []byte {
			return slices.Concat(ws.AppendFrame(nil, ws.Server, false, ws.Binary, m[:7]), ws.AppendFrame(nil, ws.Server, true, ws.Continuation, m[7:]))
		}), "ab", ""},
		{"a message in two", at(first, func(m []byte) []byte { return append(binaryDown(m[:7]), binaryDown(m[7:])...) }), "", seal.FaultBroken},
		{"a message twice", at(first, func(m []byte) []byte { return append(binaryDown(m), binaryDown(m)...) }), "a", seal.FaultBroken},
		{"a message left out", at(first, func([]byte) []byte { return nil }), "", seal.FaultBroken},
		{"two messages exchanged", func(n int, m []byte) []byte {
			switch n {
			case first:
				kept = m
				return nil
			case second:
				return append(binaryDown(m), binaryDown(kept)...)
			}
			return binaryDown(m)
		}, "", seal.FaultBroken},
		{"a message of another connection", at(first, func([]byte) []byte { return binaryDown(earlier[first]) }), "", seal.FaultBroken},
		{"the answer of another connection", at(hello, func([]byte) []byte { return binaryDown(earlier[hello]) }), "", seal.FaultHandshake},
		{"a text message", at(first, func(m []byte) []byte {
			return append(ws.AppendFrame(nil, ws.Server, true, ws.Text, []byte("\x00a")), binaryDown(m)...)
		}), "", seal.FaultBroken},
		{"an unsealed hello", at(greeting, func(m []byte) []byte {
			return append(ws.AppendFrame(nil, ws.Server, true, ws.Text, []byte("\x01"+`{"t":"hello"}`)), binaryDown(m)...)
		}), "", seal.FaultBroken},
		{"an empty message", at(first, func(m []byte) []byte { return append(binaryDown(nil), binaryDown(m)...) }), "", seal.FaultBroken},
		{"a message without end", at(first, func([]byte) []byte { return binaryDown(make([]byte, 1<<20)) }), "", seal.FaultBroken},
		{"a frame that is none", at(first, func([]byte) []byte { return []byte{0xff, 0xff} }), "", seal.FaultBroken},
		{"a close frame", at(first, func([]byte) []byte { return ws.AppendClose(nil, ws.Server, 1000, "") }), "", seal.FaultTruncated},
		{"a close frame of the door's form", at(first, func([]byte) []byte {
			return ws.AppendClose(nil, ws.Server, deny.AuthRevoked.Close(), deny.AuthRevoked.CloseReason())
		}), "", seal.FaultTruncated},
		{"a text, and then the answer", at(hello, func(m []byte) []byte {
			return append(ws.AppendFrame(nil, ws.Server, true, ws.Text, []byte("hi")), binaryDown(m)...)
		}), "ab", ""}, // what comes before the seal is not listened to
		{"a ping before the answer", at(hello, func(m []byte) []byte {
			return append(ws.AppendFrame(nil, ws.Server, true, ws.Ping, []byte("hi")), binaryDown(m)...)
		}), "ab", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
				got := func(down func(int, []byte) []byte) (got string, err error) {
					b.set(func(b *between) { b.down = down })
					c, err := client.Dial(t.Context(), doorURL, &o)
					if err != nil {
						return "", err
					}
					defer closeAll(t, c)
					c.Send(t.Context(), text("a"))
					c.Send(t.Context(), text("b"))
					for len(got) < 2 {
						m, err := c.Receive(t.Context())
						if err != nil {
							return got, err
						}
						got += string(m.Data)
					}
					return got, nil
				}
				got(func(n int, m []byte) []byte {
					if n < len(earlier) {
						earlier[n] = m
					}
					return binaryDown(m)
				})
				said, err := got(tt.down)
				if said != tt.got || seal.FaultOf(err) != tt.fault {
					t.Errorf("got %q, %v, want %q, %q", said, err, tt.got, tt.fault)
				}
				if end, ok := errors.AsType[*client.CloseError](err); ok && tt.fault == seal.FaultTruncated && (end.Code != 1006 || end.Reason != 0) {
					t.Errorf("it ended with %+v, which nobody certain said", end)
				}
			})
		})
	}
}

// TestHearsay: a refusal outside the seal ends nothing for good.
func TestHearsay_AT28(t *testing.T) {
	for _, tt := range []struct {
		name, refuse string
		close        []byte
		reason       deny.Reason
	}{
		{"an HTTP status", "HTTP/1.1 403 Forbidden\r\nContent-Length: 25\r\nRetry-After: 3600\r\n\r\n" + `{"error":"seal.required"}`, nil, deny.SealRequired},
		{"an HTTP status that signs out", "HTTP/1.1 401 X\r\nContent-Length: 24\r\n\r\n" + `{"error":"auth.revoked"}`, nil, deny.AuthRevoked},
		{"a close", "", ws.AppendClose(nil, ws.Server, deny.SealRequired.Close(), deny.SealRequired.CloseReason()), deny.SealRequired},
		{"a close without a reason of the door", "", ws.AppendClose(nil, ws.Server, 1000, "bye"), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
				b.refuse = tt.refuse
				if tt.refuse == "" {
					b.down = func(int, []byte) []byte { return tt.close }
				}
				_, err := client.Dial(t.Context(), doorURL, &o)
				if refused, ok := errors.AsType[*client.RefusedError](err); !ok || refused.Reason != tt.reason || !refused.Outside {
					t.Errorf("dial: got %v", err)
				}
				if end, ok := errors.AsType[*client.CloseError](err); ok {
					t.Errorf("it passes for the end of a connection: %v", end)
				}
				c := newClient(t, o)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				if err := c.Connect(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				if s := c.State(); s.Status != client.Waiting && s.Status != client.Opening {
					t.Errorf("it is %s: %v", s.Status, s.Err)
				}
				b.set(func(b *between) { b.refuse, b.down = "", nil })
				time.Sleep(31 * time.Second)
				exchange(t, c, "x")
				closeAll(t, c)
			})
		})
	}
}

// TestStrikes: another server than the one pinned is not tried without end, and a
// place that one leaves ends nothing.
func TestStrikes_AT28(t *testing.T) {
	strip := replaced("sallyport.v1+seal", "sallyport.v1")
	t.Run("it stays", func(t *testing.T) {
		atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
			b.answer = strip
			c := newClient(t, o)
			if err := c.Connect(t.Context()); seal.FaultOf(err) != seal.FaultUnsealed {
				t.Errorf("got %v", err)
			}
			time.Sleep(time.Hour)
			if _, n := b.counts(); n != 10 || c.State().Status != client.Ended {
				t.Errorf("%d handshakes, then %s", n, c.State().Status)
			}
			b.set(func(b *between) { b.answer = nil })
			if err := c.Connect(t.Context()); err != nil { // the application decides
				t.Error(err)
			}
			closeAll(t, c)
		})
	})
	t.Run("no ticket", func(t *testing.T) {
		atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
			o.TicketURL = "http://app.example.com/sallyport/ticket"
			asked := 0
			o.Token = func(context.Context, client.Why) (string, error) { asked++; return "mallory", nil }
			c := newClient(t, o)
			err := c.Connect(t.Context())
			if refused, ok := errors.AsType[*client.RefusedError](err); !ok || !refused.Outside || refused.Status != 401 || errors.Is(err, client.ErrUnauthenticated) {
				t.Errorf("got %v", err)
			}
			if _, n := b.counts(); asked != 10 || n != 0 || c.State().Status != client.Ended {
				t.Errorf("asked %d times, %d handshakes, then %s", asked, n, c.State().Status)
			}
			closeAll(t, c)
		})
	})
	t.Run("it goes", func(t *testing.T) {
		atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
			b.answer = strip
			c := newClient(t, o)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			c.Connect(ctx)
			b.set(func(b *between) { b.answer = nil })
			exchange(t, c, "x")
			closeAll(t, c)
		})
	})
	t.Run("no network", func(t *testing.T) {
		atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
			b.list = func() (int, string, []byte) { return 503, "", nil }
			c := newClient(t, o)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			c.Connect(ctx)
			if s := c.State(); s.Status == client.Ended || seal.FaultOf(s.Err) != seal.FaultDocument {
				t.Errorf("it is %s: %v", s.Status, s.Err)
			}
			b.set(func(b *between) { b.list = nil })
			time.Sleep(31 * time.Second)
			exchange(t, c, "x")
			closeAll(t, c)
		})
	})
}
