package session

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

const issuer = "https://app.example.com"

func sessions(t *testing.T, change func(*Config)) (*Sessions, *Memory) {
	t.Helper()
	store := NewMemory(0)
	c := Config{Store: store, Issuer: issuer}
	if change != nil {
		change(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s, store
}

// carrying returns a request with these Cookie lines, as they are.
func carrying(lines ...string) *http.Request {
	r := httptest.NewRequest("GET", "https://app.example.com/ws", nil)
	r.Header["Cookie"] = lines
	return r
}

// login signs in and returns a request that carries the new cookie.
func login(t *testing.T, s *Sessions, r *http.Request, subject string, scopes ...string) (id, old auth.Identity, next *http.Request) {
	t.Helper()
	w := httptest.NewRecorder()
	id, old, err := s.Login(t.Context(), w, r, subject, scopes)
	if err != nil {
		t.Fatalf("login: %v", err)
	}
	c := setCookie(t, w)
	return id, old, carrying(c.Name + "=" + c.Value)
}

func setCookie(t *testing.T, w *httptest.ResponseRecorder) *http.Cookie {
	t.Helper()
	list := w.Result().Cookies()
	if len(list) != 1 {
		t.Fatalf("got %d cookies %v, want 1", len(list), list)
	}
	return list[0]
}

func wantDenied(t *testing.T, err error, want deny.Reason) {
	t.Helper()
	if got := deny.Of(err); err == nil || got != want {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
}

func TestCookieOfASession_SR22(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"SR-22 the default cookie", nil,
			[]string{"__Host-sallyport=", "Path=/", "Max-Age=43200", "Secure", "HttpOnly", "SameSite=Strict"}},
		{"SR-22 SameSite=Lax is selectable", func(c *Config) { c.SameSite = http.SameSiteLaxMode }, []string{"SameSite=Lax", "Secure", "HttpOnly"}},
		{"SR-22 another name and lifetime", func(c *Config) { c.Cookie, c.Lifetime = "__Host-x", time.Hour }, []string{"__Host-x=", "Max-Age=3600"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := sessions(t, tt.change)
			w := httptest.NewRecorder()
			if _, _, err := s.Login(t.Context(), w, carrying(), "ada", nil); err != nil {
				t.Fatal(err)
			}
			line := w.Header().Get("Set-Cookie")
			for _, want := range tt.want {
				if !slices.ContainsFunc(strings.Split(line, "; "), func(part string) bool {
					return part == want || strings.HasSuffix(want, "=") && strings.HasPrefix(part, want)
				}) {
					t.Errorf("%q lacks %q", line, want)
				}
			}
			if strings.Contains(strings.ToLower(line), "domain") {
				t.Errorf("%q has a Domain", line)
			}
		})
	}
}

func TestMistakesOfAConfig_SR22(t *testing.T) {
	good := Config{Store: NewMemory(0), Issuer: issuer}
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no store", func(c *Config) { c.Store = nil }, "Store"},
		{"no issuer", func(c *Config) { c.Issuer = "" }, "Issuer"},
		{"SR-22 a name without the prefix", func(c *Config) { c.Cookie = "sid" }, "__Host-"},
		{"SR-22 the prefix in other letters", func(c *Config) { c.Cookie = "__host-sid" }, "__Host-"},
		{"a name of the prefix only", func(c *Config) { c.Cookie = "__Host-" }, "Cookie"},
		{"SR-22 a name that smuggles a Domain", func(c *Config) { c.Cookie = "__Host-x; Domain=example.com" }, "Cookie"},
		{"a lifetime longer than revocations are kept", func(c *Config) { c.Lifetime = MaxLifetime + 1 }, "Lifetime"},
		{"a negative lifetime", func(c *Config) { c.Lifetime = -1 }, "Lifetime"},
		{"SR-22 SameSite=None", func(c *Config) { c.SameSite = http.SameSiteNoneMode }, "SameSite"},
		{"everything at once", func(c *Config) { *c = Config{Cookie: "x", SameSite: 9, Lifetime: 1} }, "Lifetime"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := good
			tt.change(&c)
			s, err := New(c)
			if s != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, %v, want an error about %s", s, err, tt.want)
			}
		})
	}
	_, err := New(Config{Cookie: "x", SameSite: 9, Lifetime: 1})
	if got := strings.Count(err.Error(), "session: "); got != 5 {
		t.Errorf("got %d mistakes at once, want 5: %v", got, err)
	}
}

func TestIdentityOfASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := sessions(t, nil)
		id, old, r := login(t, s, carrying(), "ada", "write", "read", "write")
		if !reflect.DeepEqual(old, auth.Identity{}) {
			t.Errorf("a first login ended %v", old)
		}
		got, err := s.Authenticate(t.Context(), r)
		if err != nil || !reflect.DeepEqual(got, id) {
			t.Fatalf("got %+v, %v, want %+v", got, err, id)
		}
		now := time.Now()
		if id.Issuer != issuer || id.Subject != "ada" || id.Method != "session" || !slices.Equal(id.Scopes, []string{"read", "write"}) ||
			!id.IssuedAt.Equal(now) || !id.Expires.Equal(now.Add(12*time.Hour)) || id.Session == "" || id.Credential != id.Session {
			t.Errorf("got %+v", id)
		}
		if again, err := s.Recheck(t.Context(), id); err != nil || !reflect.DeepEqual(again, id) {
			t.Errorf("recheck: got %+v, %v", again, err)
		}
		if s.Kind() != auth.Session || s.CookieName() != DefaultCookie {
			t.Errorf("got kind %v, cookie %s", s.Kind(), s.CookieName())
		}
	})
}

func TestStoreHoldsNoUsableCookie_SR23(t *testing.T) {
	s, store := sessions(t, nil)
	id, _, r := login(t, s, carrying(), "ada")
	_, value, _ := strings.Cut(r.Header.Get("Cookie"), "=")
	if len(value) != 43 {
		t.Errorf("the value %q has not 256 bits in base64url", value)
	}
	dump := fmt.Sprintf("%#v %q %+v", store.byKey, store.byID, id)
	if strings.Contains(dump, value) {
		t.Fatal("the store or the identity has the cookie's value")
	}
	for key, rec := range store.byKey {
		for _, guess := range []string{rec.ID, string(key[:]), fmt.Sprintf("%x", key), encode(key[:])} {
			if _, err := s.Authenticate(t.Context(), carrying(DefaultCookie+"="+guess)); err == nil {
				t.Errorf("%q of the store signs in", guess)
			}
		}
	}
	if id.Session == value || strings.Contains(value, id.Session) {
		t.Error("the public id tells the value")
	}
}

func TestValuesAreRandom_SR23(t *testing.T) {
	const n = 2000
	seen := map[string]bool{}
	var ones [256]int
	for range n {
		v := random()
		if seen[v] || !wellFormed(v) {
			t.Fatalf("%q is doubled or malformed", v)
		}
		seen[v] = true
		for i, b := range decode(t, v) {
			for bit := range 8 {
				ones[8*i+bit] += int(b >> bit & 1)
			}
		}
	}
	for i, c := range ones { // 6 standard deviations of a fair coin are 134
		if c < n/2-150 || c > n/2+150 {
			t.Errorf("bit %d was set %d times of %d", i, c, n)
		}
	}
}

func TestFixation_SR24_AT77(t *testing.T) {
	t.Run("SR-24 AT-77 a planted value is useless after the login", func(t *testing.T) {
		s, store := sessions(t, nil)
		planted := carrying(DefaultCookie + "=" + random())
		id, old, next := login(t, s, planted, "victim")
		if old.Session != "" {
			t.Errorf("a session that never was ended: %v", old)
		}
		_, err := s.Authenticate(t.Context(), planted)
		wantDenied(t, err, deny.AuthSignedOut)
		if got, err := s.Authenticate(t.Context(), next); err != nil || got.Session != id.Session {
			t.Errorf("got %v, %v", got, err)
		}
		if store.Len() != 1 {
			t.Errorf("%d sessions", store.Len())
		}
	})
	t.Run("SR-24 AT-77 the attacker's own live session, planted, dies and is reported", func(t *testing.T) {
		s, store := sessions(t, nil)
		mallory, _, planted := login(t, s, carrying(), "mallory")
		victim, old, _ := login(t, s, planted, "victim")
		if !reflect.DeepEqual(old, mallory) {
			t.Errorf("got old %+v, want %+v: its sockets would stay open", old, mallory)
		}
		if victim.Session == mallory.Session || victim.Credential == mallory.Credential {
			t.Error("the session kept its id")
		}
		_, err := s.Authenticate(t.Context(), planted)
		wantDenied(t, err, deny.AuthSignedOut)
		_, err = s.Recheck(t.Context(), mallory)
		wantDenied(t, err, deny.AuthSignedOut)
		if store.Len() != 1 {
			t.Errorf("%d sessions", store.Len())
		}
	})
	t.Run("SR-24 step-up changes the value and the scopes", func(t *testing.T) {
		s, _ := sessions(t, nil)
		before, _, r := login(t, s, carrying(), "ada")
		after, old, next := login(t, s, r, "ada", "admin")
		if old.Session != before.Session || after.Session == before.Session || !slices.Equal(after.Scopes, []string{"admin"}) {
			t.Errorf("got old %+v, after %+v", old, after)
		}
		if next.Header.Get("Cookie") == r.Header.Get("Cookie") {
			t.Error("the value stayed")
		}
	})
	t.Run("SR-24 the old session dies even when the new one finds no room", func(t *testing.T) {
		s, store := sessions(t, nil)
		before, _, r := login(t, s, carrying(), "ada")
		store.max = -1
		w := httptest.NewRecorder()
		id, old, err := s.Login(t.Context(), w, r, "ada", nil)
		wantDenied(t, err, deny.GuardFull)
		if id.Session != "" || old.Session != before.Session || store.Len() != 0 || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("got %+v, old %+v, %d sessions", id, old, store.Len())
		}
	})
}

