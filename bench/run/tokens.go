package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sallyport/sallyport/bench/wire"
)

// tokens are files: what clients show, and what servers verify it with.
type tokens struct {
	one    string // one token
	many   string // one for each of revocationSubjects subjects, named by number
	jwks   string // the key set
	public string // the same key in PEM
}

// certify makes a certificate for this run, which nobody else trusts.
func (l *lab) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: wire.Host}, DNSNames: []string{wire.Host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	if l.cert, err = l.write("cert.pem", cert); err != nil {
		return err
	}
	if l.key, err = l.write("key.pem", secret); err != nil {
		return err
	}
	l.both, err = l.write("both.pem", append(cert, secret...))
	return err
}

// signTokens makes ES256 tokens that are good for a day.
func (l *lab) signTokens() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	point, err := key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		return err
	}
	const kid = "bench"
	b64 := base64.RawURLEncoding.EncodeToString
	set, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": b64(point[1:33]), "y": b64(point[33:]),
	}}})
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	sign := func(subject string) (string, error) {
		t := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
			"iss": wire.Issuer, "aud": wire.Audience, "sub": subject, "scope": "chat:read chat:write",
			"iat": time.Now().Add(-time.Minute).Unix(), "exp": time.Now().Add(24 * time.Hour).Unix(),
		})
		t.Header["kid"] = kid
		return t.SignedString(key)
	}
	var many []string
	for i := range l.conns(revocationSubjects) {
		t, err := sign(strconv.Itoa(i))
		if err != nil {
			return err
		}
		many = append(many, t)
	}
	for _, f := range []struct {
		to   *string
		name string
		data []byte
	}{
		{&l.tokens.one, "token", []byte(many[0])},
		{&l.tokens.many, "tokens", []byte(strings.Join(many, "\n"))},
		{&l.tokens.jwks, "jwks.json", set},
		{&l.tokens.public, "public.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})},
	} {
		if *f.to, err = l.write(f.name, f.data); err != nil {
			return err
		}
	}
	return nil
}

// write keeps a file for the servers, which nobody else may read.
func (l *lab) write(name string, data []byte) (path string, err error) {
	path = l.file(name)
	return path, os.WriteFile(path, data, 0o600)
}
