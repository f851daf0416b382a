package sallyport_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/sallyporttest"
	"github.com/sallyport/sallyport/seal"
)

// keyed is named, for credentials that may be bound to a key: "ada@key" is bound
// to whatever key the client has proven, "ada@other" to another.
type keyed struct{ named }

func (k keyed) Authenticate(ctx context.Context, r *http.Request) (auth.Identity, error) {
	id, err := k.named.Authenticate(ctx, r)
	name, bound, _ := strings.Cut(id.Subject, "@")
	id.Subject = name
	switch bound {
	case "key":
		id.Key = auth.AttemptFrom(ctx).Key
	case "other":
		id.Key = "another key"
	}
	return id, err
}

// sealing is a door's keys, and what its clients know of them.
type sealingKeys struct {
	*sallyport.Sealing
	pin   seal.Pin
	entry seal.Entry
}

func newSealing(t *testing.T) sealingKeys {
	t.Helper()
	now := time.Now()
	key, err := seal.GenerateKey(seal.Hybrid, now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewRing(key)
	if err != nil {
		t.Fatal(err)
	}
	public, identity, _ := ed25519.GenerateKey(nil)
	document, err := seal.Document{
		Authority: "app.example.com:443", Generation: 1, Issued: now, Expires: now.Add(time.Hour), Keys: []seal.Entry{key.Entry()},
	}.Sign(identity)
	if err != nil {
		t.Fatal(err)
	}
	return sealingKeys{&sallyport.Sealing{Ring: ring, Document: document}, seal.PinOf(public), key.Entry()}
}

// sealer is a client of the seal.
type sealer struct {
	*sallyporttest.Client
	t       *testing.T
	session *seal.Session
}

func bearer(token string) seal.Credential {
	return seal.Credential{Kind: seal.Token, Value: token}
}

// sealedBy opens a sealed connection and presents a credential.
func sealedBy(t *testing.T, s *sallyporttest.Server, k sealingKeys, cred seal.Credential, device crypto.Signer, o sallyporttest.Options) *sealer {
	t.Helper()
	if o.Path == "" {
		o.Path = "/ws"
	}
	if o.Protocols == nil {
		o.Protocols = []string{"sallyport.v1+seal"}
	}
	c := &sealer{s.Connect(t, o), t, nil}
	origin := "https://app.example.com"
	if o.Origin == "-" {
		origin = ""
	}
	at := seal.Context{Token: c.Protocol, Authority: "app.example.com:443", Target: o.Path, Origin: origin}
	client, hello, err := seal.NewClient(k.entry, at, seal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.Send(ws.Binary, hello)
	answer, err := c.Receive()
	if err != nil || answer.Op != ws.Binary {
		t.Fatalf("the seal's answer: %v, %v", answer, err)
	}
	var record []byte
	if c.session, record, err = client.Finish(answer.Data, cred, device); err != nil {
		t.Fatal(err)
	}
	c.Send(ws.Binary, record)
	return c
}

func (c *sealer) say(text string) {
	c.t.Helper()
	record, err := c.session.Seal(nil, seal.Text, false, []byte(text))
	if err != nil {
		c.t.Fatal(err)
	}
	c.Send(ws.Binary, record)
}

// want receives a sealed message that begins with text.
func (c *sealer) want(text string) string {
	c.t.Helper()
	m, err := c.Receive()
	if err != nil || m.Op != ws.Binary {
		c.t.Fatalf("got %v, %v, want a record", m, err)
	}
	r, err := c.session.Open(m.Data)
	if err != nil || r.Kind != seal.Text || !strings.HasPrefix(string(r.Data), text) {
		c.t.Fatalf("got %+v %q, %v, want %q", r, r.Data, err, text)
	}
	return string(r.Data)
}

// wantEnd receives the announcement, the sealed end and the close frame.
func (c *sealer) wantEnd(reason deny.Reason) {
	c.t.Helper()
	if said := c.want("\x01{"); !strings.Contains(said, `"code":"`+reason.Code()+`"`) {
		c.t.Errorf("announced %s, want %s", said, reason.Code())
	}
	m, err := c.Receive()
	if err != nil {
		c.t.Fatal(err)
	}
	r, err := c.session.Open(m.Data)
	if err != nil || r.Kind != seal.End || r.Code != reason.Close() || r.Reason != reason.CloseReason() {
		c.t.Errorf("ended with %+v, %v, want %s", r, err, reason)
	}
	c.WantClose(1000, "")
	if err := c.session.Closed(); err != nil {
		c.t.Errorf("the end is not certain: %v", err)
	}
}

// sealedBubble runs f with a door whose gate /ws is sealed.
func sealedBubble(t *testing.T, mode sallyport.Seal, change func(*sallyport.Config), f func(*testing.T, *sallyport.Door, *sallyporttest.Server, sealingKeys)) {
	t.Helper()
	var k sealingKeys
	bubble(t, func(c *sallyport.Config) {
		k = newSealing(t)
		c.Sealing = k.Sealing
		c.Auth = auth.First(keyed{})
		c.Gates[0].Seal = mode
		if change != nil {
			change(c)
		}
	}, func(t *testing.T, d *sallyport.Door, s *sallyporttest.Server) { f(t, d, s, k) })
}

func TestSealedEcho(t *testing.T) {
	_, device, _ := ed25519.GenerateKey(nil)
	tests := []struct {
		name   string
		mode   sallyport.Seal
		cred   seal.Credential
		device crypto.Signer
		offer  []string
	}{
		{"required, bound to a key", sallyport.SealRequired, bearer("ada@key"), device, nil},
		{"offered, a bearer", sallyport.SealOffered, bearer("ada"), nil, nil},
		{"offered, with what a plain client would offer", sallyport.SealOffered, bearer("ada"), nil, []string{"sallyport.v1", "sallyport.v1+seal", "sallyport.v1+seal~x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sealedBubble(t, tt.mode, nil, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
				c := sealedBy(t, s, k, tt.cred, tt.device, sallyporttest.Options{Protocols: tt.offer})
				c.want("\x01{")
				for range 3 {
					c.say("\x00hello")
					c.want("\x00hello")
				}
				for conn := range door.Conns() {
					if !conn.Sealed() || conn.Identity().Subject != "ada" {
						t.Errorf("sealed: %v, %+v", conn.Sealed(), conn.Identity())
					}
				}
				c.say("\x01" + `{"t":"probe"}`)
				if got := c.want("\x01{"); !strings.Contains(got, `"got":3`) {
					t.Errorf("beat: %s", got)
				}
				c.wantEndAfter(door)
			})
		})
	}
}

