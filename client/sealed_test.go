package client_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/seal"
)

// The client with pins, against a door behind somebody who ends TLS.

func TestSealed_SR97(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, _ := ed25519.GenerateKey(nil)
	for _, tt := range []struct {
		name   string
		mode   sallyport.Seal
		device crypto.Signer
		token  string
		apps   []string
		shown  string
	}{
		{"required, bound to an Ed25519 key", sallyport.SealRequired, ed, "ada@key", nil, ""},
		{"required, bound to a P-256 key", sallyport.SealRequired, p256, "ada@key", nil, ""},
		{"offered, a bearer", sallyport.SealOffered, nil, "ada-canary", nil, ""},
		{"a subprotocol of the application", sallyport.SealRequired, ed, "ada@key", []string{"chat", "chat.v0"}, "chat"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atSealed(t, tt.mode, func(c *sallyport.Config) {
				c.Gates[0].Route = choosing{echo}
			}, func(t *testing.T, b *between, o client.Options) {
				o.Token = func(context.Context, client.Why) (string, error) { return tt.token, nil }
				o.Seal.Device, o.Protocols = tt.device, tt.apps
				c := dialSealed(t, o)
				if c.Protocol() != tt.shown {
					t.Errorf("protocol %q, want %q", c.Protocol(), tt.shown)
				}
				for _, want := range []client.Message{
					text(""), text("canary in the sea"), text("\x01{}"), text(strings.Repeat("ü", 30_000)),
					{Kind: client.Binary, Data: bytes.Repeat([]byte{0xff}, 16_381)}, {Kind: client.Binary},
				} {
					if err := c.Send(t.Context(), want); err != nil {
						t.Fatal(err)
					}
					got, err := c.Receive(t.Context())
					if err != nil || got.Kind != want.Kind || !bytes.Equal(got.Data, want.Data) {
						t.Fatalf("got %s %.20q, %v, want %s %.20q", got.Kind, got.Data, err, want.Kind, want.Data)
					}
				}
				for conn := range b.site.door.Conns() {
					if !conn.Sealed() || !strings.HasPrefix(conn.Identity().Subject, "ada") {
						t.Errorf("sealed %t, %+v", conn.Sealed(), conn.Identity())
					}
				}
				closeAll(t, c)
				synctest.Wait()
				if got := b.ended(); !slices.Equal(got, []string{"peer.closed"}) {
					t.Errorf("the door says %q", got)
				}
				for _, secret := range []string{"canary", tt.token, "Authorization", "hello"} {
					if strings.Contains(b.seen.String(), secret) {
						t.Errorf("%q was seen in between", secret)
					}
				}
				offered := offeredToken
				if len(tt.apps) > 0 {
					offered += "~chat, sallyport.v1+seal~chat.v0"
				}
				if !strings.Contains(b.seen.String(), offered+"\r\n") {
					t.Error("something else is offered than the seal")
				}
				if outside := b.seen.String(); strings.Count(outside, "\nclose 1000 \n") != 2 {
					t.Errorf("the closes show more than 1000")
				}
			})
		})
	}
}

// TestSealedTickets: a ticket travels inside too, and what the endpoint needs does
// not stand in the handshake.
func TestSealedTickets_SR93(t *testing.T) {
	atSealed(t, sallyport.SealOffered, nil, func(t *testing.T, b *between, o client.Options) {
		o.TicketURL = "http://app.example.com/sallyport/ticket"
		o.Header = http.Header{"Cookie": {"a=canary"}, "Origin": {"https://app.example.com"}}
		o.Token = func(context.Context, client.Why) (string, error) { return "ada;100s", nil }
		var heads []string
		b.request = func(head string) string { heads = append(heads, head); return head }
		c := newClient(t, o)
		for range 10 {
			exchange(t, c, "x")
			time.Sleep(50 * time.Second)
		}
		if n := len(slices.Collect(b.site.door.Conns())); n != 1 || len(heads) != 1 {
			t.Errorf("%d connections, %d handshakes", n, len(heads))
		}
		for _, word := range []string{"ticket", "canary", "Authorization"} {
			if strings.Contains(heads[0], word) {
				t.Errorf("the handshake shows %q", word)
			}
		}
		closeAll(t, c)
	})
}

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

