package forward

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

func TestRecheckWithTheHandle_SR42(t *testing.T) {
	a, f := start(t)
	id := mustAdmit(t, a, request("Cookie", "sid=1", "Authorization", "Basic YTpi"))
	f.set(200, `{"sub":"alice","session":"s1","scopes":["admin","read","write"],"exp":4102444800}`)
	now, err := a.Recheck(background, id)
	want(t, err, 0)
	sent := f.last()
	if sent.Get("Sallyport-Recheck") != "1" || sent.Get("Sallyport-Recheck-Handle") != "handle-1" || sent.Get("Cookie")+sent.Get("Authorization") != "" {
		t.Errorf("asked with %v", sent)
	}
	if sent.Get("Origin") != attempt.Origin || sent.Get("X-Forwarded-Uri") != "/chat" || sent.Get("X-Forwarded-For") != "192.0.2.7" || sent.Get("X-Forwarded-Host") != "door.example.com" {
		t.Errorf("asked with %v", sent)
	}
	if now.Expires.Unix() != 4102444800 || !now.IssuedAt.Equal(id.IssuedAt) || now.Credential != id.Credential || len(now.Scopes) != 2 {
		t.Errorf("got %+v", now)
	}
	if !bytes.Equal(now.Handle, id.Handle) {
		t.Error("without a new handle the old one must stay")
	}
	f.set(200, `{"sub":"alice","session":"s1","scopes":["read","write"],"recheck":"handle-2"}`)
	if now, err = a.Recheck(background, now); err != nil {
		t.Fatal(err)
	}
	if _, err = a.Recheck(background, now); err != nil || f.last().Get("Sallyport-Recheck-Handle") != "handle-2" {
		t.Errorf("asked with %v, %v", f.last(), err)
	}
}

func TestRecheckWithTheHeaders_SR42(t *testing.T) {
	a, f := start(t)
	f.set(200, `{"sub":"alice"}`)
	id := mustAdmit(t, a, request("Cookie", "sid=1; __Host-sallyport=x", "Authorization", "Basic YTpi"))
	_, err := a.Recheck(background, id)
	want(t, err, 0)
	sent := f.last()
	if sent.Get("Cookie") != "sid=1" || sent.Get("Authorization") != "Basic YTpi" || sent["Sallyport-Recheck-Handle"] != nil || sent.Get("Sallyport-Recheck") != "1" {
		t.Errorf("asked with %v", sent)
	}
}

func TestRecheckEnds_SR42_SR43_AT72(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   deny.Reason
	}{
		{"SR-43 AT-72 signed out", 401, "", deny.AuthSignedOut},
		{"SR-43 AT-72 disabled", 403, "", deny.AuthSignedOut},
		{"SR-42 another subject", 200, `{"sub":"bob","session":"s1","scopes":["read","write"]}`, deny.AuthSignedOut},
		{"SR-42 another session", 200, `{"sub":"alice","session":"s2","scopes":["read","write"]}`, deny.AuthSignedOut},
		{"SR-42 no session any more", 200, `{"sub":"alice","scopes":["read","write"]}`, deny.AuthSignedOut},
		{"SR-42 fewer scopes", 200, `{"sub":"alice","session":"s1","scopes":["read"]}`, deny.PolicyChanged},
		{"SR-42 no scopes", 200, `{"sub":"alice","session":"s1"}`, deny.PolicyChanged},
		{"SR-42 an end that has passed", 200, `{"sub":"alice","session":"s1","scopes":["read","write"],"exp":1}`, deny.AuthExpired},
		{"SR-91 an error is to be asked again", 500, "", deny.AuthUnavailable},
		{"SR-91 a redirect is to be asked again", 302, "", deny.AuthUnavailable},
		{"SR-91 a page is to be asked again", 200, "<html>", deny.AuthUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, f := start(t)
			id := mustAdmit(t, a, request("Cookie", "sid=1"))
			f.set(tt.status, tt.body)
			_, err := a.Recheck(background, id)
			want(t, err, tt.want)
		})
	}
	a, f := start(t)
	id := mustAdmit(t, a, request("Cookie", "sid=1"))
	asked := f.asked()
	for name, change := range map[string]func(*auth.Identity){
		"of another method":   func(id *auth.Identity) { id.Method = "jwt" },
		"of another issuer":   func(id *auth.Identity) { id.Issuer = "https://other.example/me" },
		"without a handle":    func(id *auth.Identity) { id.Handle = nil },
		"with an erased one":  func(id *auth.Identity) { id.Handle = make([]byte, len(id.Handle)) },
		"with a piece of one": func(id *auth.Identity) { id.Handle = id.Handle[:len(id.Handle)-1] },
		"with more than one":  func(id *auth.Identity) { id.Handle = append(bytes.Clone(id.Handle), 0) },
	} {
		t.Run("an identity "+name, func(t *testing.T) {
			other := id
			change(&other)
			_, err := a.Recheck(background, other)
			want(t, err, deny.AuthInvalid)
		})
	}
	if f.asked() != asked {
		t.Error("the application was asked about a foreign identity")
	}
}

