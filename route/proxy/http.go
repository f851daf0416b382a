package proxy

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/headers"
)

// Bounds of ordinary requests to one backend.
const (
	maxConns       = 4096            // at once; further requests wait
	maxIdle        = 64              // kept for later
	idleTimeout    = 4 * time.Second // shorter than that of any usual backend, so that it is not the first to close
	maxAnswerHead  = 64 << 10        // bytes
	continueExpect = time.Second
)

// HTTP answers the requests of the gate's path that are no upgrade, for
// backends that also poll over HTTP: see [sallyport.Gate.HTTP]. The backend, its
// base and what it is told are those of the route; its CORS headers are replaced
// by the door's; no redirect is followed. It must not be mounted elsewhere: a
// request that did not pass a gate gets 500.
func (p *Proxy) HTTP() http.Handler {
	return p.handler(func(r *http.Request) (*auth.Identity, error) {
		id, ok := sallyport.IdentityFrom(r.Context())
		if !ok {
			return nil, deny.Because(deny.Internal, errors.New("the request did not pass a gate"))
		}
		return &id, nil
	}, dropCORS)
}

// App passes ordinary requests to a whole site: http://host:port[/base],
// https://… or unix:/path/to.sock[:/base]. It is what sallyport.Config.App wants.
// Upgrade is never forwarded, headers are cleaned as they are for a gate, and
// nobody is asked who it is, so that no identity is told: the IdentityHeaders of
// c, which should be those of all gates, are removed and not set. c.To must be empty.
func App(target string, c Config) (http.Handler, error) {
	if c.To != "" {
		return nil, errors.New("app: To is given twice")
	}
	c.To = target
	p, err := prepare(c, "http", "https")
	if err != nil {
		return nil, err
	}
	return p.handler(func(*http.Request) (*auth.Identity, error) { return nil, nil }, func(http.Header) {}), nil
}

// keepCookies removes what a backend would set in place of the door's own
// cookies: a session that somebody else chose.
func (p *Proxy) keepCookies(h http.Header) {
	lines := slices.DeleteFunc(h["Set-Cookie"], func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		name, _, _ = strings.Cut(name, ";")
		return slices.Contains(p.config.StripCookies, strings.Trim(name, " \t"))
	})
	if h["Set-Cookie"] = lines; len(lines) == 0 {
		delete(h, "Set-Cookie")
	}
}

// dropCORS removes what a backend says about other origins: the door has said it.
func dropCORS(h http.Header) {
	for name := range h {
		if strings.HasPrefix(fold(name), "access-control-") {
			delete(h, name)
		}
	}
	h.Del("Cross-Origin-Resource-Policy")
}

// handler is the reverse proxy. who finds the identity to tell; edit changes the
// backend's response headers.
func (p *Proxy) handler(who func(*http.Request) (*auth.Identity, error), edit func(http.Header)) http.Handler {
	forward := &httputil.ReverseProxy{
		Transport:     withoutInterim{p.transport()},
		FlushInterval: -1, // long polling and streams
		ErrorLog:      log.New(io.Discard, "", 0),
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, err error) { writeDenial(w, denial(err)) },
		Rewrite: func(pr *httputil.ProxyRequest) { // pr.In is ours already: see below
			pr.Out.Header = pr.In.Header
			pr.Out.URL = pr.In.URL
			pr.Out.Host = pr.In.Host
		},
		ModifyResponse: func(r *http.Response) error {
			if r.StatusCode == http.StatusSwitchingProtocols {
				return deny.Because(deny.BackendProtocol, errors.New("the backend switched protocols, which nobody asked for"))
			}
			p.keepCookies(r.Header)
			edit(r.Header)
			return nil
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := who(r)
		if err != nil {
			writeDenial(w, err)
			return
		}
		out, err := p.request(r, id)
		if err != nil {
			writeDenial(w, err)
			return
		}
		forward.ServeHTTP(w, out)
	})
}

// request is what the backend is asked.
func (p *Proxy) request(r *http.Request, id *auth.Identity) (*http.Request, error) {
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace {
		return nil, deny.Because(deny.HTTPMethod, nil)
	}
	path, query, hasQuery, err := p.target.path(r)
	if err == nil && strings.HasPrefix(path, "//") { // would be read as a host
		err = errTarget
	}
	if err != nil {
		return nil, deny.Because(deny.HTTPMalformed, err)
	}
	out := r.Clone(r.Context())
	if err := p.outgoing(out.Header, r.Host, p.address(r), id, ""); err != nil {
		return nil, deny.Because(deny.AuthInvalid, err)
	}
	if out.Header["User-Agent"] == nil {
		out.Header.Set("User-Agent", "") // and not that of net/http
	}
	scheme := "http"
	if p.tls != nil {
		scheme = "https"
	}
	out.Trailer = nil
	out.Host = p.host(r.Host)
	out.URL = &url.URL{Scheme: scheme, Host: p.target.host, Opaque: path, RawQuery: query, ForceQuery: hasQuery && query == ""}
	return out, nil
}

func (p *Proxy) address(r *http.Request) netip.Addr {
	if f := p.config.ClientAddress; f != nil {
		return f(r)
	}
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	return peer.Addr().Unmap()
}

func (p *Proxy) transport() *http.Transport {
	return &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx) },
		TLSClientConfig:        p.tls.Clone(),
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1 only
		TLSHandshakeTimeout:    p.config.HandshakeTimeout,
		ResponseHeaderTimeout:  p.config.ResponseTimeout,
		ExpectContinueTimeout:  continueExpect,
		MaxResponseHeaderBytes: maxAnswerHead,
		MaxConnsPerHost:        maxConns,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		DisableCompression:     true, // what the client accepts is between it and the backend
	}
}

// withoutInterim keeps a backend's 1xx answers from the client: passing them on,
// the reverse proxy would clear the headers that the door has set.
type withoutInterim struct{ next http.RoundTripper }

func (t withoutInterim) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.next.RoundTrip(r.WithContext(untraced{r.Context()}))
}

type untraced struct{ context.Context }

func (c untraced) Value(key any) any {
	v := c.Context.Value(key)
	if _, trace := v.(*httptrace.ClientTrace); trace {
		return nil
	}
	return v
}

// denial says why there is no response.
func denial(err error) error {
	if _, ok := errors.AsType[*deny.Denial](err); ok {
		return err
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return deny.Because(deny.HTTPTooLarge, err)
	}
	op, ok := errors.AsType[*net.OpError](err)
	switch {
	case timedOut(err), errors.Is(err, context.DeadlineExceeded):
		return deny.Because(deny.BackendTimeout, err)
	case ok && op.Op == "dial":
		return deny.Because(deny.BackendUnreachable, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), ok:
		return deny.Because(deny.BackendLost, err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return deny.Because(deny.BackendUnreachable, err)
	}
	return deny.Because(deny.BackendProtocol, err)
}

// writeDenial answers as the door does.
func writeDenial(w http.ResponseWriter, err error) {
	reason := deny.Of(err)
	headers.NoStore(w.Header())
	w.Header().Set("Content-Type", "application/json")
	body, _ := json.Marshal(map[string]string{"error": reason.Code(), "message": reason.Sentence()})
	w.WriteHeader(reason.Status())
	w.Write(append(body, '\n'))
}