// TestKeyDocuments_AT28: lists of keys that a client does not take, and what it
// asks for them.
func TestKeyDocuments_AT28(t *testing.T) {
	for _, tt := range []struct {
		name  string
		list  func(b *between, real []byte) (status int, header string, body []byte)
		fault seal.Fault
	}{
		{"the door's", nil, ""},
		{"of another identity", func(b *between, _ []byte) (int, string, []byte) {
			return 200, "", newSealer(b.sealer.t).keys(seal.Hybrid, 9).Document
		}, seal.FaultPin},
		{"with a signature that is wrong", func(_ *between, real []byte) (int, string, []byte) {
			real[len(real)-1] ^= 1
			return 200, "", real
		}, seal.FaultPin},
		{"with another key", func(_ *between, real []byte) (int, string, []byte) {
			real[200] ^= 1
			return 200, "", real
		}, seal.FaultPin},
		{"of another place", func(b *between, _ []byte) (int, string, []byte) {
			return 200, "", b.otherList(func(d *seal.Document) { d.Authority = "app.example.com:8443" })
		}, seal.FaultDocument},
		{"that has ended", func(b *between, _ []byte) (int, string, []byte) {
			return 200, "", b.otherList(func(d *seal.Document) { d.Issued, d.Expires = d.Issued.Add(-time.Hour), time.Now() })
		}, seal.FaultDocument},
		{"of the day after tomorrow", func(b *between, _ []byte) (int, string, []byte) {
			return 200, "", b.otherList(func(d *seal.Document) { d.Issued, d.Expires = d.Issued.Add(25*time.Hour), d.Expires.Add(25*time.Hour) })
		}, seal.FaultDocument},
		{"with keys of a suite that was not named", func(b *between, _ []byte) (int, string, []byte) {
			return 200, "", b.sealer.keys(seal.Classical, 9).Document
		}, seal.FaultDocument},
		{"larger than any", func(_ *between, real []byte) (int, string, []byte) {
			return 200, "", append(real, make([]byte, 1<<20)...)
		}, seal.FaultDocument},
		{"of nothing", func(*between, []byte) (int, string, []byte) { return 200, "", nil }, seal.FaultDocument},
		{"that is elsewhere", func(*between, []byte) (int, string, []byte) {
			return 302, "Location: http://app.example.com/.well-known/sallyport-seal?2\r\n", nil
		}, seal.FaultDocument},
		{"that is not there", func(*between, []byte) (int, string, []byte) { return 404, "", nil }, seal.FaultDocument},
		{"that compresses", func(_ *between, real []byte) (int, string, []byte) {
			return 200, "Content-Encoding: gzip\r\n", real[1:]
		}, seal.FaultDocument},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
				o.Header = http.Header{"X-A": {"not for the list"}}
				if tt.list != nil {
					b.list = func() (int, string, []byte) { return tt.list(b, b.otherList(func(*seal.Document) {})) }
				}
				c, err := client.Dial(t.Context(), doorURL, &o)
				lists, handshakes := b.counts()
				if tt.fault == "" {
					if err != nil {
						t.Fatal(err)
					}
					for _, field := range []string{"X-A", "Accept-Encoding"} {
						if strings.Contains(b.seen.String()[:strings.Index(b.seen.String(), "\r\n\r\n")], field) {
							t.Errorf("the list was asked for with %s", field)
						}
					}
					closeAll(t, c)
					return
				}
				synctest.Wait()
				if b.took > 200<<10 {
					t.Errorf("%d bytes of it were taken", b.took)
				}
				if err == nil || seal.FaultOf(err) != tt.fault || lists != 1 || handshakes != 0 {
					t.Errorf("got %v after %d lists and %d handshakes, want %s", err, lists, handshakes, tt.fault)
				}
			})
		})
	}
}