func (c *sealer) wantEndAfter(door *sallyport.Door) {
	c.t.Helper()
	for conn := range door.Conns() {
		conn.End(deny.AdminClosed, nil)
	}
	c.wantEnd(deny.AdminClosed)
}

func TestSealedRefusals(t *testing.T) {
	_, device, _ := ed25519.GenerateKey(nil)
	cookie := sallyporttest.Options{Header: http.Header{"Authorization": {"Bearer ada"}}}
	tests := []struct {
		name   string
		cred   seal.Credential
		device crypto.Signer
		o      sallyporttest.Options
		want   deny.Reason
	}{
		{"no credential", seal.Credential{}, nil, sallyporttest.Options{}, deny.AuthMissing},
		{"a credential outside the seal only", seal.Credential{}, nil, cookie, deny.AuthMissing},
		{"a bearer, where keys are wanted", bearer("ada"), device, sallyporttest.Options{}, deny.SealUnbound},
		{"bound to another key", bearer("ada@other"), device, sallyporttest.Options{}, deny.SealUnbound},
		{"bound, and no key proven", bearer("ada@other"), nil, sallyporttest.Options{}, deny.SealUnbound},
		{"ended", bearer("ada@key;-1s"), device, sallyporttest.Options{}, deny.AuthExpired},
		{"a token that would break out of its line", bearer("ada@key\r\nCookie: x"), device, sallyporttest.Options{}, deny.AuthInvalid},
		{"a ticket that is none", seal.Credential{Kind: seal.Ticket, Value: "sallyport"}, device, sallyporttest.Options{}, deny.AuthInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sealedBubble(t, sallyport.SealRequired, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
				sealedBy(t, s, k, tt.cred, tt.device, tt.o).wantEnd(tt.want)
			})
		})
	}
	t.Run("no seal at all", func(t *testing.T) {
		sealedBubble(t, sallyport.SealRequired, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
			wantReason(t, s.Connect(t, as("ada")), deny.SealRequired)
		})
	})
	t.Run("nothing is sent after the 101", func(t *testing.T) {
		sealedBubble(t, sallyport.SealRequired, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
			c := s.Connect(t, sallyporttest.Options{Path: "/ws", Protocols: []string{"sallyport.v1+seal"}})
			began := time.Now()
			wantReason(t, c, deny.SealHandshake)
			if took := time.Since(began); took != 5*time.Second {
				t.Errorf("took %s, want 5s", took)
			}
		})
	})
}

