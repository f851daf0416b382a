package wss

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// File names a certificate chain and its private key, both in PEM.
type File struct{ Cert, Key string }

// Files are certificates kept in files. They are replaced all or none, for new
// connections only: an open connection keeps what it was made with.
type Files struct {
	list []File // set once

	loaded atomic.Pointer[certs]

	// mu is held from the look at the files to the swap, so that of two reloads
	// the later look wins.
	mu     sync.Mutex
	looked string // sizes and times of the files at the last look
}

// certs is one generation of certificates.
type certs struct {
	generation uint64
	list       []*tls.Certificate
}

// OpenFiles loads the files and checks them: every key fits its certificate, no
// certificate is expired or not valid yet, or names nobody, and no RSA key has
// fewer than 2048 bits. It returns every mistake, joined.
func OpenFiles(list []File) (*Files, error) {
	if len(list) == 0 {
		return nil, errors.New("wss: no certificate files")
	}
	f := &Files{list: slices.Clone(list)}
	if err := f.Reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// Reload reads the files again. With any mistake the certificates in use stay,
// all of them. Sessions are no longer resumed where the certificate has changed.
func (f *Files) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reload(f.look(), time.Now())
}

func (f *Files) reload(look string, now time.Time) error {
	f.looked = look // also of files that cannot be used: Poll tells of each state once
	next := &certs{generation: 1}
	if old := f.loaded.Load(); old != nil {
		next.generation = old.generation + 1
	}
	var errs []error
	for _, file := range f.list {
		c, err := load(file, now)
		if err != nil {
			errs = append(errs, fmt.Errorf("wss: %s: %w", file.Cert, err))
			continue
		}
		next.list = append(next.list, c)
	}
	if errs != nil {
		return errors.Join(errs...)
	}
	f.loaded.Store(next)
	return nil
}

func load(file File, now time.Time) (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(file.Cert, file.Key)
	if err != nil {
		return nil, err
	}
	if c.Leaf == nil {
		if c.Leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return nil, err
		}
	}
	switch leaf := c.Leaf; {
	case now.After(leaf.NotAfter):
		return nil, fmt.Errorf("expired at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return nil, fmt.Errorf("not valid before %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		return nil, errors.New("names no host (no subject alternative name)")
	}
	if key, ok := c.Leaf.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < 2048 {
		return nil, fmt.Errorf("an RSA key of %d bits; 2048 are the least", key.N.BitLen())
	}
	return &c, nil
}

// look returns sizes and times of all files, as an opaque text. It is taken
// before the files are read: a write in between is noticed next time.
func (f *Files) look() string {
	var b []byte
	for _, file := range f.list {
		for _, name := range []string{file.Cert, file.Key} {
			info, err := os.Stat(name)
			if err != nil {
				b = append(b, "? "...)
				continue
			}
			b = fmt.Appendf(b, "%d@%d ", info.Size(), info.ModTime().UnixNano())
		}
	}
	return string(b)
}

// Poll reloads if the size or time of a file has changed since the last look.
// Files that cannot be used are reported once, until they change again.
func (f *Files) Poll() (changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	look := f.look()
	if look == f.looked {
		return false, nil
	}
	return true, f.reload(look, time.Now())
}

// Watch polls at an interval, of at least a second, until ctx ends, and tells
// report of every reload and its error. It returns when ctx has ended and starts
// no goroutine. report may be nil.
func (f *Files) Watch(ctx context.Context, every time.Duration, report func(error)) {
	tick := time.NewTicker(max(every, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if changed, err := f.Poll(); changed && report != nil {
				report(err)
			}
		}
	}
}

// Names returns the names and addresses that the certificates cover, sorted.
func (f *Files) Names() []string { return slices.Sorted(maps.Keys(f.NotAfter())) }

// NotAfter returns until when each name and address is covered; the best
// certificate counts.
func (f *Files) NotAfter() map[string]time.Time {
	m := make(map[string]time.Time)
	for _, c := range f.loaded.Load().list {
		for _, name := range namesOf(c.Leaf) {
			if c.Leaf.NotAfter.After(m[name]) {
				m[name] = c.Leaf.NotAfter
			}
		}
	}
	return m
}

func namesOf(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// Generation counts the successful loads.
func (f *Files) Generation() uint64 { return f.loaded.Load().generation }

// Certificate implements [Certificates].
func (f *Files) Certificate(hello *tls.ClientHelloInfo) *tls.Certificate {
	return pick(f.loaded.Load().list, hello)
}

// pick returns the first certificate that covers the name and whose kind of key
// the client understands, else the first that covers it, else nil.
func pick(list []*tls.Certificate, hello *tls.ClientHelloInfo) (best *tls.Certificate) {
	for _, c := range list {
		if hello.ServerName != "" && c.Leaf.VerifyHostname(hello.ServerName) != nil {
			continue
		}
		if hello.SupportsCertificate(c) == nil {
			return c
		}
		if best == nil {
			best = c
		}
	}
	return best
}
