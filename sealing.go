package sallyport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/seal"
)

// Seal says whether a gate takes sealed connections (measure 5).
type Seal uint8

const (
	// SealOff ignores what clients offer: connections are as TLS makes them.
	SealOff Seal = iota

	// SealOffered seals the connections of clients that offer it.
	SealOffered

	// SealRequired refuses all others with seal.required, and credentials that
	// anybody between could have used: identity tickets and cookies outside the
	// seal and, unless Gate.AllowUnbound, credentials that are bound to no key.
	SealRequired
)

// Sealing is what a door seals with. A reload with another ring rotates keys:
// open connections live on.
type Sealing struct {
	Ring *seal.Ring

	// Document is the signed list of sealing keys, served at
	// /.well-known/sallyport-seal to whoever asks for another host than those of
	// Documents. May be nil, if Documents are not: others then get 404.
	Document []byte

	// Documents are those of doors with several names, by authority as the client
	// sees it: "app.example.com:443", lower case, always with the port.
	Documents map[string][]byte
}

// document is the one for a host that was asked for; nil if there is none.
func (s *Sealing) document(host string) []byte {
	if d, ok := s.Documents[authorityOf(host)]; ok {
		return d
	}
	return s.Document
}

// authorityOf is a Host with its port, as clients name it to the seal.
func authorityOf(host string) string {
	authority := strings.ToLower(host)
	if _, _, err := net.SplitHostPort(authority); err != nil {
		authority = net.JoinHostPort(strings.Trim(authority, "[]"), "443")
	}
	return authority
}

// sealDocument is where the signed list of sealing keys is.
const sealDocument = "/.well-known/sallyport-seal"

const (
	sealWait    = 5 * time.Second // for a client to get through the seal's handshake
	maxUnsealed = 1000            // handshakes under way, of clients that nobody knows yet
	maxOpening  = 64              // … of one address: a few that say nothing must not keep out the rest

	// keyAge is how long one key of the seal is used.
	keyAge = 10 * time.Minute
)

// sealed is a connection's side of SP-Seal/1 (spec/seal.md).
type sealed struct {
	session *seal.Session
	key     string // the thumbprint of the device's key, whose proof was verified

	born time.Time // of the key in use; guarded by the link's lock

	// Owned by the event in progress.
	record []byte // what has arrived of one; at most seal.MaxRecord
	begun  bool   // a message is under way
	text   ws.UTF8
}

var _ link.Sealer = (*sealed)(nil)

func (s *sealed) Seal(dst []byte, op ws.Opcode, more bool, data []byte) ([]byte, error) {
	kind := seal.Text
	if op == ws.Binary {
		kind = seal.Binary
	}
	return s.session.Seal(dst, kind, more, data)
}

func (s *sealed) Due(dst []byte) ([]byte, error) {
	before := len(dst)
	dst, err := s.session.Reply(dst)
	if err != nil || len(dst) > before || time.Since(s.born) < keyAge {
		return dst, err
	}
	s.born = time.Now()
	return s.session.Ratchet(dst)
}

func (s *sealed) End(dst []byte, code uint16, reason string) ([]byte, error) {
	return s.session.End(dst, code, reason)
}

// unseal turns a part of a binary message of the wire into a part of a message
// inside, and reports whether there is one.
func (c owner) unseal(ev *ws.Event) bool {
	s := c.sealed
	if ev.Op != ws.Binary {
		c.End(deny.SealBroken, errors.New("a text message outside the seal"))
		return false
	}
	record := ev.Data
	if !ev.First || !ev.Last {
		if len(s.record)+len(ev.Data) > seal.MaxRecord {
			c.End(deny.SealBroken, errors.New("more than a record"))
			return false
		}
		if s.record = append(s.record, ev.Data...); !ev.Last {
			return false
		}
		record, s.record = s.record, nil
	}
	r, err := s.session.Open(record)
	if err != nil {
		c.End(sealReason(err), err)
		return false
	}
	if !c.spend(1, len(r.Data)) { // a message, whatever it holds
		return false
	}
	switch r.Kind {
	case seal.Text, seal.Binary:
		ev.Op, ev.First, ev.Last, ev.Data = ws.Binary, !s.begun, !r.More, r.Data
		s.begun = r.More
		return r.Kind == seal.Binary || c.sealedText(ev)
	case seal.Offer:
		c.live().Owe()
	case seal.End:
		c.goodbye(r.Code, r.Reason) // whatever is done with the connection below
	}
	return false
}

