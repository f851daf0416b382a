package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
)

// Config is a backend and what it is told.
type Config struct {
	// To is the backend: ws://host:port[/base], wss://…, or
	// unix:/path/to.sock[:/base]. The client's path and query are sent behind
	// the base as they came, never decoded. Nothing in a request chooses the
	// scheme, the host or the port.
	To string

	// Host is what the backend reads in Host. Default: for ws and unix the
	// client's, which the door has checked, so that a backend can compare it
	// with Origin; for wss the host of To.
	Host string

	// Identity signs the header Sallyport-Identity. nil: none is sent.
	Identity *Identity

	// IdentityHeaders are plain headers with a claim each: {"X-Forwarded-User":
	// "sub"}. Claims are sub, iss, sid and scope. A claim that is empty sends no
	// header. The client's own headers of these names never pass.
	IdentityHeaders map[string]string

	// StripCookies are names of cookies that are the door's business. They never
	// pass, and no backend can set them.
	StripCookies []string

	// ForwardCredentials lets Authorization pass although the door has verified
	// it. Without it, the header passes only if the identity comes from somewhere
	// else: forward-auth, a session, or nobody (anonymous).
	ForwardCredentials bool

	// Stream sends the client's messages on as they arrive. By default they are
	// completed first, so that a message that turns out too big, or not to be
	// UTF-8, has not reached the backend in part.
	Stream bool

	// MaxMessageDown is the largest message accepted from the backend, in bytes.
	// A bigger one ends the connection with backend.too-big; what was streamed
	// of it has then reached the client. Default: that of the gate, 16 MiB.
	MaxMessageDown int64

	// DangerouslyPassMasked relays the client's data frames with the client's own
	// mask, as they arrive, and does not look into them. Its text is the reason; it
	// is logged at start and shown in GET /config.
	//
	// Given up are: a mask that the client cannot foresee, which keeps it from
	// writing bytes of its choice to whatever is between the door and the backend
	// (RFC 6455, section 10.3); the check for UTF-8; and that a message is complete
	// before the backend sees its beginning, as with Stream. All other rules and
	// limits hold. Connections that speak sallyport.v1 or are sealed are relayed as
	// without it; a gate that requires the seal refuses it.
	DangerouslyPassMasked string

	// TLS is for wss and https.
	TLS TLS

	// DialTimeout is for the connection, HandshakeTimeout for TLS and the answer
	// to the handshake together. The door allows authentication, dialling and
	// handshake 10 s in all. Defaults 5s and 10s.
	DialTimeout, HandshakeTimeout time.Duration

	// ResponseTimeout is how long the backend may take to begin its response to
	// an ordinary request; long polling needs some. Default 60s.
	ResponseTimeout time.Duration

	// ClientAddress finds the client's address of an ordinary request, as in
	// [sallyport.Config]. nil: the peer's.
	ClientAddress func(*http.Request) netip.Addr
}

// TLS is how a backend proves who it is.
type TLS struct {
	RootCAs    *x509.CertPool // nil: those of the system
	ServerName string         // the name in its certificate; default: the host of To

	// DangerouslySkipVerify believes any certificate. Its text is the reason; it
	// is logged at start and shown in GET /config.
	DangerouslySkipVerify string
}

// Defaults of Config.
const (
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 10 * time.Second
	responseTimeout  = 60 * time.Second
)

// Proxy is a backend behind a gate. It is a [sallyport.Route]. Its methods may
// be called from any goroutine.
type Proxy struct {
	config  Config
	target  target
	tls     *tls.Config // nil: plaintext
	names   []string    // of identity headers
	connect func(ctx context.Context, network, address string) (net.Conn, error)
}

// To is the short form: a route to the backend at url, with everything at its
// default. It panics on a url that is no backend.
func To(url string) sallyport.Route {
	p, err := New(Config{To: url})
	if err != nil {
		panic("proxy: " + err.Error())
	}
	return p
}

// New returns a route to a backend, or all mistakes of c at once. It does not
// connect.
func New(c Config) (*Proxy, error) { return prepare(c, "ws", "wss") }

func prepare(c Config, plain, secure string) (*Proxy, error) {
	p := &Proxy{config: c}
	var errs []error
	var err error
	if p.target, err = parseTarget(c.To, plain, secure); err != nil {
		errs = append(errs, err)
	}
	for name, claim := range c.IdentityHeaders {
		if err := checkIdentityHeader(name, claim); err != nil {
			errs = append(errs, err)
		}
		p.names = append(p.names, name)
	}
	for _, name := range c.StripCookies {
		if name == "" || strings.ContainsAny(name, "=;, \t") {
			errs = append(errs, fmt.Errorf("strip cookie %q: not the name of a cookie", name))
		}
	}
	if c.Host != "" && !validHost(c.Host) {
		errs = append(errs, fmt.Errorf("host %q: not a host with an optional port", c.Host))
	}
	if c.DangerouslyPassMasked != "" && plain != "ws" {
		errs = append(errs, errors.New("dangerously_pass_masked is for frames, of which an application that answers requests gets none"))
	}
	if c.MaxMessageDown < 0 {
		errs = append(errs, errors.New("max_message_down is negative; nothing is unlimited"))
	}
	for _, d := range []struct {
		name     string
		value    *time.Duration
		standard time.Duration
	}{
		{"dial timeout", &p.config.DialTimeout, dialTimeout},
		{"handshake timeout", &p.config.HandshakeTimeout, handshakeTimeout},
		{"response timeout", &p.config.ResponseTimeout, responseTimeout},
	} {
		if *d.value < 0 {
			errs = append(errs, fmt.Errorf("%s is negative; nothing waits for ever", d.name))
		}
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	dialer := net.Dialer{Timeout: p.config.DialTimeout, KeepAlive: 30 * time.Second} // TCP_NODELAY is Go's default
	p.connect = dialer.DialContext
	if p.target.tls {
		p.tls = c.TLS.config(p.target.name)
	} else if c.TLS != (TLS{}) {
		errs = append(errs, fmt.Errorf("tls is set, but %q is plaintext", c.To))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return p, nil
}

// InternalPassesMasked is for package sallyport.
func (p *Proxy) InternalPassesMasked() (why string) { return p.config.DangerouslyPassMasked }

// config is TLS 1.2 and newer, and HTTP/1.1 alone: a WebSocket needs it, and a
// backend that believes to speak HTTP/2 would be misunderstood.
func (t TLS) config(name string) *tls.Config {
	if t.ServerName != "" {
		name = t.ServerName
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"http/1.1"},
		RootCAs:            t.RootCAs,
		ServerName:         name,
		InsecureSkipVerify: t.DangerouslySkipVerify != "",
	}
}