func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, f := start(t)
		f.delay = 500 * time.Millisecond
		first := mustAdmit(t, a, request("Cookie", "sid=1"))
		time.Sleep(1500*time.Millisecond - 1) // 2 s after the question, less a nanosecond
		again := mustAdmit(t, a, request("Cookie", "sid=1"))
		if f.asked() != 1 || !again.IssuedAt.Equal(first.IssuedAt) {
			t.Errorf("asked %d times, issued %v and %v", f.asked(), first.IssuedAt, again.IssuedAt)
		}
		clear(again.Handle) // the owner erases its own copy only
		if third := mustAdmit(t, a, request("Cookie", "sid=1")); !bytes.Equal(third.Handle, first.Handle) {
			t.Error("one identity's handle was erased with another's")
		}
		time.Sleep(time.Nanosecond)
		mustAdmit(t, a, request("Cookie", "sid=1"))
		if f.asked() != 2 {
			t.Errorf("asked %d times, want 2 after 2 s", f.asked())
		}
		for name, ask := range map[string]func() error{
			"another cookie":       func() error { _, err := admit(t, a, request("Cookie", "sid=2")); return err },
			"a further credential": func() error { _, err := admit(t, a, request("Cookie", "sid=1", "Authorization", "x")); return err },
			"the bytes moved over": func() error { _, err := admit(t, a, request("Cookie", "sid=", "Authorization", "1")); return err },
			"another gate": func() error {
				return elsewhere(t, a, auth.Attempt{Gate: "/other", Origin: attempt.Origin, Address: attempt.Address})
			},
			"another origin": func() error {
				return elsewhere(t, a, auth.Attempt{Gate: attempt.Gate, Origin: "https://b.example", Address: attempt.Address})
			},
			"another address": func() error {
				return elsewhere(t, a, auth.Attempt{Gate: attempt.Gate, Origin: attempt.Origin, Address: "192.0.2.8"})
			},
			"a repeated question":   func() error { _, err := a.Recheck(background, first); return err },
			"the same one repeated": func() error { _, err := a.Recheck(background, first); return err },
		} {
			before := f.asked()
			if err := ask(); err != nil || f.asked() != before+1 {
				t.Errorf("%s: asked %d more times, %v", name, f.asked()-before, err)
			}
		}
		time.Sleep(2 * cacheFor)
		a.cache.mu.Lock()
		defer a.cache.mu.Unlock()
		if a.cache.order.Len() != 0 || len(a.cache.entries) != 0 || a.cache.sweeper != nil {
			t.Errorf("%d answers outlive their time", a.cache.order.Len())
		}
	})
}

func elsewhere(t *testing.T, a *Authenticator, at auth.Attempt) error {
	t.Helper()
	_, err := a.Authenticate(auth.WithAttempt(t.Context(), at), request("Cookie", "sid=1"))
	return err
}

func TestCacheNeverOutlivesTheEnd_SR42(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, f := start(t)
		f.set(200, fmt.Sprintf(`{"sub":"a","exp":%d}`, time.Now().Unix()+1))
		mustAdmit(t, a, request("Cookie", "sid=1"))
		time.Sleep(time.Second)
		_, err := admit(t, a, request("Cookie", "sid=1"))
		want(t, err, deny.AuthExpired)
	})
}

func TestCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, f := start(t)
		for i := range maxEntries + 10 {
			mustAdmit(t, a, request("Cookie", fmt.Sprint("sid=", i)))
			mustAdmit(t, a, request("Cookie", "sid=0")) // used, so it stays
		}
		if n := a.cache.order.Len(); n != maxEntries || len(a.cache.entries) != n {
			t.Errorf("%d answers are kept, want %d", n, maxEntries)
		}
		if f.asked() != maxEntries+10 {
			t.Errorf("asked %d times", f.asked())
		}
	})
}

