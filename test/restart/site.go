package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// Names that the nodes and the clients share.
const (
	domain   = "clients.test" // of the names that clients ask for
	gate     = "/chat"
	issuer   = "https://idp.example.com"
	audience = "chat"

	maxClients = 5000
)

// site is what the nodes share: a certificate and the key of the tokens.
type site struct {
	dir     string
	secret  string // of HS256
	ca      string // a file
	port    int    // of the balancer
	backend string // ws URL
}

func newSite(dir string, port int, backend string) (*site, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &site{dir: dir, secret: rand.Text() + rand.Text(), ca: filepath.Join(dir, "ca.pem"), port: port, backend: backend}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(s.secret), 0o600); err != nil {
		return nil, err
	}
	return s, s.certify()
}

// certify makes the certificate, which is its own authority.
func (s *site) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: domain}, DNSNames: []string{"*." + domain},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	keyFile := filepath.Join(s.dir, "key.pem")
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(s.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600)
}

// configure writes the configuration of a node: its own ports and state, and
// limits for so many clients behind one address, that of the balancer.
func (s *site) configure(name string, o options) (string, error) {
	type m = map[string]any
	text, err := json.MarshalIndent(m{ // JSON is YAML
		"listen": "127.0.0.1:0", "health": "127.0.0.1:0",
		"hosts":    []string{fmt.Sprintf("*.%s:%d", domain, s.port)},
		"state":    filepath.Join(s.dir, "state-"+name),
		"tls":      m{"files": []m{{"cert": s.ca, "key": filepath.Join(s.dir, "key.pem")}}},
		"log":      m{"format": "json", "level": "info"},
		"shutdown": m{"delay": o.delay.String(), "drain": o.drain.String()},
		"limits":   m{"per_address": 2 * maxClients, "connections": 2 * maxClients},
		"identity": m{"headers": m{userHeader: "sub"}},
		"gates": []m{{
			"path": gate, "to": s.backend, "without": "bearer",
			"auth": m{"jwt": m{"issuer": issuer, "audience": audience, "secret": "file:" + filepath.Join(s.dir, "secret"), "algs": []string{"HS256"}}},
		}},
	}, "", "  ")
	if err != nil {
		return "", err
	}
	file := filepath.Join(s.dir, name+".yaml")
	return file, os.WriteFile(file, text, 0o600)
}
