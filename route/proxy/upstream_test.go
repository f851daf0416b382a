package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/deny"
)

// A backend that cannot be spoken to as configured is an error, never a
// downgrade: nothing is sent to it.
func TestBackendsOfAnotherKind_AT90_SR07(t *testing.T) {
	tests := []struct {
		name   string
		server func(*httptest.Server)
		config func(*Config, *x509.CertPool)
	}{
		{"AT-90 it speaks another protocol only", func(s *httptest.Server) {
			s.TLS = &tls.Config{NextProtos: []string{"h3"}} // with "h2" crypto/tls lets HTTP/1.1 pass
		}, func(c *Config, ca *x509.CertPool) { c.TLS.RootCAs = ca }},
		{"AT-90 it wants a client certificate", func(s *httptest.Server) {
			s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}
		}, func(c *Config, ca *x509.CertPool) { c.TLS.RootCAs = ca }},
		{"SR-07 AT-90 its certificate is for another name", nil, func(c *Config, ca *x509.CertPool) {
			c.TLS.RootCAs, c.TLS.ServerName = ca, "other.example"
		}},
		{"SR-07 nobody vouches for it", nil, func(*Config, *x509.CertPool) {}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				t.Error("the backend got a request")
			}))
			if tt.server != nil {
				tt.server(s)
			}
			s.StartTLS()
			defer s.Close()
			ca := x509.NewCertPool()
			ca.AddCert(s.Certificate())
			c := Config{To: strings.Replace(s.URL, "https://", "wss://", 1)}
			tt.config(&c, ca)
			p, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			_, err = p.Open(context.Background(), &sallyport.Handshake{Request: r, Gate: "/"})
			if deny.Of(err) != deny.BackendUnreachable {
				t.Errorf("got %v, want backend.unreachable", err)
			}
		})
	}
}
