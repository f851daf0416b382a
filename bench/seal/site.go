package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/origin"
	"github.com/sallyport/sallyport/seal"
)

// maxSize is the longest message that is measured, in bytes.
const maxSize = 64 << 10

// hangups are how the client of the benchmark leaves.
var hangups = []deny.Reason{deny.PeerLost, deny.PeerClosed, deny.SealTruncated}

// site is a door with two gates that echo, one of them sealed, and a page.
type site struct {
	authority string // host and port
	pin       string
	spki      string // SHA-256 of the certificate's key, in base64: what a browser is told to accept
	ring      *seal.Ring
	entry     seal.Entry
	roots     *x509.CertPool
	server    *httptest.Server
}

func newSite(pages string) (*site, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &site{authority: fmt.Sprintf("localhost:%d", listener.Addr().(*net.TCPAddr).Port)}
	certificate, err := s.certify()
	if err != nil {
		return nil, err
	}
	sealing, err := s.keys()
	if err != nil {
		return nil, err
	}
	echo := sallyport.OnMessage(func(c *sallyport.Conn, m sallyport.Message) {
		if err := c.Post(m); err != nil {
			c.End(deny.Internal, err)
		}
	})
	door, err := sallyport.New(sallyport.Config{
		Origin:  origin.Config{Trusted: []string{"https://" + s.authority}, Dev: true},
		Auth:    auth.Anonymous("a benchmark that only this machine reaches"),
		Guard:   guard.Config{Messages: 1_000_000, Bytes: 1 << 40, MaxMessage: 2 * maxSize}, // rates would measure themselves
		Sealing: sealing,
		Observe: func(e sallyport.Event) {
			if e.Cause != nil && !slices.Contains(hangups, e.Reason) {
				log.Printf("the door: %s: %v", e.Reason, e.Cause) // then a figure will be missing, and this is why
			}
		},
		Gates: []sallyport.Gate{
			{Path: "/plain", Route: echo},
			{Path: "/sealed", Route: echo, Seal: sallyport.SealOffered},
		},
		App: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cross-Origin-Opener-Policy", "same-origin") // both: a clock of 5 µs
			w.Header().Set("Cross-Origin-Embedder-Policy", "require-corp")
			http.FileServer(http.Dir(pages)).ServeHTTP(w, r)
		}),
	})
	if err != nil {
		return nil, err
	}
	s.server = &httptest.Server{
		Listener: listener,
		TLS:      &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}},
		Config:   &http.Server{Handler: door, ReadTimeout: 10 * time.Second},
	}
	s.server.StartTLS()
	return s, nil
}

func (s *site) close() { s.server.Close() }

// certify makes a certificate for this run; nobody else trusts it.
func (s *site) certify() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	own, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, err
	}
	s.roots = x509.NewCertPool()
	s.roots.AddCert(own)
	sum := sha256.Sum256(own.RawSubjectPublicKeyInfo)
	s.spki = base64.StdEncoding.EncodeToString(sum[:])
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// keys makes a sealing key of the default suite, and an identity that signs it.
func (s *site) keys() (*sallyport.Sealing, error) {
	now := time.Now()
	key, err1 := seal.GenerateKey(seal.Hybrid, now, now.Add(24*time.Hour))
	public, identity, err2 := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	var err error
	if s.ring, err = seal.NewRing(key); err != nil {
		return nil, err
	}
	s.entry, s.pin = key.Entry(), seal.PinOf(public).String()
	document, err := seal.Document{
		Authority: s.authority, Generation: 1, Issued: now, Expires: now.Add(24 * time.Hour), Keys: []seal.Entry{s.entry},
	}.Sign(identity)
	return &sallyport.Sealing{Ring: s.ring, Document: document}, err
}
