package load

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/guard"
)

// overTLS is a load of a door on the loopback interface.
func overTLS(t *testing.T) Config {
	t.Helper()
	door := newDoor(t, echo, func(c *sallyport.Config) { c.Limits = guard.Limits{PerAddress: 1000} })
	server := httptest.NewUnstartedServer(door)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(func() {
		drain(t, door)
		server.Close()
	})
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return config(func(c *Config) {
		c.URL = "wss" + strings.TrimPrefix(server.URL, "https") + "/ws"
		c.TLS = &tls.Config{RootCAs: roots}
		c.Connections, c.Rate, c.Ramp, c.Warmup, c.Duration, c.sleep = 20, 20, 1000, 50*time.Millisecond, 500*time.Millisecond, nil
	})
}

func TestOverTLS(t *testing.T) {
	c := overTLS(t)
	c.Churn, c.Storm = 10, true
	r, err := Run(t.Context(), c)
	if err != nil || r.Problem() != "" {
		t.Fatal(err, r.Problem(), r.Closes, r.Failures, r.Refusals)
	}
	if n := r.Messages.Answered; n < 100 || n > 220 || r.Latency.P50 <= 0 {
		t.Errorf("got %+v, %+v", r.Messages, r.Latency)
	}
	if r.TLS == nil || r.TLS.Version != "TLS 1.3" || r.TLS.Group != "X25519MLKEM768" {
		t.Errorf("got %+v", r.TLS)
	}
	if back := r.Churn.Opened + r.Storm.Back; back < 20 || r.Connections.Resumed != back || r.Connections.Opened != 20+back {
		t.Errorf("who comes back resumes, and nobody else: %d back, %+v", back, r.Connections)
	}
	if r.Connections.Secure.Count != int64(r.Connections.Opened) {
		t.Errorf("got %+v", r.Connections.Secure)
	}
}

func TestWithoutResumption(t *testing.T) {
	c := overTLS(t)
	c.Resume, c.Storm, c.Rate = false, true, 0
	r, err := Run(t.Context(), c)
	if err != nil || r.Problem() != "" || r.Connections.Resumed != 0 || r.Storm.Back != 20 {
		t.Errorf("got %v, %s, %+v", err, r.Problem(), r.Connections)
	}
}

func TestUnknownAuthority(t *testing.T) {
	c := overTLS(t)
	c.TLS.RootCAs = x509.NewCertPool()
	r, err := Run(t.Context(), c)
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok || len(r.Failures) != 1 {
		t.Errorf("got %v", err)
	}
}