// sealedText checks what the codec could not see.
func (c owner) sealedText(ev *ws.Event) bool {
	text := &c.sealed.text
	if ev.First {
		*text = ws.UTF8{}
	}
	ev.Op = ws.Text
	if text.Write(ev.Data) && (!ev.Last || text.Complete()) {
		return true
	}
	c.End(deny.SealMalformed, errors.New("a text that is not UTF-8"))
	return false
}

func sealReason(err error) deny.Reason {
	switch seal.FaultOf(err) {
	case seal.FaultKeys:
		return deny.SealKeys
	case seal.FaultHandshake:
		return deny.SealHandshake
	case seal.FaultBroken:
		return deny.SealBroken
	case seal.FaultMalformed:
		return deny.SealMalformed
	case seal.FaultLimit:
		return deny.SealLimit
	case seal.FaultTruncated:
		return deny.SealTruncated
	case seal.FaultProof:
		return deny.AuthInvalid
	}
	return deny.Internal
}

// breach is a visit that has got through its 101 to the seal.
type breach struct {
	*sealed    // alone outlives the opening: what else is here holds the credential
	parser     ws.Parser
	unread     []byte // behind what was parsed
	credential seal.Credential
}

// openSeal answers the handshake and goes through that of the seal, which must be
// done within sealWait. From then on a refusal is sealed.
func (v *visit) openSeal(ctx context.Context) (*http.Request, error) {
	if err := v.agree(ctx); err != nil {
		return nil, err
	}
	return v.presented()
}

func (v *visit) agree(ctx context.Context) error {
	d := v.door
	opening, err := d.unsealed.Admit(v.address)
	if err != nil {
		return deny.Because(deny.Of(err), errors.New("too many seals being opened"))
	}
	defer opening.Release()
	socket, early, err := d.hijack(v.w)
	if err != nil {
		return deny.Because(deny.Internal, err)
	}
	v.w, v.taken = nil, socket
	if early {
		return deny.Because(deny.HTTPMalformed, errors.New("bytes behind the handshake, before its answer"))
	}
	deadline, _ := ctx.Deadline()
	if soon := time.Now().Add(sealWait); soon.Before(deadline) {
		deadline = soon
	}
	socket.SetDeadline(deadline)
	b := &breach{sealed: new(sealed), parser: ws.Parser{Role: ws.Server, MaxMessage: maxHello}}
	if _, err := socket.Write(v.switching(v.seals)); err != nil {
		return deny.Because(deny.PeerLost, err)
	}
	v.breach = b
	hello, err := b.receive(socket)
	if err != nil {
		return err
	}
	server, answer, err := seal.Accept(v.policy.config.Sealing.Ring, v.sealContext(), hello, seal.Options{})
	if err != nil {
		return deny.Because(sealReason(err), err)
	}
	defer server.Erase()
	if _, err := socket.Write(ws.AppendFrame(nil, ws.Server, true, ws.Binary, answer)); err != nil {
		return deny.Because(deny.PeerLost, err)
	}
	record, err := b.receive(socket)
	if err != nil {
		return err
	}
	if b.session, b.credential, err = server.Authenticate(record); err != nil {
		return deny.Because(sealReason(err), err)
	}
	b.born, b.key = time.Now(), b.credential.Thumbprint
	socket.SetDeadline(time.Time{})
	return nil
}

// maxHello is the longest message of the seal's handshake, with room for either.
const maxHello = seal.MaxRecord

// sealContext is where the connection goes, as the door sees it.
func (v *visit) sealContext() seal.Context {
	return seal.Context{Token: v.seals, Authority: authorityOf(v.r.Host), Target: v.r.RequestURI, Origin: v.r.Header.Get("Origin")}
}