// TestSealMiddle changes what a client and the door say to each other.
func TestSealMiddle(t *testing.T) {
	_, device, _ := ed25519.GenerateKey(nil)
	tests := []struct {
		name string
		do   func(c *sealer, record []byte)
		want deny.Reason
	}{
		{"a flipped bit", func(c *sealer, r []byte) { r[len(r)-1] ^= 1; c.Send(ws.Binary, r) }, deny.SealBroken},
		{"a record twice", func(c *sealer, r []byte) {
			c.Send(ws.Binary, append([]byte(nil), r...))
			c.want("\x00x")
			c.Send(ws.Binary, r)
		}, deny.SealBroken},
		{"a record left out", func(c *sealer, _ []byte) { c.say("\x00y") }, deny.SealBroken},
		{"a record cut short", func(c *sealer, r []byte) { c.Send(ws.Binary, r[:len(r)-1]) }, deny.SealBroken},
		{"text", func(c *sealer, r []byte) { c.Send(ws.Text, []byte("hello")) }, deny.SealBroken},
		{"nothing", func(c *sealer, r []byte) { c.Send(ws.Binary, nil) }, deny.SealBroken},
		{"more than a record", func(c *sealer, r []byte) { c.Send(ws.Binary, make([]byte, seal.MaxRecord+1)) }, deny.SealBroken},
		{"an unmasked frame", func(c *sealer, r []byte) { c.Raw([]byte{0x82, 0x01, 'a'}) }, deny.SealBroken},
		{"a close that is not the client's", func(c *sealer, r []byte) { c.Close(1000, "") }, deny.SealTruncated},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			heard := ""
			var ended deny.Reason
			listen := sallyport.OnMessage(func(c *sallyport.Conn, m sallyport.Message) { heard += string(m.Data); c.Post(m) })
			sealedBubble(t, sallyport.SealRequired, func(c *sallyport.Config) {
				c.Gates[0].Route = listen
				c.Observe = func(e sallyport.Event) {
					if e.Kind == sallyport.Ended {
						ended = e.Reason
					}
				}
			}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
				c := sealedBy(t, s, k, bearer("ada@key"), device, sallyporttest.Options{})
				c.want("\x01{")
				record, err := c.session.Seal(nil, seal.Text, false, []byte("\x00x"))
				if err != nil {
					t.Fatal(err)
				}
				tt.do(c, record)
				for {
					m, err := c.Receive()
					if err != nil {
						t.Fatal(err)
					}
					if m.Op == ws.Close {
						if m.Code != tt.want.Close() && m.Code != 1000 {
							t.Errorf("closed with %v, want %s", m, tt.want)
						}
						break
					}
				}
				if synctest.Wait(); ended != tt.want {
					t.Errorf("ended with %s, want %s", ended, tt.want)
				}
				if strings.Trim(heard, "x") != "" || len(heard) > 1 {
					t.Errorf("the application heard %q", heard)
				}
			})
		})
	}
}

