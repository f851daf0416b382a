package wss

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// ticketLife is how long a key encrypts session tickets. Older keys still
	// open them, for ticketLife again.
	ticketLife = 12 * time.Hour

	// lineLife is how long sessions may go on from one to the next. Then all
	// keys are forgotten at once, since a resumed session gets a new ticket and
	// nobody can tell which was the first (RFC 8446, section 4.6.1).
	lineLife = 7 * 24 * time.Hour

	maxTicketKeys    = 4   // a change of certificates makes one too
	maxTicketConfigs = 256 // certificates in use at once; with more, configurations are made again
)

// tickets keeps the keys of session tickets, and for each certificate in use a
// configuration whose tickets are bound to it.
type tickets struct {
	base   *tls.Config // set once
	source Certificates

	// mu guards what follows while a handshake asks for its configuration.
	mu         sync.Mutex
	generation uint64
	keys       []ticketKey // the newest first
	begun      time.Time   // of the line of keys
	configs    map[*tls.Certificate]*tls.Config
}

type ticketKey struct {
	secret [32]byte
	made   time.Time
}

// config returns the configuration for a client that is to see cert.
func (t *tickets) config(cert *tls.Certificate, now time.Time) *tls.Config {
	t.mu.Lock()
	defer t.mu.Unlock()
	// Asked with the lock held: of two handshakes around a change, the later
	// must not see the earlier state, and take it for one more change.
	if t.turn(t.source.Generation(), now) || len(t.configs) >= maxTicketConfigs {
		t.configs = map[*tls.Certificate]*tls.Config{} // those in use go on with what they have
	}
	c := t.configs[cert]
	if c == nil {
		c = t.bound(cert)
		t.configs[cert] = c
	}
	return c
}

// turn makes a new key when the time of the present one is over, and when the
// certificates have changed: that may be because somebody has read the memory of
// this process. It reports whether the keys are others now. Called with mu held.
func (t *tickets) turn(generation uint64, now time.Time) bool {
	if now.Sub(t.begun) >= lineLife {
		t.keys, t.begun = nil, now
	}
	if len(t.keys) > 0 && generation == t.generation && now.Sub(t.keys[0].made) < ticketLife {
		return false
	}
	t.generation = generation
	next := ticketKey{made: now}
	rand.Read(next.secret[:])
	t.keys = slices.Insert(t.keys, 0, next)
	t.keys = slices.DeleteFunc(t.keys, func(k ticketKey) bool { return now.Sub(k.made) >= 2*ticketLife })
	t.keys = t.keys[:min(len(t.keys), maxTicketKeys)]
	return true
}

// bound is a configuration that shows cert and resumes only what began with it,
// under the same name. Called with mu held.
func (t *tickets) bound(cert *tls.Certificate) *tls.Config {
	var keys [][32]byte
	for _, k := range t.keys {
		keys = append(keys, k.secret)
	}
	c := t.base.Clone()
	c.SetSessionTicketKeys(keys)
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }
	leaf := sha256.Sum256(cert.Certificate[0])
	c.WrapSession = func(cs tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		session.Extra = append(session.Extra, mark(leaf, cs.ServerName))
		return c.EncryptTicket(cs, session)
	}
	c.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		session, err := c.DecryptTicket(ticket, cs)
		if session == nil || err != nil {
			return nil, err
		}
		want := mark(leaf, cs.ServerName)
		if !slices.ContainsFunc(session.Extra, func(extra []byte) bool { return bytes.Equal(extra, want) }) {
			return nil, nil // a whole handshake
		}
		return session, nil
	}
	return c
}

// mark is what a ticket for name carries, whose session began with the
// certificate leaf. It has the prefix that [tls.SessionState.Extra] asks for.
func mark(leaf [32]byte, name string) []byte {
	h := sha256.New()
	h.Write(leaf[:])
	h.Write([]byte(strings.ToLower(name)))
	return h.Sum([]byte("sallyport "))
}
