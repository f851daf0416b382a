package client_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/client"
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

const sealedAuthority = "app.example.com:443"

// sealer has the identity of a door and makes its keys.
type sealer struct {
	t        *testing.T
	identity ed25519.PrivateKey
}

func newSealer(t *testing.T) *sealer {
	_, identity, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &sealer{t, identity}
}

func (s *sealer) pin() string { return seal.PinOf(s.identity.Public().(ed25519.PublicKey)).String() }

// keys makes a key of a suite and the list that has it alone.
func (s *sealer) keys(suite seal.Suite, generation uint32) *sallyport.Sealing {
	s.t.Helper()
	now := time.Now()
	key, err := seal.GenerateKey(suite, now, now.Add(40*24*time.Hour))
	if err != nil {
		s.t.Fatal(err)
	}
	ring, err := seal.NewRing(key)
	if err != nil {
		s.t.Fatal(err)
	}
	return &sallyport.Sealing{Ring: ring, Document: s.sign(seal.Document{
		Authority: sealedAuthority, Generation: generation, Issued: now, Expires: now.Add(31 * 24 * time.Hour), Keys: []seal.Entry{key.Entry()},
	})}
}

func (s *sealer) sign(d seal.Document) []byte {
	s.t.Helper()
	raw, err := d.Sign(s.identity)
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}

// between is whoever ends TLS: it has all that a client and a door say to each
// other in its hands. A connection is used by a test only after it is settled.
type between struct {
	site   *site
	sealer *sealer

	mu sync.Mutex // guards what follows
	// list is what is shown as the list of keys; nil: what the door says.
	list func() (status int, header string, body []byte)
	// request and answer change the head of the handshake.
	request, answer func(head string) string
	// refuse answers a handshake instead of the door.
	refuse string
	// up and down say what goes on the wire for the message n of a direction,
	// counted from 0.
	up, down func(n int, message []byte) []byte
	// mute drops all that comes from the door.
	mute bool

	lists, handshakes int
	took              int          // bytes of the last answer of its own
	seen              bytes.Buffer // all that passed, in both directions
	sizes             []int        // of the client's messages
	ends              []sallyport.Event
	live              []net.Conn
	busy              sync.WaitGroup
}

func binaryDown(b []byte) []byte { return ws.AppendFrame(nil, ws.Server, true, ws.Binary, b) }

// set changes what is done from now on.
func (b *between) set(f func(b *between)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(b)
}

func (b *between) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := sallyporttest.Pipe()
	b.busy.Go(func() { b.serve(there) })
	return here, nil
}

func readHead(r io.Reader) (head string, rest []byte, err error) {
	var all []byte
	buf := make([]byte, 16<<10)
	for {
		n, err := r.Read(buf)
		all = append(all, buf[:n]...)
		if i := bytes.Index(all, []byte("\r\n\r\n")); i >= 0 {
			return string(all[:i+4]), all[i+4:], nil
		}
		if err != nil {
			return "", nil, err
		}
	}
}

