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

// The client with pins, against a door behind somebody who ends TLS: what works.

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
