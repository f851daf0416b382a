package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
)

// Options of [Dial] and [New]. The zero value is safe: TLS is verified, nothing
// is unlimited, and no credential is sent.
type Options struct {
	// Header is sent with the handshake and with the request to TicketURL, such
	// as Cookie, Origin or User-Agent. The fields of the handshake itself may
	// not be among them.
	Header http.Header

	// Protocols are the application's subprotocols in order of preference. Names
	// that begin with "sallyport" are not the application's.
	Protocols []string

	// Plain offers no sallyport.v1: an ordinary WebSocket. Without it the channel
	// is offered, and spoken if the server selects it.
	Plain bool

	// Ticket gives one-time tickets. nil: see TicketURL.
	Ticket Source

	// TicketURL is the door's endpoint for tickets,
	// "https://app.example.com/sallyport/ticket". A ticket is asked for with
	// Header and, if Token is set, with its token. 401 and 403 mean that somebody
	// has to sign in ([ErrUnauthenticated]). Empty: no ticket is sent.
	//
	// It is outside a Seal: what it is sent and gives is seen by whoever is in
	// between, so that Token needs a Device then, and all it refuses is tried
	// again, since nobody certain said so (see RefusedError.Outside).
	TicketURL string

	// Gate is the path for which TicketURL gives tickets. Default: that of the URL.
	Gate string

	// Token gives bearer tokens, for the Authorization header of the handshake,
	// or of the request to TicketURL if that is set. nil: none is sent.
	Token Source

	// HTTPClient asks TicketURL. It also gets the keys of a Seal, without its Jar
	// and following no redirect. Default: one with TLS and NetDial of these
	// options, that follows no redirect, keeps no connection and reads a head of
	// 16 KiB at most.
	HTTPClient *http.Client

	// TLS is cloned. Its default verifies the server's name with the roots of the
	// system and wants TLS 1.3. InsecureSkipVerify is refused, unless
	// VerifyConnection verifies in its place.
	TLS *tls.Config

	// NetDial makes the connection below TLS, such as one through a proxy.
	// Default: a [net.Dialer].
	NetDial func(ctx context.Context, network, address string) (net.Conn, error)

	// DangerouslyAllowPlaintext allows ws:// and http:// URLs. Its text is the
	// reason. Whoever is on the way can then read and change everything, the
	// credential included.
	DangerouslyAllowPlaintext string

	// Seal seals the connection above TLS, for a server whose pins the program
	// has. Tickets and tokens then travel inside the seal, of Protocols the server
	// can select the first alone, and of Header the handshake is without
	// Authorization and Cookie: those go to TicketURL. nil: as TLS makes it.
	Seal *Seal

	// MaxMessage is the largest message accepted from the server, in bytes; a
	// bigger one ends the connection with 1009. Default 16 MiB, maximum 1 GiB.
	MaxMessage int64

	// Buffer is how much is received before somebody asks for it, in bytes; and
	// one message more. Then nothing is read until half of it was taken: the
	// server has to wait. Default 1 MiB.
	Buffer int

	// ConnectTimeout is for the credential, the keys of a Seal, the handshakes and
	// the hello together.
	// Default 10s.
	ConnectTimeout time.Duration

	// WriteWait is how long the network may take to accept 32 KiB. Then the
	// connection is given up. Default 10s.
	WriteWait time.Duration

	// The rest is for New.

	Backoff Backoff
	Queue   Queue

	// ShouldRetry judges the ends that are the application's: whether to connect
	// again, with back-off. The table of reasons judges those of the door.
	// Default: 1001, 1005, 1006 and 1011 to 1014 are retried, others are not.
	ShouldRetry func(*CloseError) bool

	// OnState is told of every change, in order; if there are many at once, of
	// the last ones; and of a replaced connection that was cut (see State.Err). OnUnknown is told of messages that were sent and that may
	// have arrived and may not: nobody sends them again. Both are called from one
	// goroutine. They may call Send, Connect and Reconnect, but not Close.
	OnState   func(State)
	OnUnknown func([]Message)
}

// Backoff bounds how often a [Client] tries. Attempt n waits for a random time
// between 0 and the lesser of Max and Base·2ⁿ.
type Backoff struct {
	Base time.Duration // default 500ms
	Max  time.Duration // default 30s

	// Stable is how long a connection must have been open until the next failure
	// counts as the first. Default 10s.
	Stable time.Duration

	// GiveUp ends the client after so long without a stable connection. Default
	// 0: never.
	GiveUp time.Duration
}

// Queue bounds what waits for a connection.
type Queue struct {
	Messages int           // default 1000
	Bytes    int           // default 1 MiB, counting 64 for each message
	MaxAge   time.Duration // then a message is not sent any more; default 0: its context decides
}

// plan is Options with everything filled in, for one URL. It is not changed any
// more.
type plan struct {
	Options
	place   string // the URL without its query
	address string // to dial
	host    string
	target  string // path and query
	offer   []string
	seal    *sealPlan // nil without a Seal
	tickets *http.Client
}

// newPlan reports all mistakes at once.
func newPlan(raw string, o Options) (*plan, error) {
	p := &plan{Options: o}
	p.Header = canonical(o.Header)
	u, err := p.setURL(raw)
	errs := []error{err, p.setTLS()}
	errs = append(errs, p.setLimits()...)
	if p.offer, err = offer(o.Protocols, o.Plain, o.Seal != nil); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, p.setCredentials()...)
	errs = append(errs, p.setSeal(u)...)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if _, err := ws.AppendRequest(nil, http.MethodGet, p.target, p.host, ws.NewKey(), p.offer, p.Header); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return p, nil
}

