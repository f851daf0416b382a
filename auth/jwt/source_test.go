package jwt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/deny"
)

// idp is an issuer's server without a network.
type idp struct {
	requests atomic.Int32
	mu       sync.Mutex // guards answer
	answer   func(*http.Request) (int, string)
}

func (i *idp) serve(status int, body string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = func(*http.Request) (int, string) { return status, body }
}

func (i *idp) publish(kids ...string) { i.serve(200, string(setOf(kids...).JWKS())) }

func (i *idp) RoundTrip(r *http.Request) (*http.Response, error) {
	i.requests.Add(1)
	i.mu.Lock()
	answer := i.answer
	i.mu.Unlock()
	if answer == nil {
		return nil, errors.New("unreachable")
	}
	status, body := answer(r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Location": {"https://evil.example/jwks"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// remote is a verifier that reads its keys from i.
func remote(t *testing.T, i *idp) *Verifier {
	t.Helper()
	v := verifier(t, func(c *Config) { c.Keys, c.JWKS = nil, "https://idp.example.com/jwks?p=secret" })
	client := newClient(false)
	client.Transport = i
	v.keys.load = fetcher{"https://idp.example.com/jwks?p=secret", client}.load
	return v
}

func by(t *testing.T, kid string) string {
	t.Helper()
	return token(t, kid, "ES256", toJSON(t, header("ES256", kid)), toJSON(t, claims(fields{"exp": time.Now().Unix() + 6*24*3600})))
}

func TestRandomKids_SR37_AT65(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &idp{}
		i.mu.Lock()
		set := string(setOf("ES256").JWKS())
		i.answer = func(*http.Request) (int, string) { time.Sleep(time.Second); return 200, set }
		i.mu.Unlock()
		v := remote(t, i)
		good := by(t, "ES256")
		tail := good[strings.IndexByte(good, '.'):]
		for round := range 5 {
			before := i.requests.Load()
			var wg sync.WaitGroup
			for g := range 100 {
				wg.Go(func() {
					for n := range 100 {
						forged := encode([]byte(toJSON(t, header("ES256", fmt.Sprintf("%d-%d-%d", round, g, n))))) + tail
						want(t, v, forged, deny.AuthInvalid)
					}
				})
			}
			wg.Wait()
			if n := i.requests.Load() - before; n != 1 {
				t.Errorf("SR-37 AT-65 10000 unknown kids caused %d fetches, want 1 per cool-down", n)
			}
			want(t, v, good, 0)
			time.Sleep(coolDown)
		}
	})
}

func TestKnownKeysDoNotWait_SR37_AT65(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &idp{}
		i.publish("ES256")
		v := remote(t, i)
		good := by(t, "ES256")
		want(t, v, good, 0)
		time.Sleep(coolDown)
		i.mu.Lock()
		i.answer = func(r *http.Request) (int, string) { <-r.Context().Done(); return 0, "" }
		i.mu.Unlock()
		done := make(chan struct{})
		start := time.Now()
		go func() {
			defer close(done)
			want(t, v, by(t, "other"), deny.AuthInvalid)
		}()
		synctest.Wait() // the fetch hangs
		want(t, v, good, 0)
		if waited := time.Since(start); waited != 0 {
			t.Errorf("a known key waited %v for a slow server", waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := v.Verify(ctx, by(t, "other")); deny.Of(err) != deny.AuthInvalid {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("a waiter left after %v, want 1s", waited)
		}
		<-done
		if waited := time.Since(start); waited != fetchTimeout {
			t.Errorf("the fetch took %v, want %v", waited, fetchTimeout)
		}
	})
}

func TestOneCallerRefreshesAnOldSet_SR37(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &idp{}
		i.publish("ES256")
		v := remote(t, i)
		good := by(t, "ES256")
		want(t, v, good, 0)
		i.mu.Lock()
		i.answer = func(r *http.Request) (int, string) { <-r.Context().Done(); return 0, "" }
		i.mu.Unlock()
		time.Sleep(refreshAfter + 1)
		var waited atomic.Int32
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				begin := time.Now()
				want(t, v, good, 0)
				if time.Since(begin) > 0 {
					waited.Add(1)
				}
			})
		}
		wg.Wait()
		if waited.Load() != 1 || i.requests.Load() != 2 {
			t.Errorf("%d of 100 waited for %d fetches, want 1 for 1", waited.Load(), i.requests.Load()-1)
		}
	})
}

