package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/sallyport/sallyport/auth/jwt"
)

// Names that doors and clients share.
const (
	host     = "door.test"
	page     = "https://app.test"
	guest    = "https://guest.test" // an origin that reloads add and remove
	issuer   = "https://idp.test"
	audience = "soak"
)

// site is what the doors share: certificates and the keys of tokens.
type site struct {
	dir    string
	signer *jwt.Signer
	roots  *x509.CertPool
	ca     *x509.Certificate
	caKey  *ecdsa.PrivateKey
}

func newSite(dir string) (*site, error) {
	s := &site{dir: dir, roots: x509.NewCertPool()}
	var err error
	if s.signer, err = jwt.NewSigner(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.file("jwks.json"), s.signer.JWKS(), 0o600); err != nil {
		return nil, err
	}
	if s.caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "soak"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(7 * 24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, s.caKey.Public(), s.caKey)
	if err != nil {
		return nil, err
	}
	if s.ca, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	s.roots.AddCert(s.ca)
	return s, s.certify()
}

func (s *site) file(name string) string { return filepath.Join(s.dir, name) }

// certify makes a new certificate for the doors.
func (s *site) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(6 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, s.ca, key.Public(), s.caKey)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	// One file holds both, so that no door reads a key of before to a certificate of now.
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	if err := os.WriteFile(s.file("door.new"), both, 0o600); err != nil {
		return err
	}
	return os.Rename(s.file("door.new"), s.file("door.pem"))
}

// token lets name in for a while.
func (s *site) token(name string, life time.Duration) (string, error) {
	now := time.Now()
	return s.signer.Sign(jwt.TypeAccess, map[string]any{
		"iss": issuer, "aud": audience, "sub": name, "jti": name, "iat": now.Unix(), "exp": now.Add(life).Unix(),
	})
}

// clientTLS is what clients speak; cache holds the sessions that they resume, nil
// for none.
func (s *site) clientTLS(cache tls.ClientSessionCache) *tls.Config {
	return &tls.Config{RootCAs: s.roots, ServerName: host, NextProtos: []string{"http/1.1"}, ClientSessionCache: cache}
}

// configure writes the configuration of a relaying door; guests says whether the
// second origin is trusted. JSON is YAML.
func (s *site) configure(file, state, engine, backend string, guests bool) error {
	type m = map[string]any
	gate := func(path string, guard m) m {
		guard["messages"], guard["bytes"] = "100000/s", "1GiB/s"
		return m{
			"path": path, "to": backend, "origins": origins(guests), "guard": guard,
			"auth": m{"jwt": m{"issuer": issuer, "audience": audience, "jwks": "file:" + s.file("jwks.json"), "algs": []string{"ES256"}}},
		}
	}
	text, err := json.MarshalIndent(m{
		"listen": "127.0.0.1:0", "health": "127.0.0.1:0", "hosts": []string{host}, "state": state, "engine": engine,
		"tls":      m{"files": []m{{"cert": s.file("door.pem"), "key": s.file("door.pem")}}},
		"log":      m{"format": "json", "level": "info"},
		"shutdown": m{"drain": "2s"},
		"gates":    []m{gate("/ws", m{}), gate("/quick", m{"ping": "1s", "pong_wait": "1s"})},
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

func origins(guests bool) []string {
	if guests {
		return []string{page, guest}
	}
	return []string{page}
}