// otherList is a list of a higher generation, with a key that the door does not have.
func (b *between) otherList(change func(*seal.Document)) []byte {
	key, err := seal.GenerateKey(seal.Hybrid, time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		b.sealer.t.Fatal(err)
	}
	d := seal.Document{Authority: sealedAuthority, Generation: 2, Issued: time.Now(), Expires: time.Now().Add(24 * time.Hour), Keys: []seal.Entry{key.Entry()}}
	change(&d)
	return b.sealer.sign(d)
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
	for _, tt := range []struct{ name, refuse string }{
		{"an HTTP status", "HTTP/1.1 403 Forbidden\r\nContent-Length: 25\r\nRetry-After: 3600\r\n\r\n" + `{"error":"seal.required"}`},
		{"a close", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
				b.refuse = tt.refuse
				if tt.refuse == "" {
					b.down = func(int, []byte) []byte {
						return ws.AppendClose(nil, ws.Server, deny.SealRequired.Close(), deny.SealRequired.CloseReason())
					}
				}
				if _, err := client.Dial(t.Context(), doorURL, &o); err != nil {
					if refused, ok := errors.AsType[*client.RefusedError](err); !ok || refused.Reason != deny.SealRequired {
						t.Errorf("dial: got %v", err)
					}
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

// TestKeysRotate: a list from before a rotation is fetched anew, once.
func TestKeysRotate(t *testing.T) {
	atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
		asked := 0
		o.Token = func(context.Context, client.Why) (string, error) { asked++; return "ada@key", nil }
		closeAll(t, dialSealed(t, o))
		closeAll(t, dialSealed(t, o))
		if lists, _ := b.counts(); lists != 1 {
			t.Errorf("%d lists for two connections", lists)
		}
		old := b.sealer.keys(seal.Hybrid, 1)
		b.site.stop(time.Second)
		b.site.start(b.config(sallyport.SealRequired, 2, nil))
		closeAll(t, dialSealed(t, o))
		if lists, handshakes := b.counts(); lists != 2 || handshakes != 4 || asked != 3 {
			t.Errorf("%d lists, %d handshakes, %d credentials", lists, handshakes, asked)
		}
		if !strings.Contains(b.seen.String(), "Cache-Control: no-cache") {
			t.Error("the new list may have come from a cache")
		}
		b.set(func(b *between) { b.list = func() (int, string, []byte) { return 200, "", old.Document } })
		time.Sleep(5*time.Minute + time.Second)
		if _, err := client.Dial(t.Context(), doorURL, &o); seal.FaultOf(err) != seal.FaultDocument {
			t.Errorf("an older list: got %v", err)
		}
		b.set(func(b *between) {
			b.list = func() (int, string, []byte) { return 200, "", b.otherList(func(*seal.Document) {}) }
		})
		before, _ := b.counts()
		_, err := client.Dial(t.Context(), doorURL, &o)
		refused, ok := errors.AsType[*client.RefusedError](err)
		if lists, _ := b.counts(); !ok || refused.Reason != deny.SealKeys || lists != before+2 {
			t.Errorf("keys that the door never had: got %v after %d lists", err, lists-before)
		}
	})
}

// shelf is a memory of generations beyond a program.
type shelf struct {
	kept map[string]uint32
	err  error
	log  []string
}

func (s *shelf) Load(_ context.Context, authority string) (uint32, error) {
	return s.kept[authority], s.err
}

func (s *shelf) Store(_ context.Context, authority string, generation uint32) error {
	s.log = append(s.log, authority)
	s.kept[authority] = generation
	return nil
}

// TestGenerations: no list is accepted that is older than one that was.
func TestGenerations(t *testing.T) {
	atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
		kept := &shelf{kept: map[string]uint32{}}
		again := func() error {
			o.Seal = &client.Seal{Pins: o.Seal.Pins, Device: o.Seal.Device, Generations: kept}
			c, err := client.Dial(t.Context(), doorURL, &o)
			if err == nil {
				closeAll(t, c)
			}
			return err
		}
		for range 2 {
			if err := again(); err != nil {
				t.Error(err)
			}
		}
		if kept.kept[sealedAuthority] != 1 || len(kept.log) != 1 {
			t.Errorf("kept %v by %q", kept.kept, kept.log)
		}
		same := o
		closeAll(t, dialSealed(t, same))
		before, _ := b.counts()
		closeAll(t, dialSealed(t, same))
		kept.kept[sealedAuthority] = 2 // by another program
		if _, err := client.Dial(t.Context(), doorURL, &same); seal.FaultOf(err) != seal.FaultDocument {
			t.Errorf("a list of this program that is too old now: got %v", err)
		}
		if lists, _ := b.counts(); lists != before+1 {
			t.Errorf("%d lists", lists-before)
		}
		if err := again(); seal.FaultOf(err) != seal.FaultDocument {
			t.Errorf("an older list: got %v", err)
		}
		kept.err = errors.New("no disk")
		if err := again(); seal.FaultOf(err) != seal.FaultDocument || !strings.Contains(err.Error(), "no disk") {
			t.Errorf("no memory: got %v", err)
		}
		if _, n := b.counts(); n != 4 {
			t.Errorf("%d handshakes", n)
		}
	})
}

