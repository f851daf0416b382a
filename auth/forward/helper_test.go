package forward

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

// fake is an application without a network.
type fake struct {
	mu     sync.Mutex // guards all below
	status int
	body   string
	header http.Header
	delay  time.Duration
	down   bool
	seen   []http.Header
	now    int // requests in progress
	most   int
}

func (f *fake) set(status int, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status, f.body = status, body
}

func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.seen = append(f.seen, r.Header.Clone())
	if r.Method != http.MethodGet || r.Body != nil || r.URL.String() != "http://127.0.0.1:3000/me?v=1" {
		panic("asked " + r.Method + " " + r.URL.String())
	}
	f.now++
	f.most = max(f.most, f.now)
	delay, status, body, down, header := f.delay, f.status, f.body, f.down, f.header
	f.mu.Unlock()
	defer func() { f.mu.Lock(); f.now--; f.mu.Unlock() }()
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if down {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (f *fake) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.seen)
}

func (f *fake) last() http.Header {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen[len(f.seen)-1]
}

const alice = `{"sub":"alice","session":"s1","scopes":["read","write"],"recheck":"handle-1"}`

func start(t *testing.T, change ...func(*Config)) (*Authenticator, *fake) {
	t.Helper()
	c := Config{URL: "http://127.0.0.1:3000/me?v=1", StripCookies: []string{"__Host-sallyport"}}
	for _, f := range change {
		f(&c)
	}
	a, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{status: 200, body: alice}
	a.app.client.Transport = f
	t.Cleanup(a.Close)
	return a, f
}

var attempt = auth.Attempt{Gate: "/chat", Origin: "https://app.example.com", Address: "192.0.2.7"}

func request(pairs ...string) *http.Request {
	r := httptest.NewRequest("GET", "https://door.example.com/chat?secret=1", nil)
	for i := 0; i < len(pairs); i += 2 {
		r.Header[pairs[i]] = append(r.Header[pairs[i]], pairs[i+1])
	}
	return r
}

func admit(t *testing.T, a *Authenticator, r *http.Request) (auth.Identity, error) {
	t.Helper()
	return a.Authenticate(auth.WithAttempt(t.Context(), attempt), r)
}

func mustAdmit(t *testing.T, a *Authenticator, r *http.Request) auth.Identity {
	t.Helper()
	id, err := admit(t, a, r)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func want(t *testing.T, err error, reason deny.Reason) {
	t.Helper()
	if got := deny.Of(err); got != reason {
		t.Errorf("got %v (%v), want %v", got, err, reason)
	}
}

var background = context.Background()
