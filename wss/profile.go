package wss

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Certificates answer which certificate a client gets. [Files] and [DevCA.For]
// are such.
type Certificates interface {
	// Certificate returns the certificate for hello, or nil if there is none for
	// the name that the client asked for: the handshake then fails with the alert
	// unrecognized_name. Safe from any goroutine.
	Certificate(hello *tls.ClientHelloInfo) *tls.Certificate
	// Generation changes whenever the certificates do.
	Generation() uint64
}

// Config is the TLS profile of a server.
type Config struct {
	// Certificates must not be nil.
	Certificates Certificates

	// MinVersion is "1.3", the default, or "1.2". TLS 1.2 is spoken with
	// ephemeral elliptic curves and authenticated encryption only.
	MinVersion string
}

// ticketLife is how long a key encrypts session tickets; the key before it still
// opens them. A resumed session is thus never older than a day.
const ticketLife = 12 * time.Hour

// suites12 is what TLS 1.2 may use (RFC 9325, section 4.2).
var suites12 = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// TLSConfig returns the profile: TLS 1.3, or 1.2 only by name; the hybrid
// X25519MLKEM768 before X25519 and P-256; the application protocol http/1.1, and
// no other that a client may insist on (ALPACA); no certificate for a name that
// none covers. A client that names no host, as with an address in the URL, gets
// the first certificate.
//
// Sessions are resumed, but only until the certificates change or a day is over.
func TLSConfig(c Config) (*tls.Config, error) {
	if c.Certificates == nil {
		return nil, errors.New("wss: no certificates")
	}
	base := &tls.Config{
		MinVersion:       tls.VersionTLS13,
		NextProtos:       []string{"http/1.1"},
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.Certificates.Certificate(hello), nil // nil, nil: unrecognized_name
		},
	}
	switch c.MinVersion {
	case "", "1.3":
	case "1.2":
		base.MinVersion, base.CipherSuites = tls.VersionTLS12, suites12
	default:
		return nil, fmt.Errorf("wss: MinVersion %q: only \"1.3\" and \"1.2\" are spoken", c.MinVersion)
	}
	// A resumed session shows no certificate: the name is judged before.
	stranger := base.Clone()
	stranger.SessionTicketsDisabled = true
	t := &tickets{base: base, source: c.Certificates}
	outer := base.Clone()
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if c.Certificates.Certificate(hello) == nil {
			return stranger, nil
		}
		return t.current(time.Now()), nil
	}
	return outer, nil
}

// tickets keeps the configuration of the present generation of certificates,
// with ticket keys of its own.
type tickets struct {
	base   *tls.Config
	source Certificates

	// mu guards what follows while a handshake asks for the configuration.
	mu         sync.Mutex
	config     *tls.Config
	generation uint64
	made       time.Time // of keys[0]
	keys       [][32]byte
}

func (t *tickets) current(now time.Time) *tls.Config {
	generation := t.source.Generation()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.config == nil || generation != t.generation {
		t.config, t.generation, t.keys = t.base.Clone(), generation, nil
	}
	if age := now.Sub(t.made); t.keys == nil || age >= ticketLife {
		keys := make([][32]byte, 1, 2)
		rand.Read(keys[0][:])
		if t.keys != nil && age < 2*ticketLife {
			keys = append(keys, t.keys[0])
		}
		t.keys, t.made = keys, now
		t.config.SetSessionTicketKeys(keys)
	}
	return t.config
}