// TestSealedKeysFromAFile: Keys takes the place of the endpoint.
func TestSealedKeysFromAFile(t *testing.T) {
	atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
		var list []byte
		if raw, err := io.ReadAll(readerOf(b.site)); err != nil {
			t.Fatal(err)
		} else {
			list = raw
		}
		o.Seal.Keys = func(context.Context, bool) ([]byte, error) { return list, nil }
		closeAll(t, dialSealed(t, o))
		if lists, _ := b.counts(); lists != 0 {
			t.Errorf("%d lists were fetched", lists)
		}
	})
}

func readerOf(s *site) io.Reader {
	r, _ := http.NewRequest("GET", "https://app.example.com/.well-known/sallyport-seal", nil)
	r.RequestURI = r.URL.Path
	w := &recorder{header: http.Header{}}
	s.door.ServeHTTP(w, r)
	return &w.body
}

type recorder struct {
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(int)             {}
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

// TestSealedRefusals: what the door says inside is certain, and the table decides.
func TestSealedRefusals(t *testing.T) {
	for _, tt := range []struct {
		name, token string
		device      bool
		want        deny.Reason
	}{
		{"nobody that is known", "mallory", true, deny.AuthInvalid},
		{"a bearer, where keys are wanted", "ada", true, deny.SealUnbound},
		{"bound to another key", "ada@other", true, deny.SealUnbound},
		{"bound, and no key is proven", "ada@other", false, deny.SealUnbound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
				var whys []client.Why
				o.Token = func(_ context.Context, why client.Why) (string, error) {
					if whys = append(whys, why); len(whys) > 1 {
						return "", client.ErrUnauthenticated
					}
					return tt.token, nil
				}
				if !tt.device {
					o.Seal.Device = nil
				}
				c := newClient(t, o)
				err := c.Connect(t.Context())
				if !errors.Is(err, client.ErrUnauthenticated) || !slices.Equal(whys, []client.Why{client.Connecting, client.Rejected}) {
					t.Errorf("got %v, asked because of %q", err, whys)
				}
				if got := b.ended(); len(got) != 1 || got[0] != tt.want.Code() {
					t.Errorf("the door says %q, want %s", got, tt.want)
				}
				closeAll(t, c)
			})
		})
	}
}