// canonical is a copy with every name in its one spelling, so that none escapes
// who looks for it.
func canonical(h http.Header) http.Header {
	own := http.Header{}
	for name, values := range h {
		name = http.CanonicalHeaderKey(name)
		own[name] = append(own[name], values...)
	}
	return own
}

// setURL takes a URL apart. Errors do not repeat it: its query may hold anything.
func (p *plan) setURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Opaque != "" {
		return nil, errors.New("the URL must be wss://host/path")
	}
	port := "443"
	switch {
	case u.Scheme == "wss":
	case u.Scheme == "ws" && p.DangerouslyAllowPlaintext != "":
		port = "80"
	case u.Scheme == "ws":
		return nil, errors.New("ws:// is not protected: use wss://, or give a reason in DangerouslyAllowPlaintext")
	default:
		return nil, fmt.Errorf("the URL's scheme must be wss, not %.16q", u.Scheme)
	}
	switch {
	case u.User != nil:
		return nil, errors.New("the URL must not hold a user or password: use Token")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return nil, errors.New("the URL must not have a fragment")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	p.place = u.Scheme + "://" + u.Host + path
	p.address, p.host, p.target = net.JoinHostPort(u.Hostname(), port), u.Host, path
	if p.Gate == "" {
		p.Gate = path
	}
	if u.RawQuery != "" || u.ForceQuery {
		p.target += "?" + u.RawQuery
	}
	if u.Scheme == "ws" {
		p.TLS = nil
		return u, nil
	}
	if p.TLS == nil {
		p.TLS = &tls.Config{}
	}
	p.TLS = p.TLS.Clone()
	if p.TLS.ServerName == "" {
		p.TLS.ServerName = u.Hostname()
	}
	return u, nil
}

// setTLS completes the configuration; nil is plaintext that was asked for.
func (p *plan) setTLS() error {
	if p.TLS == nil {
		return nil
	}
	if p.TLS.InsecureSkipVerify && p.TLS.VerifyConnection == nil {
		return errors.New("TLS.InsecureSkipVerify trusts everybody: put the server's certificate authority into TLS.RootCAs")
	}
	p.TLS.NextProtos = []string{"http/1.1"}
	if p.TLS.MinVersion == 0 {
		p.TLS.MinVersion = tls.VersionTLS13
	}
	if p.TLS.MinVersion < tls.VersionTLS12 {
		return errors.New("TLS.MinVersion must be 1.2 at least")
	}
	return nil
}

func (p *plan) setLimits() (errs []error) {
	fill := func(name string, value *time.Duration, standard time.Duration) {
		if *value == 0 {
			*value = standard
		}
		if *value < 0 {
			errs = append(errs, fmt.Errorf("%s must not be negative", name))
		}
	}
	number := func(name string, value *int, standard int) {
		if *value == 0 {
			*value = standard
		}
		if *value < 0 {
			errs = append(errs, fmt.Errorf("%s must not be negative", name))
		}
	}
	fill("ConnectTimeout", &p.ConnectTimeout, 10*time.Second)
	fill("WriteWait", &p.WriteWait, 10*time.Second)
	fill("Backoff.Base", &p.Backoff.Base, 500*time.Millisecond)
	fill("Backoff.Max", &p.Backoff.Max, 30*time.Second)
	fill("Backoff.Stable", &p.Backoff.Stable, 10*time.Second)
	fill("Backoff.GiveUp", &p.Backoff.GiveUp, 0)
	fill("Queue.MaxAge", &p.Queue.MaxAge, 0)
	number("Queue.Messages", &p.Queue.Messages, 1000)
	number("Queue.Bytes", &p.Queue.Bytes, 1<<20)
	number("Buffer", &p.Buffer, 1<<20)
	if p.MaxMessage == 0 {
		p.MaxMessage = 16 << 20
	}
	if p.MaxMessage < 0 || p.MaxMessage > 1<<30 {
		errs = append(errs, errors.New("MaxMessage must be 1 byte to 1 GiB"))
	}
	if p.NetDial == nil {
		p.NetDial = new(net.Dialer).DialContext
	}
	return errs
}

func (p *plan) setCredentials() (errs []error) {
	if p.Ticket != nil && (p.TicketURL != "" || p.Token != nil) {
		errs = append(errs, errors.New("with Ticket, TicketURL and Token must be empty: a connection has one credential"))
	}
	if p.Token != nil && p.Header.Get("Authorization") != "" {
		errs = append(errs, errors.New("with Token, Header must not hold Authorization"))
	}
	if p.TicketURL == "" {
		return errs
	}
	if err := p.checkEndpoint("TicketURL", p.TicketURL); err != nil {
		errs = append(errs, err)
	}
	if p.tickets = p.HTTPClient; p.tickets == nil {
		p.tickets = p.ownHTTP(true)
	}
	return errs
}

// ownHTTP is a client with TLS and NetDial of the options. elsewhere: the endpoint
// may be on another host than the URL's.
func (p *plan) ownHTTP(elsewhere bool) *http.Client {
	config := p.TLS.Clone() // nil stays nil
	if config != nil && elsewhere {
		config.ServerName = ""
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: p.NetDial, TLSClientConfig: config, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// checkEndpoint wants an https URL. Errors do not repeat it.
func (p *plan) checkEndpoint(name, raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		return fmt.Errorf("%s must be https://host/path", name)
	case u.Scheme != "https" && (u.Scheme != "http" || p.DangerouslyAllowPlaintext == ""):
		return fmt.Errorf("%s must be https", name)
	}
	return nil
}