func (b *between) serve(near net.Conn) {
	defer near.Close()
	head, rest, err := readHead(near)
	if err != nil {
		return
	}
	b.mu.Lock()
	b.seen.WriteString(head)
	own := ""
	if strings.HasPrefix(head, "GET /.well-known/") {
		if b.lists++; b.list != nil {
			status, header, body := b.list()
			own = fmt.Sprintf("HTTP/1.1 %d X\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, header, len(body), body)
		}
	} else if strings.HasPrefix(head, "GET /ws") {
		if b.handshakes++; b.request != nil {
			head = b.request(head)
		}
		own = b.refuse
	}
	b.mu.Unlock()
	if own != "" {
		n, _ := near.Write([]byte(own))
		b.set(func(b *between) { b.took = n })
		return
	}
	far, err := b.site.dial(context.Background(), "", "")
	if err != nil {
		return
	}
	defer far.Close()
	far.Write([]byte(head))
	if !strings.HasPrefix(head, "GET /ws") {
		far.Write(rest)
		b.busy.Go(func() { io.Copy(far, near) })
		io.Copy(near, far)
		return
	}
	answer, rest, err := readHead(far)
	if err != nil {
		return
	}
	b.mu.Lock()
	if b.answer != nil {
		answer = b.answer(answer)
	}
	b.seen.WriteString(answer)
	b.live = append(b.live, near, far)
	b.mu.Unlock()
	near.Write([]byte(answer))
	if !strings.Contains(answer, " 101 ") {
		near.Write(rest)
		io.Copy(near, far)
		return
	}
	b.busy.Go(func() { b.relay(far, near, nil, true) })
	b.relay(near, far, rest, false)
}

// relay carries messages from one side to the other, whole.
func (b *between) relay(to, from net.Conn, unread []byte, isUp bool) {
	defer to.Close()
	defer from.Close()
	parser := ws.Parser{Role: ws.Client, MaxMessage: 1 << 20}
	role := ws.Server
	if isUp {
		parser.Role, role = ws.Server, ws.Client
	}
	n := 0
	var whole []byte
	for {
		for len(unread) > 0 {
			ev, used, err := parser.Next(unread)
			if unread = unread[used:]; err != nil {
				return
			}
			switch ev.Kind {
			case ws.CloseEvent:
				b.note([]byte(fmt.Sprintf("\nclose %d %s\n", ev.Code, ev.Data)), isUp)
				to.Write(ws.AppendClose(nil, role, ev.Code, string(ev.Data)))
				continue
			case ws.PingEvent:
				to.Write(ws.AppendFrame(nil, role, true, ws.Ping, ev.Data))
				continue
			case ws.PongEvent:
				to.Write(ws.AppendFrame(nil, role, true, ws.Pong, ev.Data))
				continue
			case ws.Data:
				if whole = append(whole, ev.Data...); !ev.Last {
					continue
				}
			default:
				continue
			}
			message := whole
			whole = nil
			change := b.note(message, isUp)
			out := ws.AppendFrame(nil, role, true, ev.Op, message)
			if change != nil {
				out = change(n, bytes.Clone(message))
			}
			if n++; len(out) > 0 {
				to.Write(out)
			}
		}
		buf := make([]byte, 32<<10)
		k, err := from.Read(buf)
		if unread = buf[:k]; err != nil && k == 0 {
			return
		}
	}
}

func (b *between) note(message []byte, isUp bool) (change func(int, []byte) []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen.Write(message)
	if isUp {
		b.sizes = append(b.sizes, len(message))
		return b.up
	}
	if b.mute {
		return func(int, []byte) []byte { return nil }
	}
	return b.down
}

// inject writes to the client, or the door, of the last connection.
func (b *between) inject(toDoor bool, frame []byte) {
	b.mu.Lock()
	conn := b.live[len(b.live)-2]
	if toDoor {
		conn = b.live[len(b.live)-1]
	}
	b.mu.Unlock()
	conn.Write(frame)
}

// cut ends the last connection, on both sides.
func (b *between) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.live[len(b.live)-2:] {
		c.Close()
	}
}

func (b *between) counts() (lists, handshakes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lists, b.handshakes
}

// ended are the reasons of what the door ended or refused.
func (b *between) ended() (reasons []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.ends {
		reasons = append(reasons, e.Reason.Code())
	}
	return reasons
}

// atSealed runs f with a door whose gate /ws is sealed, and somebody in between.
func atSealed(t *testing.T, mode sallyport.Seal, change func(*sallyport.Config), f func(t *testing.T, b *between, o client.Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &between{site: &site{t: t}, sealer: newSealer(t)}
		b.site.start(b.config(mode, 1, change))
		f(t, b, client.Options{
			NetDial: b.dial, DangerouslyAllowPlaintext: "a test in memory",
			Token: func(context.Context, client.Why) (string, error) { return "ada@key", nil },
			Seal:  &client.Seal{Pins: []string{b.sealer.pin()}, Device: b.sealer.identity}, // any key will do
		})
		b.site.stop(5 * time.Second)
		b.busy.Wait()
	})
}

func (b *between) config(mode sallyport.Seal, generation uint32, change func(*sallyport.Config)) func(*sallyport.Config) {
	sealing := b.sealer.keys(seal.Hybrid, generation)
	return func(c *sallyport.Config) {
		c.Auth = auth.First(keyed{}, c.Tickets)
		c.Sealing = sealing
		c.Gates[0].Seal = mode
		c.Gates[0].Guard = &guard.Config{Idle: 12 * time.Hour, Ping: 25 * time.Second}
		c.Observe = func(e sallyport.Event) {
			if e.Kind != sallyport.Admitted {
				b.set(func(b *between) { b.ends = append(b.ends, e) })
			}
		}
		if change != nil {
			change(c)
		}
	}
}

func dialSealed(t *testing.T, o client.Options) *client.Conn {
	t.Helper()
	c, err := client.Dial(t.Context(), doorURL, &o)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Sealed() || !c.Speaks() {
		t.Errorf("sealed %t, speaks %t", c.Sealed(), c.Speaks())
	}
	return c
}

// choosing is a route that speaks the first subprotocol that is offered.
type choosing struct{ sallyport.Route }

func (r choosing) Open(ctx context.Context, h *sallyport.Handshake) (sallyport.Sink, error) {
	if len(h.Protocols) > 0 {
		h.Protocol = h.Protocols[0]
	}
	return r.Route.Open(ctx, h)
}