// TestSealedLife: renewals, beats and ends are as on any connection, inside.
func TestSealedLife(t *testing.T) {
	t.Run("renewals", func(t *testing.T) {
		atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
			o.Token = func(context.Context, client.Why) (string, error) { return "ada@key;60s", nil }
			c := newClient(t, o)
			for range 20 {
				exchange(t, c, "x")
				time.Sleep(30 * time.Second)
			}
			if _, n := b.counts(); n != 1 {
				t.Errorf("%d handshakes", n)
			}
			closeAll(t, c)
		})
	})
	t.Run("idle", func(t *testing.T) {
		atSealed(t, sallyport.SealRequired, func(c *sallyport.Config) { c.Gates[0].Guard = nil }, func(t *testing.T, b *between, o client.Options) {
			c := newClient(t, o)
			exchange(t, c, "x")
			time.Sleep(10 * time.Minute)
			if s := c.State(); s.Status != client.Idle {
				t.Errorf("got %+v", s)
			}
			exchange(t, c, "y")
			closeAll(t, c)
		})
	})
	t.Run("signed out", func(t *testing.T) {
		atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
			c := dialSealed(t, o)
			if _, err := b.site.door.Revoke(t.Context(), guard.Match{Issuer: "test", Subject: "ada"}); err != nil {
				t.Fatal(err)
			}
			_, err := c.Receive(t.Context())
			if end, ok := errors.AsType[*client.CloseError](err); !ok || end.Reason != deny.AuthRevoked || end.Err != nil {
				t.Errorf("got %v", err)
			}
			closeAll(t, c)
		})
	})
	t.Run("the application's close", func(t *testing.T) {
		atSealed(t, sallyport.SealRequired, func(c *sallyport.Config) {
			c.Gates[0].Route = sallyport.OnMessage(func(c *sallyport.Conn, m sallyport.Message) { c.Close(4021, "canary") })
		}, func(t *testing.T, b *between, o client.Options) {
			c := dialSealed(t, o)
			c.Send(t.Context(), text("x"))
			_, err := c.Receive(t.Context())
			if end, ok := errors.AsType[*client.CloseError](err); !ok || end.Code != 4021 || end.Text != "canary" || end.Local {
				t.Errorf("got %v", err)
			}
			closeAll(t, c)
			if seen := b.seen.String(); strings.Contains(seen, "canary") || strings.Contains(seen, "close 4021") {
				t.Error("the close was seen in between")
			}
		})
	})
	t.Run("the client's own ends are sealed", func(t *testing.T) {
		atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
			if err := dialSealed(t, o).CloseWith(t.Context(), 4321, "canary"); err != nil {
				t.Error(err)
			}
			c := newClient(t, o)
			exchange(t, c, "x")
			c.Reconnect()
			time.Sleep(time.Second)
			exchange(t, c, "y")
			closeAll(t, c)
			synctest.Wait()
			if got := b.ended(); !slices.Equal(got, []string{"peer.closed", "peer.closed", "peer.closed"}) {
				t.Errorf("the door says %q", got)
			}
			if strings.Contains(b.seen.String(), "canary") {
				t.Error("the close was seen in between")
			}
		})
	})
	t.Run("a cut is tried again", func(t *testing.T) {
		atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
			c := newClient(t, o)
			exchange(t, c, "x")
			b.cut()
			synctest.Wait()
			if s := c.State(); s.Status != client.Waiting || seal.FaultOf(s.Err) != seal.FaultTruncated {
				t.Errorf("got %+v", s)
			}
			exchange(t, c, "y")
			closeAll(t, c)
		})
	})
	t.Run("who is in between cannot pretend that the door lives", func(t *testing.T) {
		atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
			c := dialSealed(t, o)
			b.set(func(b *between) { b.mute = true })
			for range 12 {
				time.Sleep(5 * time.Second)
				b.inject(false, ws.AppendFrame(nil, ws.Server, true, ws.Ping, []byte("alive")))
			}
			if end, ok := errors.AsType[*client.CloseError](context.Cause(c.Context())); !ok || end.Code != client.CodeSilent {
				t.Errorf("got %v", context.Cause(c.Context()))
			}
			closeAll(t, c)
		})
	})
}

// TestSealedRollingRestart: who moves before a restart moves sealed.
func TestSealedRollingRestart(t *testing.T) {
	atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
		c := newClient(t, o)
		exchange(t, c, "x")
		old := b.site.door
		oldServer := b.site.server
		b.site.start(b.config(sallyport.SealRequired, 2, nil))
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := old.Drain(ctx); err != nil {
			t.Error(err)
		}
		oldServer.Close()
		exchange(t, c, "y")
		if s := c.State(); s.Status != client.Open || s.Err != nil {
			t.Errorf("got %+v", s)
		}
		closeAll(t, c)
	})
}