func TestRotation_SR37_AT65(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &idp{}
		i.publish("ES256")
		v := remote(t, i)
		var changes int
		v.OnChange(func() { changes++ })
		old, fresh := by(t, "ES256"), by(t, "other")
		id := want(t, v, old, 0)
		generation := v.Generation()

		time.Sleep(coolDown)
		i.publish("ES256", "other")
		want(t, v, fresh, 0) // an unknown kid reads the set again
		if changes != 0 || v.Generation() != generation+1 {
			t.Errorf("a new key: %d changes, generation %d", changes, v.Generation())
		}

		i.publish("other")
		want(t, v, old, 0) // not known yet
		if err := v.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, v, old, deny.AuthInvalid)
		if changes != 1 || v.HasKey(id.KeyID) || v.Generation() != generation+2 {
			t.Errorf("a removed key: %d changes, has %v, generation %d", changes, v.HasKey(id.KeyID), v.Generation())
		}

		i.publish("ES256", "other") // a set is replaced, so it can come back
		time.Sleep(refreshAfter + 1)
		want(t, v, fresh, 0) // an old set is read again by whoever comes
		if !v.HasKey(id.KeyID) {
			t.Error("the periodic refresh did not happen")
		}

		t.Log("a key exchanged under the same kid is another key")
		impostor := *testKeys()["other"].key
		impostor.kid = "ES256"
		i.serve(200, string((&KeySet{[]*key{&impostor}}).JWKS()))
		if err := v.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v.HasKey(id.KeyID) || changes != 2 {
			t.Errorf("has %v, %d changes", v.HasKey(id.KeyID), changes)
		}
		i.serve(200, `{"keys":[]}`)
		if err := v.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, v, fresh, deny.AuthInvalid)
	})
}

func TestUnreachableIssuer_SR37_SR91_AT65(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &idp{}
		v := remote(t, i)
		good := by(t, "ES256")
		for range 20 {
			want(t, v, good, deny.AuthUnavailable) // SR-91: fails closed
		}
		if n := i.requests.Load(); n != 1 || v.Failures() != 1 || !v.LastSuccess().IsZero() {
			t.Errorf("%d requests, %d failures, last success %v", n, v.Failures(), v.LastSuccess())
		}
		if err := v.Refresh(t.Context()); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want an error without the query", err)
		}
		time.Sleep(coolDown)
		i.publish("ES256")
		id := want(t, v, good, 0)
		success := v.LastSuccess()
		changes := 0
		v.OnChange(func() { changes++ })

		i.serve(500, "{}")
		for range 24 * 6 {
			time.Sleep(10 * time.Minute)
			want(t, v, good, 0) // the old set is trusted for a day
		}
		if !v.HasKey(id.KeyID) || changes != 0 || v.LastSuccess() != success || v.Failures() < 100 {
			t.Errorf("has %v, %d changes, last success %v, %d failures", v.HasKey(id.KeyID), changes, v.LastSuccess(), v.Failures())
		}
		time.Sleep(time.Minute)
		want(t, v, good, deny.AuthUnavailable)
		want(t, v, good, deny.AuthUnavailable)
		if v.HasKey(id.KeyID) || changes != 1 {
			t.Errorf("after a day: has %v, %d changes, want none and 1", v.HasKey(id.KeyID), changes)
		}
		i.publish("ES256")
		time.Sleep(coolDown)
		want(t, v, good, 0)
	})
}

