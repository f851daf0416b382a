package wss

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fixed are certificates that a test changes.
type fixed struct {
	list       []*tls.Certificate
	generation uint64
}

func (f *fixed) Generation() uint64                                      { return f.generation }
func (f *fixed) Certificate(hello *tls.ClientHelloInfo) *tls.Certificate { return pick(f.list, hello) }

// selfSigned makes a certificate for names; rsaBits 0 is P-256.
func selfSigned(t testing.TB, rsaBits int, from, to time.Time, names ...string) *tls.Certificate {
	t.Helper()
	var key any
	var public any
	if rsaBits > 0 {
		k, err := rsa.GenerateKey(rand.Reader, rsaBits)
		if err != nil {
			t.Fatal(err)
		}
		key, public = k, k.Public()
	} else {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, public = k, k.Public()
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: from, NotAfter: to}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func now(t testing.TB, names ...string) *tls.Certificate {
	return selfSigned(t, 0, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), names...)
}

// shake runs a handshake over loopback and returns both ends' verdicts.
func shake(t testing.TB, server, client *tls.Config) (state tls.ConnectionState, clientErr, serverErr error) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		raw, err := inner.Accept()
		if err != nil {
			serverErr = err
			return
		}
		c := tls.Server(raw, server)
		if serverErr = c.Handshake(); serverErr == nil {
			c.Write([]byte("x")) // carries the tickets to the client
		}
		c.Close()
	})
	client = client.Clone()
	client.InsecureSkipVerify = true
	c, err := tls.Dial("tcp", inner.Addr().String(), client)
	if err == nil {
		state = c.ConnectionState()
		_, err = io.ReadFull(c, make([]byte, 1))
		c.Close()
	}
	wg.Wait()
	return state, err, serverErr
}

func profile(t testing.TB, c Config) *tls.Config {
	t.Helper()
	p, err := TLSConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTLSConfigMistakes(t *testing.T) {
	for _, c := range []Config{{}, {Certificates: &fixed{}, MinVersion: "1.1"}, {Certificates: &fixed{}, MinVersion: "TLS1.2"}} {
		if _, err := TLSConfig(c); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
}

func TestVersionsAndSuites_SR03(t *testing.T) {
	certs := &fixed{list: []*tls.Certificate{now(t, "a.test"), selfSigned(t, 2048, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "a.test")}}
	modern, named := profile(t, Config{Certificates: certs}), profile(t, Config{Certificates: certs, MinVersion: "1.2"})
	for _, tt := range []struct {
		name   string
		server *tls.Config
		client *tls.Config
		ok     bool
	}{
		{"SR-03 TLS 1.3", modern, &tls.Config{}, true},
		{"SR-03 TLS 1.2 without its name", modern, &tls.Config{MaxVersion: tls.VersionTLS12}, false},
		{"SR-03 TLS 1.2 by name", named, &tls.Config{MaxVersion: tls.VersionTLS12}, true},
		{"SR-03 TLS 1.1", named, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		{"SR-03 TLS 1.0", named, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.client.ServerName = "a.test"
			if _, err, _ := shake(t, tt.server, tt.client); (err == nil) != tt.ok {
				t.Errorf("got %v, want success %v", err, tt.ok)
			}
		})
	}
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if !slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
			continue
		}
		strong := strings.HasPrefix(suite.Name, "TLS_ECDHE_") && (strings.Contains(suite.Name, "GCM") || strings.Contains(suite.Name, "POLY1305"))
		t.Run("SR-03 "+suite.Name, func(t *testing.T) {
			client := &tls.Config{ServerName: "a.test", MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}}
			if _, err, _ := shake(t, named, client); (err == nil) != strong {
				t.Errorf("got %v, want success %v", err, strong)
			}
		})
	}
}

