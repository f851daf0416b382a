package app

import (
	"crypto/tls"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/wss"
)

// certificates are those of one plan: of files, of the development authority,
// or none, where a proxy ends TLS.
type certificates struct {
	wss.Certificates
	files *wss.Files // nil unless they come from files
	dev   []string   // names, with the development authority
}

func (c *certificates) names() []string {
	switch {
	case c == nil:
		return nil
	case c.files != nil:
		return c.files.Names()
	}
	return c.dev
}

// notAfter is the end of each name's certificate; nil if there are none on disk.
func (c *certificates) notAfter() map[string]time.Time {
	if c == nil || c.files == nil {
		return nil
	}
	return c.files.NotAfter()
}

// devNames are what the development authority vouches for. The wildcard covers
// one label, as in hosts.
var devNames = []string{"localhost", "*.localhost", "127.0.0.1", "::1"}

// openCertificates reads what tls says. The development authority is made once:
// its leaf is renewed by itself.
func (s *Server) openCertificates(f *config.File) (*certificates, error) {
	switch {
	case f.TLS.Dev:
		if s.dev == nil {
			dir, err := s.devDir()
			if err != nil {
				return nil, err
			}
			ca, err := wss.OpenDevCA(dir)
			if err != nil {
				return nil, err
			}
			leaf, err := ca.For(devNames...)
			if err != nil {
				return nil, err
			}
			s.authority, s.dev = ca, &certificates{Certificates: leaf, dev: devNames}
		}
		return s.dev, nil
	case len(f.TLS.Files) > 0:
		var list []wss.File
		for _, pair := range f.TLS.Files {
			list = append(list, wss.File{Cert: pair.Cert, Key: pair.Key})
		}
		files, err := wss.OpenFiles(list)
		if err != nil {
			return nil, err
		}
		return &certificates{Certificates: files, files: files}, nil
	}
	return nil, nil
}

// current are the certificates in force, which a reload replaces whole.
type current struct {
	now   atomic.Pointer[certificates]
	swaps atomic.Uint64 // added to the generation, so that it changes with every swap
}

func (c *current) set(to *certificates) {
	if c.now.Swap(to) != to {
		c.swaps.Add(1 << 32)
	}
}

// Certificate implements [wss.Certificates].
func (c *current) Certificate(hello *tls.ClientHelloInfo) *tls.Certificate {
	if now := c.now.Load(); now != nil && now.Certificates != nil {
		return now.Certificate(hello)
	}
	return nil
}

// Generation implements [wss.Certificates].
func (c *current) Generation() uint64 {
	n := c.swaps.Load()
	if now := c.now.Load(); now != nil && now.Certificates != nil {
		n += now.Generation()
	}
	return n
}