func TestBadSets_SR37_AT65(t *testing.T) {
	entry := toJSON(t, members(testKeys()["ES256"].private.Public()))
	for name, answer := range map[string]struct {
		status int
		body   string
	}{
		"a redirect":             {302, string(setOf("other").JWKS())},
		"a permanent redirect":   {308, string(setOf("other").JWKS())},
		"status 204":             {204, ""},
		"status 500":             {500, string(setOf("other").JWKS())},
		"HTML":                   {200, "<html>"},
		"no keys":                {200, "{}"},
		"keys null":              {200, `{"keys":null}`},
		"keys an object":         {200, `{"keys":{}}`},
		"keys twice":             {200, `{"keys":[],"keys":[` + entry + `]}`},
		"something behind it":    {200, string(setOf("other").JWKS()) + "{}"},
		"cut short":              {200, string(setOf("other").JWKS()[:50])},
		"101 keys":               {200, `{"keys":[` + strings.Repeat(entry+",", 100) + entry + `]}`},
		"more than 256 KiB":      {200, string(setOf("other").JWKS()) + strings.Repeat(" ", maxSet)},
		"an endless list":        {200, `{"keys":[` + strings.Repeat("1,", maxSet)},
		"a name twice in a key":  {200, `{"keys":[{"kty":"EC","kty":"RSA"}]}`},
		"deeper than a set goes": {200, `{"keys":[` + strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat(`}`, 40) + `]}`},
	} {
		t.Run("SR-37 AT-65 "+name+" changes nothing", func(t *testing.T) {
			i := &idp{}
			i.publish("ES256")
			v := remote(t, i)
			want(t, v, by(t, "ES256"), 0)
			i.serve(answer.status, answer.body)
			if err := v.Refresh(t.Context()); err == nil {
				t.Error("the set was accepted")
			}
			if n := i.requests.Load(); n != 2 {
				t.Errorf("%d requests, want 2: no redirect is followed", n)
			}
			want(t, v, by(t, "ES256"), 0)
			want(t, v, by(t, "other"), deny.AuthInvalid)
		})
	}
	t.Run("SR-37 100 keys are read", func(t *testing.T) {
		if _, err := ParseKeySet([]byte(`{"keys":[` + strings.Repeat(entry+",", 99) + entry + `]}`)); err != nil {
			t.Error(err)
		}
	})
}

