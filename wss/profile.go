package wss

import (
	"crypto/tls"
	"errors"
	"fmt"
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
// Sessions are resumed, without early data, by tickets that the client keeps. A
// ticket is good for the name that the client asked for, as long as that name has
// the certificate with which the session began, and for a day at most; a session
// that is resumed again and again ends within a week. What changes for other
// names ends nothing. Keys of tickets are made in the process and told to nobody:
// after a restart, and at another node, a client that comes with a ticket makes
// a whole handshake, without an error.
//
// No client certificate is asked for. If the *tls.Config is changed so that one
// is, [tls.Config.GetConfigForClient] has to be replaced too, and with it go the
// tickets described here.
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

		// Small records at the beginning let a page be drawn before all of it is
		// there. A WebSocket message is used when it is whole, and costs a write of
		// the kernel for each record.
		DynamicRecordSizingDisabled: true,
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
		cert := c.Certificates.Certificate(hello)
		if cert == nil {
			return stranger, nil
		}
		return t.config(cert, time.Now()), nil
	}
	return outer, nil
}