func TestCookiesThatAreRefused_SR25_AT09(t *testing.T) {
	s, _ := sessions(t, nil)
	_, _, r := login(t, s, carrying(), "ada")
	good := r.Header.Get("Cookie")
	_, value, _ := strings.Cut(good, "=")
	for _, tt := range []struct {
		name  string
		lines []string
		want  deny.Reason // 0: no credentials
	}{
		{"no cookie", nil, 0},
		{"another cookie", []string{"theme=dark"}, 0},
		{"SR-25 AT-09 the cookie twice in a line", []string{good + "; " + good}, deny.AuthInvalid},
		{"SR-25 the cookie in two lines", []string{good, good}, deny.AuthInvalid},
		{"SR-25 AT-09 shadowed by the name without the prefix", []string{good + "; sallyport=" + value}, deny.AuthInvalid},
		{"AT-09 the name in other letters", []string{"__host-sallyport=" + value}, deny.AuthInvalid},
		{"SR-25 a value of 5,000 bytes", []string{DefaultCookie + "=" + strings.Repeat("A", 5000)}, deny.AuthInvalid},
		{"an empty value", []string{DefaultCookie + "="}, deny.AuthInvalid},
		{"a short value", []string{good[:len(good)-1]}, deny.AuthInvalid},
		{"another spelling of the last bits", []string{DefaultCookie + "=" + strings.Repeat("A", 42) + "B"}, deny.AuthInvalid},
		{"a value that nobody was given", []string{DefaultCookie + "=" + random()}, deny.AuthSignedOut},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := s.Authenticate(t.Context(), carrying(tt.lines...))
			if tt.want == 0 {
				if !errors.Is(err, auth.ErrNoCredentials) {
					t.Errorf("got %v, want no credentials", err)
				}
				return
			}
			wantDenied(t, err, tt.want)
			if errors.Is(err, auth.ErrNoCredentials) {
				t.Error("another authenticator would be asked")
			}
			if strings.Contains(err.Error(), value) {
				t.Errorf("the error tells the value: %v", err)
			}
			if tt.want == deny.AuthInvalid {
				w := httptest.NewRecorder()
				_, _, err = s.Login(t.Context(), w, carrying(tt.lines...), "eve", nil)
				wantDenied(t, err, deny.AuthInvalid)
			}
		})
	}
	if _, err := s.Authenticate(t.Context(), r); err != nil {
		t.Errorf("the good one was refused: %v", err)
	}
}

func TestSessionsEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(t *testing.T, s *Sessions, r *http.Request, id auth.Identity)
		want deny.Reason
	}{
		{"AT-77 by logout", func(t *testing.T, s *Sessions, r *http.Request, id auth.Identity) {
			w := httptest.NewRecorder()
			got, err := s.Logout(t.Context(), w, r)
			if err != nil || !reflect.DeepEqual(got, id) {
				t.Errorf("logout: got %+v, %v", got, err)
			}
			if c := setCookie(t, w); c.Name != DefaultCookie || c.Value != "" || c.MaxAge >= 0 {
				t.Errorf("the cookie is not cleared: %v", c)
			}
			_, err = s.Logout(t.Context(), httptest.NewRecorder(), r)
			wantDenied(t, err, deny.AuthSignedOut)
		}, deny.AuthSignedOut},
		{"SR-25 by logout although the cookie is shadowed", func(t *testing.T, s *Sessions, r *http.Request, id auth.Identity) {
			got, err := s.Logout(t.Context(), httptest.NewRecorder(), carrying("sallyport=x; "+r.Header.Get("Cookie")))
			if err != nil || got.Session != id.Session {
				t.Errorf("logout: got %+v, %v", got, err)
			}
		}, deny.AuthSignedOut},
		{"by its public id, twice", func(t *testing.T, s *Sessions, _ *http.Request, id auth.Identity) {
			for range 2 {
				if err := s.End(t.Context(), id.Session); err != nil {
					t.Error(err)
				}
			}
		}, deny.AuthSignedOut},
		{"by its age, to the nanosecond", func(t *testing.T, s *Sessions, r *http.Request, id auth.Identity) {
			time.Sleep(12*time.Hour - 1)
			if _, err := s.Authenticate(t.Context(), r); err != nil {
				t.Errorf("too early: %v", err)
			}
			time.Sleep(time.Nanosecond)
		}, deny.AuthExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, store := sessions(t, nil)
				id, _, r := login(t, s, carrying(), "ada")
				_, _, other := login(t, s, carrying(), "bob")
				tt.end(t, s, r, id)
				_, err := s.Recheck(t.Context(), id)
				wantDenied(t, err, tt.want)
				_, err = s.Authenticate(t.Context(), r)
				wantDenied(t, err, tt.want)
				if tt.want == deny.AuthSignedOut {
					if _, err := s.Authenticate(t.Context(), other); err != nil || store.Len() != 1 {
						t.Errorf("somebody else's session: %v", err)
					}
				}
			})
		})
	}
}

func TestLogoutOfNobody(t *testing.T) {
	s, _ := sessions(t, nil)
	_, _, r := login(t, s, carrying(), "ada")
	good := r.Header.Get("Cookie")
	for _, tt := range []struct {
		name  string
		lines []string
		check func(error) bool
	}{
		{"without a cookie", nil, func(err error) bool { return errors.Is(err, auth.ErrNoCredentials) }},
		{"with a malformed one", []string{DefaultCookie + "=x"}, func(err error) bool { return deny.Of(err) == deny.AuthInvalid }},
		{"SR-25 with the cookie twice", []string{good, good}, func(err error) bool { return deny.Of(err) == deny.AuthInvalid }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			id, err := s.Logout(t.Context(), w, carrying(tt.lines...))
			if id.Session != "" || err == nil || !tt.check(err) {
				t.Errorf("got %+v, %v", id, err)
			}
			if c := setCookie(t, w); c.MaxAge >= 0 {
				t.Errorf("the cookie is not cleared: %v", c)
			}
		})
	}
}

func TestRecheckOfForeignIdentities(t *testing.T) {
	s, _ := sessions(t, nil)
	id, _, _ := login(t, s, carrying(), "ada")
	bob, _, _ := login(t, s, carrying(), "bob")
	for _, tt := range []struct {
		name   string
		change func(*auth.Identity)
		want   deny.Reason
	}{
		{"of another method", func(id *auth.Identity) { id.Method = "jwt" }, deny.AuthInvalid},
		{"of another issuer", func(id *auth.Identity) { id.Issuer = "https://other.example" }, deny.AuthInvalid},
		{"without a handle", func(id *auth.Identity) { id.Handle = nil }, deny.AuthInvalid},
		{"with somebody else's handle", func(id *auth.Identity) { id.Handle = bob.Handle }, deny.AuthSignedOut},
		{"with another subject", func(id *auth.Identity) { id.Subject = "bob" }, deny.AuthSignedOut},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := id
			tt.change(&id)
			_, err := s.Recheck(t.Context(), id)
			wantDenied(t, err, tt.want)
		})
	}
	if every, grace := s.Every(); every != 30*time.Second || grace != time.Minute {
		t.Errorf("got %s, %s", every, grace)
	}
}

// broken fails with err where it is set.
type broken struct {
	Store
	get, remove, create error
}

func (b broken) Get(ctx context.Context, key [32]byte) (Record, bool, error) {
	r, ok, err := b.Store.Get(ctx, key)
	return r, ok, errors.Join(err, b.get)
}

func (b broken) Delete(ctx context.Context, key [32]byte) (Record, bool, error) {
	if b.remove != nil {
		return Record{}, false, b.remove
	}
	return b.Store.Delete(ctx, key)
}

func (b broken) DeleteID(context.Context, string) (Record, bool, error) {
	return Record{}, false, b.remove
}

func (b broken) Create(ctx context.Context, key [32]byte, r Record) error {
	if b.create != nil {
		return b.create
	}
	return b.Store.Create(ctx, key, r)
}