func TestAddresses_SR37_AT66(t *testing.T) {
	for _, addr := range []string{
		"169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "100.100.100.200", "168.63.129.16",
		"192.0.0.192", "0.0.0.0", "0.1.2.3", "::", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "::a9fe:a9fe", "224.0.0.1", "ff02::1", "fd20:ce::254",
	} {
		t.Run("SR-37 AT-66 "+addr+" is never dialled", func(t *testing.T) {
			if err := allowed(netip.MustParseAddr(addr), false); err == nil {
				t.Error("allowed")
			}
			if _, err := New(Config{Issuer: issuer, Audience: audience, JWKS: "https://[" + strings.ReplaceAll(addr, "%", "%25") + "]/jwks"}); err == nil && strings.Contains(addr, ":") {
				t.Error("configured")
			}
		})
	}
	for _, addr := range []string{"10.0.0.1", "192.168.1.1", "fd00::1", "8.8.8.8", "2001:db8::1", "127.0.0.1", "::1"} {
		if err := allowed(netip.MustParseAddr(addr), false); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
		loopback := addr == "127.0.0.1" || addr == "::1"
		if err := allowed(netip.MustParseAddr(addr), true); (err == nil) != loopback {
			t.Errorf("%s over http: %v", addr, err)
		}
	}
	t.Run("SR-37 AT-66 judged after the name is resolved", func(t *testing.T) {
		var control error
		d := newClient(true).Transport.(*http.Transport).DialContext
		_, control = d(t.Context(), "tcp", "192.0.2.1:80") // never leaves: refused before the packet
		if control == nil || !strings.Contains(control.Error(), "not loopback") {
			t.Errorf("got %v", control)
		}
		_, control = newClient(false).Transport.(*http.Transport).DialContext(t.Context(), "tcp", net.JoinHostPort("169.254.169.254", "80"))
		if control == nil || !strings.Contains(control.Error(), "metadata") {
			t.Errorf("got %v", control)
		}
	})
	for url, want := range map[string]string{
		"http://idp.example.com/jwks":      "over http only from loopback",
		"http://127.0.0.1.nip.io/jwks":     "over http only from loopback",
		"http://localhost.evil.example/":   "over http only from loopback",
		"https://user:pw@idp.example.com/": "user or password",
		"https://idp.example.com/#x":       "fragment",
		"https:///jwks":                    "no host",
		"ftp://idp.example.com/jwks":       "must be an https URL",
		"/etc/jwks.json":                   "must be an https URL",
		"file:jwks.json":                   "absolute path",
		"file://host/jwks.json":            "absolute path",
		"https://169.254.169.254/jwks":     "metadata",
		"%zz":                              "not a URL",
	} {
		t.Run("SR-37 "+url, func(t *testing.T) {
			if _, err := New(Config{Issuer: issuer, Audience: audience, JWKS: url}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

func TestOverTheNetwork_SR37(t *testing.T) {
	var redirected atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("got header %v", r.Header)
		}
		w.Write(setOf("ES256").JWKS())
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/target", http.StatusFound) })
	mux.HandleFunc("/target", func(w http.ResponseWriter, _ *http.Request) {
		redirected.Add(1)
		w.Write(setOf("ES256").JWKS())
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	at := func(path string) *Verifier {
		return verifier(t, func(c *Config) { c.Keys, c.JWKS = nil, srv.URL+path })
	}
	want(t, at("/jwks"), by(t, "ES256"), 0)
	want(t, at("/moved"), by(t, "ES256"), deny.AuthUnavailable)
	if redirected.Load() != 0 {
		t.Error("SR-37 a redirect was followed")
	}
	v := at("/jwks")
	v.Close()
	if err := v.Refresh(t.Context()); err == nil {
		t.Error("fetched after Close")
	}
	want(t, v, by(t, "ES256"), deny.AuthUnavailable)
}

func TestFile_SR37_SR91(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jwks.json")
	v := verifier(t, func(c *Config) { c.Keys, c.JWKS = nil, "file:"+path })
	if err := v.Refresh(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that the file is missing", err)
	}
	want(t, v, by(t, "ES256"), deny.AuthUnavailable)
	if err := os.WriteFile(path, setOf("ES256").JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
	want(t, v, by(t, "ES256"), 0)
	dir := verifier(t, func(c *Config) { c.Keys, c.JWKS = nil, "file:"+filepath.Dir(path) })
	if err := dir.Refresh(t.Context()); err == nil {
		t.Error("a directory was read")
	}
}

func TestKeysInTheProcess_SR37(t *testing.T) {
	v := verifier(t)
	id := want(t, v, es256(t, header("ES256", "ES256"), claims()), 0)
	changes := 0
	v.OnChange(func() { changes++ })
	if err := v.SetKeys(setOf("other")); err != nil {
		t.Fatal(err)
	}
	if v.HasKey(id.KeyID) || changes != 1 {
		t.Errorf("has %v, %d changes", v.HasKey(id.KeyID), changes)
	}
	want(t, v, es256(t, header("ES256", "ES256"), claims()), deny.AuthInvalid)
	if err := v.Refresh(t.Context()); err != nil || v.Failures() != 0 || !v.LastSuccess().IsZero() {
		t.Errorf("nothing to refresh: %v", err)
	}
	if err := verifier(t, func(c *Config) { c.Keys, c.JWKS = nil, "https://idp.example.com/" }).SetKeys(setOf("other")); err == nil {
		t.Error("the keys of an issuer were replaced")
	}
}

func TestReloadInheritsTheSet_SR37_SR91(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &idp{}
		i.publish("ES256")
		old := remote(t, i)
		id := want(t, old, by(t, "ES256"), 0)
		time.Sleep(23 * time.Hour)
		i.serve(500, "")
		fresh := remote(t, i)
		if fresh.HasKey(id.KeyID) {
			t.Error("a new verifier has keys")
		}
		fresh.Inherit(old)
		if !fresh.HasKey(id.KeyID) || fresh.LastSuccess() != old.LastSuccess() {
			t.Error("the set was not inherited with its age")
		}
		time.Sleep(time.Hour + 1)
		if fresh.HasKey(id.KeyID) {
			t.Error("a reload made an old set young")
		}
		i.publish("other")
		if err := fresh.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		fresh.Inherit(old)
		if fresh.HasKey(id.KeyID) {
			t.Error("a newer set was replaced by an older one")
		}
		moved := verifier(t, func(c *Config) { c.Keys, c.JWKS = nil, "https://elsewhere.example/jwks" })
		moved.Inherit(old)
		if moved.HasKey(id.KeyID) || !moved.LastSuccess().IsZero() {
			t.Error("the set of another place was inherited")
		}
	})
}
