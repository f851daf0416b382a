package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const maxAnswer = 16 << 10 // bytes

// app is the application's endpoint.
type app struct {
	url     string
	client  *http.Client
	timeout time.Duration
	slots   chan struct{} // one token for every question in flight
	ctx     context.Context
	cancel  context.CancelFunc
}

// endpoint checks the URL to ask.
func endpoint(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || raw == "" {
		return nil, errors.New("url must be set: the application's endpoint that says who is signed in")
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch {
	case u.Scheme != "https" && u.Scheme != "http", u.Opaque != "", u.Hostname() == "":
		return nil, errors.New("url must be https://host/path, or http on loopback")
	case u.User != nil:
		return nil, errors.New("url must not have a user or password in it")
	case u.Fragment != "":
		return nil, errors.New("url must not have a fragment")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, fmt.Errorf("url is http and %s is not loopback: cookies would cross the network in the clear; use https", u.Hostname())
	}
	return u, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

func newApp(u *url.URL, timeout time.Duration) *app {
	plain := u.Scheme == "http"
	dialer := &net.Dialer{
		Timeout: timeout,
		// Control sees the address that the name resolved to.
		Control: func(_, address string, _ syscall.RawConn) error { return allowed(address, plain) },
	}
	a := &app{url: u.String(), timeout: timeout, slots: make(chan struct{}, maxInFlight)}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.client = &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer.DialContext, // and no proxy
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			MaxConnsPerHost:        maxInFlight,
			MaxIdleConnsPerHost:    maxInFlight,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: maxAnswer,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return a
}

// allowed judges the address about to be dialled. A name that claims to be
// loopback must be; link-local addresses, where clouds hand out credentials, are
// never an application.
func allowed(address string, plain bool) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dial %q: %w", address, err)
	}
	switch addr := to.Addr().Unmap(); {
	case plain && !addr.IsLoopback():
		return fmt.Errorf("address %s is not loopback, and the URL is not https", addr)
	case addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified():
		return fmt.Errorf("address %s is link-local or none", addr)
	}
	return nil
}

// ask sends q and reads the answer. A first question is refused at once when 32
// are in flight, so that a crowd can't queue up; a repeated one waits its turn
// within the time that one question may take.
func (a *app) ask(q question, again bool) (answer, error) {
	if a.ctx.Err() != nil {
		return answer{}, unavailable("closed")
	}
	ctx, cancel := context.WithTimeout(a.ctx, a.timeout)
	defer cancel()
	select {
	case a.slots <- struct{}{}:
	default:
		if !again {
			return answer{}, unavailable("%d questions are in flight", maxInFlight)
		}
		select {
		case a.slots <- struct{}{}:
		case <-ctx.Done():
			return answer{}, unavailable("%d questions are in flight", maxInFlight)
		}
	}
	defer func() { <-a.slots }()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url, nil)
	if err != nil {
		return answer{}, unavailable("unusable URL")
	}
	req.Header = q.header(again)
	res, err := a.client.Do(req)
	if err != nil {
		// The text of url.Error has the URL in it, and that may have a query.
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return answer{}, unavailable("ask: %w", err)
	}
	defer res.Body.Close()
	return read(res)
}

// read judges status and body.
func read(res *http.Response) (answer, error) {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return answer{}, refused("the application said %d", res.StatusCode)
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return answer{}, unavailable("the application redirected (%d); it must answer 401 who is not signed in", res.StatusCode)
	case res.StatusCode != http.StatusOK:
		return answer{}, unavailable("the application said %d", res.StatusCode)
	case err != nil:
		return answer{}, unavailable("read the answer: %w", err)
	case len(body) > maxAnswer:
		return answer{}, unavailable("the answer has more than %d bytes", maxAnswer)
	}
	return parseAnswer(body, time.Now())
}

func (a *app) close() {
	a.cancel()
	a.client.CloseIdleConnections()
}
