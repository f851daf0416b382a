package jwt

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
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	fetchTimeout = 5 * time.Second
	maxSet       = 256 << 10 // bytes
)

// loader checks where the key set is and returns how to read it.
func loader(where string) (func(context.Context) ([]byte, error), error) {
	if path, ok := strings.CutPrefix(where, "file:"); ok {
		if !filepath.IsAbs(path) || strings.HasPrefix(path, "//") {
			return nil, errors.New("jwks file must be an absolute path: file:/path")
		}
		return func(context.Context) ([]byte, error) { return readFile(path) }, nil
	}
	u, err := url.Parse(where)
	if err != nil {
		return nil, errors.New("jwks is not a URL")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http", u.Opaque != "":
		return nil, errors.New("jwks must be an https URL or file:/path")
	case u.Hostname() == "":
		return nil, errors.New("jwks has no host")
	case u.User != nil:
		return nil, errors.New("jwks must not have a user or password in the URL")
	case u.Fragment != "":
		return nil, errors.New("jwks must not have a fragment")
	case u.Scheme == "http" && !loopbackHost(u.Hostname()):
		return nil, errors.New("jwks over http only from loopback: anybody on the way could put in a key; use https")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := allowed(addr, u.Scheme == "http"); err != nil {
			return nil, fmt.Errorf("jwks: %w", err)
		}
	}
	return fetcher{url: u.String(), client: newClient(u.Scheme == "http")}.load, nil
}

func loopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// newClient is a client that reads one document: no redirects, no proxy (which
// would choose the address in our stead), no connection left open.
func newClient(loopbackOnly bool) *http.Client {
	dialer := &net.Dialer{
		Timeout: fetchTimeout,
		// Control sees the address that the name resolved to.
		Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("dial %q: %w", address, err)
			}
			return allowed(to.Addr(), loopbackOnly)
		},
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    fetchTimeout,
			ResponseHeaderTimeout:  fetchTimeout,
			MaxResponseHeaderBytes: 16 << 10,
			DisableKeepAlives:      true,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// refusedNets hold what a key set never comes from: link-local addresses, where
// clouds answer with credentials to whoever asks, and the addresses at which
// some clouds do the same.
var refusedNets = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),     // link-local; most clouds
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle Cloud
	netip.MustParsePrefix("fe80::/10"),          // link-local
	netip.MustParsePrefix("fd00:ec2::254/128"),  // AWS
	netip.MustParsePrefix("fd20:ce::254/128"),   // Google Cloud
	netip.MustParsePrefix("::/128"),
}

// translated are prefixes that carry an IPv4 address in their last four bytes.
var translated = []netip.Prefix{
	netip.MustParsePrefix("64:ff9b::/96"), // NAT64 (RFC 6052)
	netip.MustParsePrefix("::/96"),        // IPv4-compatible, long deprecated
}

// allowed judges the address about to be dialled.
func allowed(addr netip.Addr, loopbackOnly bool) error {
	addr = addr.Unmap().WithZone("")
	if loopbackOnly && !addr.IsLoopback() {
		return fmt.Errorf("address %s is not loopback, and the URL is not https", addr)
	}
	if addr.IsMulticast() {
		return fmt.Errorf("address %s is multicast", addr)
	}
	for _, p := range refusedNets {
		if p.Contains(addr) {
			return fmt.Errorf("address %s is link-local or a metadata service", addr)
		}
	}
	if addr.Is6() && !addr.IsLoopback() {
		for _, p := range translated {
			if b := addr.As16(); p.Contains(addr) {
				return allowed(netip.AddrFrom4([4]byte(b[12:])), false)
			}
		}
	}
	return nil
}

type fetcher struct {
	url    string
	client *http.Client
}

func (f fetcher) load(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return nil, errors.New("fetch: unusable URL")
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	req.Header.Set("User-Agent", "sallyport")
	res, err := f.client.Do(req)
	if err != nil {
		// The text of url.Error has the URL in it, and that may have a query.
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return nil, fmt.Errorf("fetch: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch: status %d", res.StatusCode)
	}
	return readBounded(res.Body)
}

func readFile(path string) ([]byte, error) {
	// Asked before it is opened: opening a pipe waits for its writer.
	if info, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("read key set: %w", err)
	} else if !info.Mode().IsRegular() {
		return nil, errors.New("read key set: not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read key set: %w", err)
	}
	defer f.Close()
	return readBounded(f)
}

func readBounded(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSet+1))
	if err != nil {
		return nil, fmt.Errorf("read key set: %w", err)
	}
	if len(data) > maxSet {
		return nil, fmt.Errorf("key set has more than %d bytes", maxSet)
	}
	return data, nil
}
