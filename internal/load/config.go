package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
)

// Expect says what the server does with a message.
type Expect string

// What a server is expected to do.
const (
	Echo    Expect = "echo"    // it sends the same back; messages of others are counted and not timed
	Any     Expect = "any"     // it answers each message by one, in order
	Nothing Expect = "nothing" // it need not answer: nothing is timed
)

// Limits of a [Config].
const (
	MaxConnections = 100_000
	MaxRate        = 100_000.0 // messages a second on one connection
	MaxRamp        = 100_000.0 // connections opened in a second
	MaxChurn       = 10_000.0  // connections closed and opened again in a second
	MaxHandshakes  = 10_000    // at the same time
	MinSize        = headSize  // bytes of a message
	MaxSize        = 16 << 20
	MaxDuration    = 24 * time.Hour
)

// Bounds of waits.
const (
	openWait   = 10 * time.Second // for a connection: TCP, TLS and the 101
	writeWait  = 10 * time.Second // for one write of at most 16 KiB
	settleWait = 2 * time.Second  // for the last replies
	leaveWait  = time.Second      // for the peer's close frame
	stormWait  = time.Minute      // for everybody to be back
)

// Config says what load to make. Zero values of numbers without a default mean
// none of it.
type Config struct {
	// URL is that of the endpoint: wss, or ws to a loopback address.
	URL string

	Connections int     // 1 to 100,000
	Rate        float64 // messages a second on each connection; 0 leaves them idle
	Size        int     // bytes of a message, 20 to 16 MiB
	Text        bool    // text messages; otherwise binary
	Expect      Expect  // of the server

	Ramp       float64       // connections opened in a second until all are there
	Handshakes int           // at most so many at the same time, also in a storm
	Warmup     time.Duration // under load, after the ramp, that is not measured
	Duration   time.Duration // that is
	Churn      float64       // connections closed and opened again in a second, while it is measured
	Storm      bool          // at the end all are cut at once and come back at once

	// TLS holds trusted roots and the like; nil means those of the system. Resume
	// lets who comes back, by churn or storm, resume its TLS session.
	TLS    *tls.Config
	Resume bool

	// Header goes with each handshake. Of Bearers and Cookies the connections take
	// one in turn; of Tickets each is presented once, and who finds none left fails.
	Header  http.Header
	Bearers []string
	Cookies []string
	Tickets []string

	// Protocols are the subprotocols offered. With tickets and none, "sallyport" is.
	Protocols []string

	// Progress is called twice a second by the goroutine of Run; it must not block.
	Progress func(Progress)

	// Dial makes the connection below TLS; nil means TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	sleep func(time.Duration) // of the pacer; nil means the system's most exact
}

// plan is a Config that was checked.
type plan struct {
	Config
	target, host, address string // of the request; to dial
	shown                 string // the URL without its query
	interval              int64  // nanoseconds between messages of a connection; 0 none
}

// check reports all mistakes at once.
func (c Config) check() (*plan, error) {
	p := &plan{Config: c}
	if p.Expect == "" {
		p.Expect = Echo
	}
	var errs []error
	number := func(name string, ok bool, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %s", name, want))
		}
	}
	number("connections", c.Connections >= 1 && c.Connections <= MaxConnections, "1 to 100000")
	number("rate", c.Rate >= 0 && c.Rate <= MaxRate, "0 to 100000 messages a second on each connection")
	number("size", c.Size >= MinSize && c.Size <= MaxSize, "20 bytes to 16MiB")
	number("ramp", c.Ramp > 0 && c.Ramp <= MaxRamp, "up to 100000 connections a second, and more than 0")
	number("handshakes", c.Handshakes >= 1 && c.Handshakes <= MaxHandshakes, "1 to 10000 at the same time")
	number("churn", c.Churn >= 0 && c.Churn <= MaxChurn, "0 to 10000 connections a second")
	number("warm-up", c.Warmup >= 0 && c.Warmup <= MaxDuration, "0s to 24h")
	number("duration", c.Duration > 0 && c.Duration <= MaxDuration, "up to 24h, and more than 0s")
	number("expect", slices.Contains([]Expect{Echo, Any, Nothing}, p.Expect), "echo, any or nothing")
	if c.Rate > 0 {
		p.interval = max(int64(float64(time.Second)/c.Rate), 1)
	}
	errs = append(errs, p.setURL(), p.setProtocols(), p.tryHeader())
	return p, errors.Join(errs...)
}

func (p *plan) setURL() error {
	u, err := url.Parse(p.URL)
	switch {
	case err != nil, u.Scheme != "wss" && u.Scheme != "ws", u.Hostname() == "", u.Opaque != "":
		return errors.New("the URL is wss://host/path")
	case u.User != nil:
		return errors.New("the URL must not hold a name or password")
	case u.Fragment != "":
		return errors.New("the URL must not have a fragment")
	}
	port := u.Port()
	if u.Scheme == "ws" {
		if !loopback(u.Hostname()) {
			return errors.New("ws:// is for loopback addresses only: without TLS everybody on the way reads and changes everything")
		}
		if port == "" {
			port = "80"
		}
		p.TLS = nil
	} else {
		if port == "" {
			port = "443"
		}
		if p.TLS == nil {
			p.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		p.TLS = p.TLS.Clone()
		p.TLS.NextProtos = []string{"http/1.1"}
		if p.TLS.ServerName == "" {
			p.TLS.ServerName = u.Hostname()
		}
	}
	p.host, p.address, p.target = u.Host, net.JoinHostPort(u.Hostname(), port), u.RequestURI()
	u.RawQuery, u.ForceQuery = "", false
	p.shown = u.String()
	return nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func (p *plan) setProtocols() error {
	for _, name := range p.Protocols {
		if strings.HasPrefix(name, "sallyport.") {
			return fmt.Errorf("subprotocol %q: neither the control channel nor the seal is spoken here", name)
		}
	}
	if len(p.Tickets) > 0 && len(p.Protocols) == 0 {
		p.Protocols = []string{"sallyport"}
	}
	return nil
}

// tryHeader finds at the start what no handshake could be written with.
func (p *plan) tryHeader() error {
	if p.host == "" {
		return nil // the URL is reported already
	}
	for i := range max(len(p.Bearers), len(p.Cookies), 1) {
		if _, err := ws.AppendRequest(nil, http.MethodGet, p.target, p.host, ws.NewKey(), p.Protocols, p.headers(i)); err != nil {
			return err
		}
	}
	return nil
}

// headers are those of the client with this index.
func (p *plan) headers(i int) http.Header {
	if len(p.Bearers)+len(p.Cookies) == 0 {
		return p.Header
	}
	h := p.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	if n := len(p.Bearers); n > 0 {
		h.Set("Authorization", "Bearer "+p.Bearers[i%n])
	}
	if n := len(p.Cookies); n > 0 {
		h.Set("Cookie", p.Cookies[i%n])
	}
	return h
}
