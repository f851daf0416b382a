// Command certs makes an authority and certificates for the end-to-end tests:
//
//	certs DIR name=host,host name2=host …
//
// writes DIR/ca.pem and, for each name, DIR/name.pem and DIR/name.key (mode
// 0600). Everything is valid for a day.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal("usage: certs DIR name=host,host …")
	}
	dir := os.Args[1]
	now := time.Now()
	caKey := newKey()
	ca := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Sallyport end-to-end tests"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER := check(x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey))
	write(filepath.Join(dir, "ca.pem"), "CERTIFICATE", caDER)
	for _, arg := range os.Args[2:] {
		name, hosts, ok := strings.Cut(arg, "=")
		if !ok {
			log.Fatalf("%q is not name=host,host", arg)
		}
		key := newKey()
		leaf := &x509.Certificate{
			SerialNumber: serial(), Subject: pkix.Name{CommonName: name},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		for _, h := range strings.Split(hosts, ",") {
			if ip := net.ParseIP(h); ip != nil {
				leaf.IPAddresses = append(leaf.IPAddresses, ip)
			} else {
				leaf.DNSNames = append(leaf.DNSNames, h)
			}
		}
		der := check(x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey))
		write(filepath.Join(dir, name+".key"), "PRIVATE KEY", check(x509.MarshalPKCS8PrivateKey(key)))
		write(filepath.Join(dir, name+".pem"), "CERTIFICATE", der)
	}
}

func newKey() *ecdsa.PrivateKey { return check(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func serial() *big.Int { return check(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))) }

func write(path, kind string, der []byte) {
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		log.Fatal(err)
	}
}

func check[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