func TestAStoreThatFailsAdmitsNobody(t *testing.T) {
	s, store := sessions(t, nil)
	id, _, r := login(t, s, carrying(), "ada")
	down := errors.New("the disk is gone")
	s.store = broken{Store: store, get: down, remove: down, create: down}

	_, err := s.Authenticate(t.Context(), r)
	wantDenied(t, err, deny.AuthUnavailable)
	_, err = s.Recheck(t.Context(), id)
	wantDenied(t, err, deny.AuthUnavailable)
	wantDenied(t, s.End(t.Context(), id.Session), deny.AuthUnavailable)
	w := httptest.NewRecorder()
	_, err = s.Logout(t.Context(), w, r)
	wantDenied(t, err, deny.AuthUnavailable)
	_, _, err = s.Login(t.Context(), w, r, "ada", nil)
	wantDenied(t, err, deny.AuthUnavailable)
	_, _, err = s.Login(t.Context(), w, carrying(), "ada", nil)
	wantDenied(t, err, deny.AuthUnavailable)
	if line := w.Header().Get("Set-Cookie"); line != "" || store.Len() != 1 {
		t.Errorf("the cookie was touched: %q", line)
	}
}

func TestWhoMayBeSignedIn(t *testing.T) {
	s, store := sessions(t, nil)
	many := make([]string, maxScopes+1)
	for i := range many {
		many[i] = fmt.Sprint("s", i)
	}
	for _, tt := range []struct {
		name, subject string
		scopes        []string
	}{
		{"nobody", "", nil},
		{"a subject that is too long", strings.Repeat("a", maxSubject+1), nil},
		{"an empty scope", "ada", []string{""}},
		{"two scopes in one", "ada", []string{"read write"}},
		{"a scope with a line break", "ada", []string{"read\n"}},
		{"a scope that is too long", "ada", []string{strings.Repeat("a", maxScope+1)}},
		{"too many scopes", "ada", many},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := s.Login(t.Context(), httptest.NewRecorder(), carrying(), tt.subject, tt.scopes); err == nil || store.Len() != 0 {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		m := NewMemory(2)
		rec := func(id string, life time.Duration) Record {
			return Record{ID: id, Subject: "ada", Scopes: []string{"read"}, Created: time.Now(), Expires: time.Now().Add(life)}
		}
		create := func(id string, life time.Duration) error {
			return m.Create(ctx, sha256.Sum256([]byte(id)), rec(id, life))
		}
		if err := errors.Join(create("a", time.Hour), create("b", time.Minute)); err != nil {
			t.Fatal(err)
		}
		if err := create("c", time.Hour); !errors.Is(err, ErrFull) {
			t.Errorf("a third of two: %v", err)
		}
		time.Sleep(time.Minute)
		if err := create("c", time.Hour); err != nil || m.Len() != 2 {
			t.Errorf("an expired session takes a place: %v", err)
		}
		a := sha256.Sum256([]byte("a"))
		got, _, _ := m.Get(ctx, a)
		got.Scopes[0] = "admin"
		if got, _, _ := m.Get(ctx, a); got.Scopes[0] != "read" {
			t.Error("a caller changed the store")
		}
		if _, ok, _ := m.DeleteID(ctx, "a"); !ok {
			t.Error("not found by id")
		}
		if err := m.Create(ctx, sha256.Sum256([]byte("d")), rec("c", time.Hour)); err == nil {
			t.Error("one id twice")
		}
		if err := m.Create(ctx, sha256.Sum256([]byte("c")), rec("d", time.Hour)); err == nil {
			t.Error("one key twice")
		}
		time.Sleep(time.Hour)
		if _, ok, _ := m.Get(ctx, sha256.Sum256([]byte("c"))); !ok || m.Len() != 0 {
			t.Error("an expired session is told once and dropped")
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		_, _, getErr := m.Get(gone, a)
		_, _, delErr := m.Delete(gone, a)
		_, _, idErr := m.DeleteID(gone, "a")
		if m.Create(gone, a, rec("a", 1)) == nil || getErr == nil || delErr == nil || idErr == nil {
			t.Error("worked for a caller who had gone")
		}
	})
}

func TestOneOfManyLogoutsEndsASession(t *testing.T) {
	s, _ := sessions(t, nil)
	_, _, r := login(t, s, carrying(), "ada")
	var wg sync.WaitGroup
	ended := make(chan string, 100)
	for range cap(ended) {
		wg.Go(func() {
			if id, err := s.Logout(context.Background(), httptest.NewRecorder(), r.Clone(context.Background())); err == nil {
				ended <- id.Session
			}
		})
	}
	wg.Wait()
	if len(ended) != 1 {
		t.Errorf("%d logouts ended one session", len(ended))
	}
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func decode(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