func TestSealedMessagesStream(t *testing.T) {
	_, device, _ := ed25519.GenerateKey(nil)
	sealedBubble(t, sallyport.SealRequired, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
		c := sealedBy(t, s, k, bearer("ada@key"), device, sallyporttest.Options{})
		c.want("\x01{")
		want := "\x00" + strings.Repeat("grüße ", 6000)
		for rest := want; rest != ""; {
			n := min(len(rest), 5000)
			record, err := c.session.Seal(nil, seal.Text, n < len(rest), []byte(rest[:n]))
			if err != nil {
				t.Fatal(err)
			}
			c.Send(ws.Binary, record)
			rest = rest[n:]
		}
		got := ""
		for more := true; more; {
			m, err := c.Receive()
			if err != nil {
				t.Fatal(err)
			}
			r, err := c.session.Open(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			got, more = got+string(r.Data), r.More
		}
		if got != want {
			t.Errorf("%d bytes came back of %d", len(got), len(want))
		}
		bad, _ := c.session.Seal(nil, seal.Text, false, []byte("\x00\xff"))
		c.Send(ws.Binary, bad)
		c.wantEnd(deny.SealMalformed)
	})
}

func TestSealedKeysAge(t *testing.T) {
	_, device, _ := ed25519.GenerateKey(nil)
	sealedBubble(t, sallyport.SealRequired, func(c *sallyport.Config) {
		c.Gates[0].Guard = &guard.Config{Idle: time.Hour}
	}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
		c := sealedBy(t, s, k, bearer("ada@key"), device, sallyporttest.Options{})
		ratchets := 0
		receive := func() {
			t.Helper()
			m, err := c.Receive()
			if err != nil {
				t.Fatal(err)
			}
			r, err := c.session.Open(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			if r.Kind == seal.Filler {
				ratchets++
			}
			if r.Kind == seal.Answer {
				turn, err := c.session.Reply(nil)
				if err != nil {
					t.Fatal(err)
				}
				c.Send(ws.Binary, turn)
			}
		}
		for began := time.Now(); time.Since(began) < 30*time.Minute; {
			receive() // beats, every 25s
		}
		if ratchets != 2 && ratchets != 3 {
			t.Errorf("the key changed %d times in 30 minutes", ratchets)
		}
		offer, err := c.session.Offer(nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Send(ws.Binary, offer)
		synctest.Wait()
		for range 3 {
			receive()
		}
		c.say("\x00still here")
		c.want("\x00still here")
	})
}

func TestSealedDocumentIsServed(t *testing.T) {
	sealedBubble(t, sallyport.SealOffered, nil, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
		r, _ := http.NewRequest("GET", "https://app.example.com/.well-known/sallyport-seal", nil)
		r.RequestURI = r.URL.Path
		w := &recorder{header: http.Header{}}
		door.ServeHTTP(w, r)
		if w.status != 0 && w.status != 200 || string(w.body) != string(k.Document) {
			t.Errorf("got %d, %d bytes", w.status, len(w.body))
		}
	})
}

func TestSealedDocumentOfEachName(t *testing.T) {
	change := func(c *sallyport.Config) {
		c.Origin.Hosts = []string{"app.example.com", "app.example.com:8443", "[::1]", "other.example.com"}
		c.Sealing = &sallyport.Sealing{Ring: c.Sealing.Ring, Documents: map[string][]byte{
			"app.example.com:443": []byte("one"), "app.example.com:8443": []byte("two"), "[::1]:443": []byte("three"),
		}}
	}
	sealedBubble(t, sallyport.SealOffered, change, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
		for host, want := range map[string]string{
			"app.example.com": "one", "APP.example.com:443": "one", "app.example.com:8443": "two", "[::1]": "three", "other.example.com": "",
		} {
			r, _ := http.NewRequest("GET", "https://"+host+"/.well-known/sallyport-seal", nil)
			r.RequestURI = r.URL.Path
			w := &recorder{header: http.Header{}}
			door.ServeHTTP(w, r)
			if want == "" && w.status != http.StatusNotFound || want != "" && string(w.body) != want {
				t.Errorf("%s: got %d %q, want %q", host, w.status, w.body, want)
			}
		}
	})
}

type recorder struct {
	header http.Header
	status int
	body   []byte
}

func (r *recorder) Header() http.Header  { return r.header }
func (r *recorder) WriteHeader(code int) { r.status = code }
func (r *recorder) Write(b []byte) (int, error) {
	r.body = append(r.body, b...)
	return len(b), nil
}
