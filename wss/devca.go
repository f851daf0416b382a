package wss

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const (
	devCALife   = 90 * 24 * time.Hour
	devCALeft   = 7 * 24 * time.Hour // with less than this left, a new authority is made
	devLeafLife = 30 * 24 * time.Hour

	devCertFile = "dev-ca.pem"
	devKeyFile  = "dev-ca-key.pem"
)

// DevCA is a certificate authority for one development machine. What it can sign
// is bound by critical name constraints (RFC 5280, section 4.2.1.10): localhost,
// .localhost, .test and the loopback addresses. Whoever steals its key can
// impersonate nothing else, wherever it is trusted. It installs itself nowhere.
type DevCA struct {
	path string // of the certificate
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// OpenDevCA loads the authority kept in dir, or creates one that is valid for 90
// days. One with less than 7 days left is replaced; it then has to be trusted
// anew. The key is refused if others than its owner may read it. One process at
// a time may use dir.
func OpenDevCA(dir string) (*DevCA, error) {
	ca, err := loadDevCA(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && time.Until(ca.cert.NotAfter) < devCALeft {
		ca, err = createDevCA(dir, time.Now())
	}
	if err != nil {
		return nil, fmt.Errorf("wss: development authority: %w", err)
	}
	return ca, nil
}

func loadDevCA(dir string) (*DevCA, error) {
	keyPath, path := filepath.Join(dir, devKeyFile), filepath.Join(dir, devCertFile)
	info, err := os.Stat(keyPath)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode(); runtime.GOOS != "windows" && mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o; others must not read it: chmod 600", keyPath, mode.Perm())
	}
	pair, err := tls.LoadX509KeyPair(path, keyPath)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !cert.IsCA || !cert.PermittedDNSDomainsCritical || len(cert.PermittedDNSDomains) == 0 {
		return nil, fmt.Errorf("%s is not an authority made by this program; move it away", path)
	}
	return &DevCA{path, cert, key}, nil
}

func createDevCA(dir string, now time.Time) (*DevCA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	template := &x509.Certificate{
		SerialNumber:                serial(),
		Subject:                     pkix.Name{CommonName: "Sallyport development on " + host, Organization: []string{"Sallyport development"}},
		NotBefore:                   now.Add(-time.Hour), // clocks of virtual machines differ
		NotAfter:                    now.Add(devCALife),
		IsCA:                        true,
		BasicConstraintsValid:       true,
		MaxPathLenZero:              true,
		KeyUsage:                    x509.KeyUsageCertSign,
		ExtKeyUsage:                 []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         []string{"localhost", "test"}, // with everything below
		PermittedIPRanges: []*net.IPNet{
			{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)},
			{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
		},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	ca := &DevCA{filepath.Join(dir, devCertFile), cert, key}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if err := writeFile(filepath.Join(dir, devKeyFile), keyPEM, 0o600); err != nil {
		return nil, err
	}
	return ca, writeFile(ca.path, ca.CertPEM(), 0o644)
}

// writeFile replaces a file as a whole. Its bytes never have a wider mode.
func writeFile(path string, b []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	b[0] = b[0]&0x7f | 0x40 // positive, always 16 bytes
	return new(big.Int).SetBytes(b[:])
}

// Leaf returns a new certificate for names: host names below the constraints of
// the authority, or loopback addresses. It is valid for at most 30 days and kept
// in memory only.
func (ca *DevCA) Leaf(names ...string) (tls.Certificate, error) { return ca.leaf(time.Now(), names) }

func (ca *DevCA) leaf(now time.Time, names []string) (c tls.Certificate, err error) {
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{Organization: []string{"Sallyport development"}},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(devLeafLife - time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if template.NotAfter.After(ca.cert.NotAfter) {
		template.NotAfter = ca.cert.NotAfter
	}
	if len(names) == 0 {
		return c, errors.New("wss: a certificate without names")
	}
	for _, name := range names {
		ip := net.ParseIP(strings.Trim(name, "[]"))
		switch {
		case ip != nil && ip.IsLoopback():
			template.IPAddresses = append(template.IPAddresses, ip)
		case ip == nil && isDevName(name):
			template.DNSNames = append(template.DNSNames, strings.ToLower(name))
		default:
			return c, fmt.Errorf("wss: %q is beyond the development authority: localhost, *.localhost, *.test and loopback addresses only", name)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return c, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

func isDevName(name string) bool {
	name = strings.ToLower(strings.TrimPrefix(name, "*."))
	return name == "localhost" || strings.HasSuffix(name, ".localhost") && len(name) > len(".localhost") ||
		strings.HasSuffix(name, ".test") && len(name) > len(".test")
}

// CertPEM returns the authority's certificate: public, for trust stores and for
// NODE_EXTRA_CA_CERTS.
func (ca *DevCA) CertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// Path is the file that holds the authority's certificate.
func (ca *DevCA) Path() string { return ca.path }

// NotAfter is when the authority ends.
func (ca *DevCA) NotAfter() time.Time { return ca.cert.NotAfter }

// Fingerprint is the SHA-256 of the certificate as browsers show it:
// "AB:CD:…", 32 bytes.
func (ca *DevCA) Fingerprint() string {
	sum := sha256.Sum256(ca.cert.Raw)
	return string(bytes.ToUpper(bytes.Join(pairs(hex.EncodeToString(sum[:])), []byte(":"))))
}

// thumbprint is the SHA-1 by which macOS and Windows name a certificate. It is an
// identifier there, no proof of anything.
func (ca *DevCA) thumbprint() string {
	sum := sha1.Sum(ca.cert.Raw)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

func pairs(s string) (list [][]byte) {
	for i := 0; i+2 <= len(s); i += 2 {
		list = append(list, []byte(s[i:i+2]))
	}
	return list
}