func TestForget_SR43_AT72(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, f := start(t)
		for _, tt := range []struct {
			name    string
			forget  func()
			dropped bool
		}{
			{"the session", func() { a.Forget(a.Issuer(), "alice", "s1") }, true},
			{"all sessions of the subject", func() { a.Forget(a.Issuer(), "alice", "") }, true},
			{"the session of whomever", func() { a.Forget(a.Issuer(), "", "s1") }, true},
			{"everything", a.ForgetAll, true},
			{"another session", func() { a.Forget(a.Issuer(), "alice", "s2") }, false},
			{"another subject", func() { a.Forget(a.Issuer(), "bob", "s1") }, false},
			{"another issuer", func() { a.Forget("https://other.example", "alice", "s1") }, false},
		} {
			f.set(200, alice)
			mustAdmit(t, a, request("Cookie", "sid=1"))
			f.set(401, "") // signed out
			tt.forget()
			_, err := admit(t, a, request("Cookie", "sid=1"))
			if dropped := deny.Of(err) == deny.AuthInvalid; dropped != tt.dropped {
				t.Errorf("SR-43 AT-72 forget %s: dropped %v, want %v", tt.name, dropped, tt.dropped)
			}
			time.Sleep(cacheFor)
		}
	})
}

func TestForgetDuringTheQuestion_SR43_AT72(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, f := start(t)
		f.delay = time.Second
		begin := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			id, err := admit(t, a, request("Cookie", "sid=1"))
			if err != nil || !id.IssuedAt.Equal(begin) {
				t.Errorf("got %v, %v: an answer counts from its question, so that a revocation in between is later", id.IssuedAt, err)
			}
		})
		synctest.Wait()
		a.Forget(a.Issuer(), "alice", "s1")
		f.set(401, "")
		_, err := admit(t, a, request("Cookie", "sid=1"))
		want(t, err, deny.AuthInvalid) // did not join the earlier question
		wg.Wait()
		_, err = admit(t, a, request("Cookie", "sid=1"))
		want(t, err, deny.AuthInvalid) // nor was its answer kept
	})
}

func TestSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, f := start(t)
		f.delay = time.Second
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() { mustAdmit(t, a, request("Cookie", "sid=1")) })
		}
		wg.Wait()
		if f.asked() != 1 {
			t.Errorf("500 handshakes asked %d times, want once", f.asked())
		}
		id := mustAdmit(t, a, request("Cookie", "sid=1"))
		for range 16 {
			wg.Go(func() {
				if _, err := a.Recheck(background, id); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if f.asked() != 2 {
			t.Errorf("16 connections asked %d times again, want once", f.asked()-1)
		}
	})
}

func TestInFlight_SR91(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, f := start(t)
		var ids []auth.Identity
		for i := range 60 {
			f.set(200, fmt.Sprintf(`{"sub":"u%d"}`, i))
			ids = append(ids, mustAdmit(t, a, request("Cookie", fmt.Sprint("sid=", i))))
		}
		time.Sleep(cacheFor)
		f.delay = 100 * time.Millisecond
		var wg sync.WaitGroup
		var mu sync.Mutex
		refused := 0
		begin := time.Now()
		for i := range 100 {
			wg.Go(func() {
				if _, err := admit(t, a, request("Cookie", fmt.Sprint("sid=", i))); err != nil {
					want(t, err, deny.AuthUnavailable)
					if time.Since(begin) != 0 {
						t.Error("a handshake too many had to wait for its refusal")
					}
					mu.Lock()
					refused++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if refused != 100-maxInFlight || f.most != maxInFlight {
			t.Errorf("%d refused, at most %d in flight", refused, f.most)
		}
		// A crowd that is checked again waits its turn: 60 take two rounds.
		begin = time.Now()
		for i, id := range ids {
			wg.Go(func() {
				_, err := a.Recheck(background, id)
				if deny.Of(err) == deny.AuthUnavailable {
					t.Errorf("connection %d was not checked: %v", i, err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(begin); took != 2*f.delay || f.most != maxInFlight {
			t.Errorf("took %v, at most %d in flight", took, f.most)
		}
		// Even they are bounded by the time of one question.
		f.delay = time.Hour
		begin = time.Now()
		for _, id := range ids {
			wg.Go(func() {
				_, err := a.Recheck(background, id)
				want(t, err, deny.AuthUnavailable)
			})
		}
		wg.Wait()
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(alice))
	f.Add([]byte(`{"sub":"a","exp":1e9,"scopes":[null]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		ans, err := parseAnswer(body, time.Unix(0, 0))
		if err == nil && (ans.subject == "" || len(ans.subject) > maxName || len(ans.recheck) > maxHandle || len(ans.scopes) > maxScope) {
			t.Errorf("accepted %+v", ans)
		}
		if err != nil && deny.Of(err) != deny.AuthUnavailable && deny.Of(err) != deny.AuthExpired {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzHandle(f *testing.F) {
	q := question{Cookie: "a=b", Gate: "/", Recheck: "h"}
	b, _ := q.handle("")
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := parseHandle(b); err == nil && len(b) <= maxKept {
			again, err := q.handle("")
			if err != nil {
				return // written in longer numbers than needed
			}
			if back, err := parseHandle(again); err != nil || back != q {
				t.Errorf("got %+v, %v, want %+v", back, err, q)
			}
		}
	})
}