// TestSealedKeysAge: keys are made anew each hour, both sides agreeing, and stepped
// in between.
func TestSealedKeysAge_SR97(t *testing.T) {
	atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
		c := dialSealed(t, o)
		for range 3 * 60 {
			time.Sleep(time.Minute)
			if err := c.Send(t.Context(), text("x")); err != nil {
				t.Fatal(err)
			}
			if m, err := c.Receive(t.Context()); err != nil || string(m.Data) != "x" {
				t.Fatalf("got %q, %v", m.Data, err)
			}
		}
		time.Sleep(3 * time.Hour) // of beats alone
		if err := c.Send(t.Context(), text("x")); err != nil {
			t.Fatal(err)
		}
		offers := 0
		for _, n := range b.sizes {
			if n >= 1216 && n < 1400 {
				offers++
			}
		}
		if offers != 6-1 && offers != 6 {
			t.Errorf("%d agreements in 6 hours", offers)
		}
		closeAll(t, c)
	})
}

// TestSealedStream: a stream that was cut does not end like one that is complete.
func TestSealedStream(t *testing.T) {
	bye := sallyport.OnMessage(func(c *sallyport.Conn, m sallyport.Message) {
		c.Post(m)
		c.Close(1000, "")
	})
	for _, tt := range []struct {
		name string
		cut  func(b *between)
		want error
		data string
	}{
		{"complete", nil, io.EOF, "hello"},
		{"cut at its end", func(b *between) {
			b.down = func(n int, m []byte) []byte {
				if n < 3 {
					return binaryDown(m)
				}
				return ws.AppendClose(nil, ws.Server, 1000, "")
			}
		}, nil, "hello"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atSealed(t, sallyport.SealRequired, func(c *sallyport.Config) { c.Gates[0].Route = bye }, func(t *testing.T, b *between, o client.Options) {
				if tt.cut != nil {
					b.set(tt.cut)
				}
				s := client.NetConn(t.Context(), dialSealed(t, o), client.Binary)
				if _, err := s.Write([]byte("hello")); err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(s)
				if tt.want == io.EOF && err != nil || tt.want == nil && seal.FaultOf(err) != seal.FaultTruncated || string(got) != tt.data {
					t.Errorf("got %q, %v", got, err)
				}
				s.Close()
			})
		})
	}
}

// TestSealedPace: a client keeps to the rates as the door counts them under a seal.
func TestSealedPace(t *testing.T) {
	heard := 0
	atSealed(t, sallyport.SealRequired, func(c *sallyport.Config) {
		c.Gates[0].Guard = &guard.Config{MaxMessage: 1 << 17, Bytes: 1 << 30, Messages: 10}
		c.Gates[0].Route = sallyport.OnMessage(func(*sallyport.Conn, sallyport.Message) { heard++ })
	}, func(t *testing.T, b *between, o client.Options) {
		c := dialSealed(t, o)
		large := text(strings.Repeat("x", 100_000)) // as much as seven messages to the door
		for range 40 {
			if err := c.Send(t.Context(), large); err != nil {
				t.Fatal(err)
			}
		}
		closeAll(t, c)
		synctest.Wait()
		if got := b.ended(); heard != 40 || !slices.Equal(got, []string{"peer.closed"}) {
			t.Errorf("the door heard %d and says %q", heard, got)
		}
	})
}

// TestKeysOutlived: a list that has ended, or whose keys have, is not used to the
// end of its five minutes.
func TestKeysOutlived(t *testing.T) {
	atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
		for _, life := range [][2]time.Duration{{time.Minute, time.Hour}, {time.Hour, time.Minute}} {
			now := time.Now()
			key, err := seal.GenerateKey(seal.Hybrid, now, now.Add(life[0]))
			if err != nil {
				t.Fatal(err)
			}
			short := b.sealer.sign(seal.Document{
				Authority: sealedAuthority, Generation: 1, Issued: now, Expires: now.Add(life[1]), Keys: []seal.Entry{key.Entry()},
			})
			b.set(func(b *between) { b.list = func() (int, string, []byte) { return 200, "", short } })
			if _, err := client.Dial(t.Context(), doorURL, &o); err == nil {
				t.Error("a door that does not have the key")
			}
			b.set(func(b *between) { b.list = nil })
			time.Sleep(time.Minute)
			before, _ := b.counts()
			closeAll(t, dialSealed(t, o))
			if lists, _ := b.counts(); lists != before+1 {
				t.Errorf("%d lists", lists-before)
			}
			time.Sleep(5*time.Minute + time.Second)
		}
	})
}