func TestKeyExchange_SR04(t *testing.T) {
	p := profile(t, Config{Certificates: &fixed{list: []*tls.Certificate{now(t, "a.test")}}})
	for _, tt := range []struct {
		name   string
		curves []tls.CurveID
		want   tls.CurveID
	}{
		{"SR-04 by default", nil, tls.X25519MLKEM768},
		{"SR-04 whatever the client prefers", []tls.CurveID{tls.X25519, tls.X25519MLKEM768}, tls.X25519MLKEM768},
		{"SR-04 an older client", []tls.CurveID{tls.CurveP256, tls.X25519}, tls.X25519},
		{"SR-04 P-256 alone", []tls.CurveID{tls.CurveP256}, tls.CurveP256},
		{"SR-04 P-521 alone", []tls.CurveID{tls.CurveP521}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			state, err, _ := shake(t, p, &tls.Config{ServerName: "a.test", CurvePreferences: tt.curves})
			if state.CurveID != tt.want || (err == nil) != (tt.want != 0) {
				t.Errorf("got %s, %v, want %s", state.CurveID, err, tt.want)
			}
		})
	}
}

func TestALPNAndSNI_SR05(t *testing.T) {
	const unrecognizedName, noApplicationProtocol = tls.AlertError(112), tls.AlertError(120)
	first, second, address := now(t, "a.test", "*.b.test"), now(t, "c.test"), now(t, "127.0.0.1")
	p := profile(t, Config{Certificates: &fixed{list: []*tls.Certificate{first, second, address}}})
	for _, tt := range []struct {
		name, server string
		alpn         []string
		want         *tls.Certificate
		alert        tls.AlertError
	}{
		{"SR-05 http/1.1", "a.test", []string{"http/1.1"}, first, 0},
		{"SR-05 h2 or http/1.1", "a.test", []string{"h2", "http/1.1"}, first, 0},
		{"SR-05 no protocol", "a.test", nil, first, 0},
		{"SR-05 ftp", "a.test", []string{"ftp"}, nil, noApplicationProtocol},
		{"SR-05 h2 alone", "a.test", []string{"h2"}, nil, noApplicationProtocol},
		{"SR-05 http/1.0", "a.test", []string{"http/1.0"}, nil, noApplicationProtocol},
		{"SR-05 a wildcard", "x.b.test", nil, first, 0},
		{"SR-05 the second certificate", "c.test", nil, second, 0},
		{"SR-05 a name in capitals", "C.TEST", nil, second, 0},
		{"SR-05 a name that we do not serve", "evil.test", nil, nil, unrecognizedName},
		{"SR-05 two labels below a wildcard", "x.y.b.test", nil, nil, unrecognizedName},
		{"SR-05 no name gets the first", "", nil, first, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			state, err, serverErr := shake(t, p, &tls.Config{ServerName: tt.server, NextProtos: tt.alpn})
			if tt.want == nil {
				if !isAlert(err, tt.alert) {
					t.Errorf("got %v, server %v, want alert %v", err, serverErr, tt.alert)
				}
				return
			}
			if err != nil || !state.PeerCertificates[0].Equal(tt.want.Leaf) {
				t.Errorf("got another certificate, %v", err)
			}
		})
	}
}

func TestCertificateByKind(t *testing.T) {
	ec, rsa := now(t, "a.test"), selfSigned(t, 2048, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "a.test")
	p := profile(t, Config{Certificates: &fixed{list: []*tls.Certificate{ec, rsa}}, MinVersion: "1.2"})
	client := &tls.Config{ServerName: "a.test", MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}
	state, err, _ := shake(t, p, client)
	if err != nil || !state.PeerCertificates[0].Equal(rsa.Leaf) {
		t.Errorf("a client that knows RSA only: %v", err)
	}
}

// store writes a certificate and its key.
func store(t testing.TB, f File, c *tls.Certificate) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		os.WriteFile(f.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}), 0o644),
		os.WriteFile(f.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
}

func fileIn(dir, name string) File {
	return File{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+"-key.pem")}
}