// receive waits for one binary message.
func (b *breach) receive(socket net.Conn) ([]byte, error) {
	var message []byte
	chunk := make([]byte, 4<<10)
	for {
		for len(b.unread) > 0 {
			ev, used, err := b.parser.Next(b.unread)
			b.unread = b.unread[used:]
			switch {
			case err != nil:
				return nil, deny.Because(deny.SealHandshake, err)
			case ev.Kind == ws.CloseEvent:
				return nil, deny.Because(deny.PeerClosed, nil)
			case ev.Kind == ws.Data && ev.Op != ws.Binary:
				return nil, deny.Because(deny.SealHandshake, errors.New("a text message in the handshake of the seal"))
			case ev.Kind == ws.Data:
				if message = append(message, ev.Data...); ev.Last {
					return message, nil
				}
			}
		}
		n, err := socket.Read(chunk)
		b.unread = append([]byte(nil), chunk[:n]...)
		if err != nil && n == 0 {
			if t, ok := errors.AsType[net.Error](err); ok && t.Timeout() {
				return nil, deny.Because(deny.SealHandshake, errors.New("the handshake of the seal took too long"))
			}
			return nil, deny.Because(deny.PeerLost, err)
		}
	}
}

// refuseSealed ends a connection whose 101 was sent, inside the seal if there is
// one. It blocks for a second at most.
func (v *visit) refuseSealed(err error) {
	b, reason := v.breach, deny.Of(err)
	v.observe(err, http.StatusSwitchingProtocols)
	if b.session == nil {
		link.Farewell(v.taken, ws.AppendClose(nil, ws.Server, reason.Close(), reason.CloseReason()))
		return
	}
	var last []byte
	add := func(record []byte, err error) {
		if err == nil {
			last = ws.AppendFrame(last, ws.Server, true, ws.Binary, record)
		}
	}
	add(b.session.Seal(nil, seal.Text, false, controlMessage(closing(reason, 0))))
	add(b.session.End(nil, reason.Close(), reason.CloseReason()))
	b.session.Erase()
	link.Farewell(v.taken, ws.AppendClose(last, ws.Server, 1000, ""))
}

// presented is the handshake with the credential that came inside the seal.
// Nothing that came outside counts, neither here nor for the route: whoever is in
// between could have put it there.
func (v *visit) presented() (*http.Request, error) {
	r, cred := v.r.Clone(v.r.Context()), v.breach.credential
	withoutCredentials(r)
	var ticket, token string
	switch cred.Kind {
	case seal.Ticket:
		ticket = cred.Value
	case seal.Token:
		token = cred.Value
	}
	return r, present(r, ticket, token)
}

// withoutCredentials takes off r what could say who sends it.
func withoutCredentials(r *http.Request) {
	for _, name := range []string{"Authorization", "Cookie", "Proxy-Authorization", "Sec-WebSocket-Protocol"} {
		r.Header.Del(name)
	}
}

// wantSeal decides whether the handshake goes in the sealed order.
func (v *visit) wantSeal() {
	if v.gate.Seal != SealOff {
		v.seals = sealToken(v.offer.Protocols)
	}
}

// checkSeal refuses what a gate with SealRequired does not take. It is refused
// before the seal: within it, only the client itself is to blame.
func (v *visit) checkSeal() error {
	if v.gate.Seal != SealRequired {
		return nil
	}
	if v.seals == "" {
		return deny.Because(deny.SealRequired, nil)
	}
	if _, n := auth.TicketFrom(v.r); n > 0 {
		return deny.Because(deny.AuthInvalid, errors.New("a ticket outside the seal"))
	}
	return nil
}

// checkOrigin judges where the handshake comes from. The credential of a sealed
// one comes later, and is none that a browser attaches by itself.
func (v *visit) checkOrigin() (string, error) {
	r := v.r
	if v.seals != "" {
		r = r.Clone(r.Context())
		withoutCredentials(r)
		r.Header.Set("Authorization", "Bearer inside")
	}
	return v.gate.origin.CheckHandshake(r)
}

// key is the thumbprint of the key that the client has proven to hold.
func (v *visit) key() string {
	if v.breach == nil {
		return ""
	}
	return v.breach.key
}

// Sealed reports whether the connection is sealed above TLS.
func (c *Conn) Sealed() bool { return c.seals != "" }

// bound refuses, where a gate wants more than bearer strength, an identity whose
// credential is bound to no key, and one bound to another than the client has.
func (g *gate) bound(id auth.Identity, key string) error {
	switch {
	case id.Key != "" && id.Key != key:
		return deny.Because(deny.SealUnbound, errors.New("bound to a key that was not proven"))
	case g.Seal == SealRequired && !g.AllowUnbound && id.Key == "" && id.Subject != "":
		return deny.Because(deny.SealUnbound, fmt.Errorf("bound to no key, which %s wants", g.Path))
	}
	return nil
}
