package jwt

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

// counted reports what f added to the hits and misses of v.
func counted(v *Verifier, f func()) (hits, misses uint64) {
	h, m := v.Remembered()
	f()
	hits, misses = v.Remembered()
	return hits - h, misses - m
}

// wantKnown verifies a token that must be remembered.
func wantKnown(t *testing.T, v *Verifier, token string) auth.Identity {
	t.Helper()
	var id auth.Identity
	if hits, misses := counted(v, func() { id = want(t, v, token, 0) }); hits != 1 || misses != 0 {
		t.Errorf("got %d hits and %d misses, want the token remembered", hits, misses)
	}
	return id
}

func TestRememberedTokenIsTheSameIdentity(t *testing.T) {
	v := verifier(t)
	token := es256(t, header("ES256", "ES256"), claims(fields{"sid": "s-1", "scope": "read write"}))
	first := want(t, v, token, 0)
	was := fmt.Sprint(first)
	first.Scopes[0] = "admin"
	second := wantKnown(t, v, token)
	if was != fmt.Sprint(second) || second.KeyID != testKeys()["ES256"].key.id {
		t.Errorf("got %v, then %v", was, second)
	}
	second.Scopes[0] = "admin"
	if third := wantKnown(t, v, token); third.Scopes[0] != "read" {
		t.Errorf("one holder's change reached another: %v", third.Scopes)
	}
	off := verifier(t, func(c *Config) { c.Remember = -1 })
	want(t, off, token, 0)
	want(t, off, token, 0)
	off.Forget()
	if hits, misses := off.Remembered(); hits+misses != 0 || off.Remembers(token) {
		t.Error("something was remembered although that was switched off")
	}
}

func TestTimeOfARememberedToken_SR33_SR42_AT68(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := verifier(t, func(c *Config) { c.AuthAge = time.Hour })
		start := time.Now()
		at := func(d time.Duration) int64 { return start.Add(d).Unix() }
		short := es256(t, header("ES256", "ES256"), claims(fields{"exp": at(time.Minute), "auth_time": at(0)}))
		long := es256(t, header("ES256", "ES256"), claims(fields{"exp": at(24 * time.Hour), "auth_time": at(0)}))
		want(t, v, short, 0)
		want(t, v, long, 0)
		time.Sleep(time.Minute - 1)
		wantKnown(t, v, short)
		time.Sleep(time.Nanosecond)
		if _, misses := counted(v, func() { want(t, v, short, deny.AuthExpired) }); misses != 0 {
			t.Error("the end was not seen in what is remembered")
		}
		if v.Remembers(short) {
			t.Error("a token is remembered beyond its end")
		}
		if id := wantKnown(t, v, long); !id.Expires.Equal(start.Add(time.Hour)) {
			t.Errorf("the identity ends at %v, want when auth_time is too long ago", id.Expires)
		}
		time.Sleep(time.Hour)
		want(t, v, long, deny.AuthExpired)
	})
}

// A clock may be put back: then a token that was good is not good yet.
func TestClockPutBack_SR33_AT68(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change fields
	}{
		{"SR-33 AT-68 nbf", fields{"iat": nil, "nbf": time.Now().Unix()}},
		{"SR-33 AT-68 iat", fields{}},
		{"SR-33 AT-68 more left than the longest lifetime", fields{"iat": nil, "exp": time.Now().Add(7*24*time.Hour - 10*time.Second).Unix()}},
		{"SR-44 auth_time", fields{"iat": nil, "auth_time": time.Now().Unix()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := verifier(t, func(c *Config) {
				if tt.change["auth_time"] != nil {
					c.AuthAge = time.Hour
				}
			})
			token := es256(t, header("ES256", "ES256"), claims(tt.change))
			want(t, v, token, 0)
			f, ok := v.memory.get(sha256.Sum256([]byte(token)), v.generation())
			if !ok {
				t.Fatal("the token is not remembered")
			}
			for back, reason := range map[time.Duration]deny.Reason{0: 0, leeway + 5*time.Second: deny.AuthInvalid} {
				if _, err := v.judge(f, time.Now().Add(-back)); deny.Of(err) != reason {
					t.Errorf("put back by %s: got %v, want %v", back, err, reason)
				}
			}
		})
	}
}

func TestProofIsAskedEachTime_SR41_AT70(t *testing.T) {
	v := verifier(t)
	key := strings.Repeat("k", thumbprintSize)
	token := es256(t, header("ES256", "ES256"), claims(fields{"cnf": fields{"jkt": key}}))
	with := func(key string) error {
		_, err := v.Verify(auth.WithAttempt(t.Context(), auth.Attempt{Key: key}), token)
		return err
	}
	if err := with(""); deny.Of(err) != deny.SealUnbound || v.Remembers(token) {
		t.Fatal("AT-70 a bound token was taken without a proof")
	}
	if err := with(key); err != nil || !v.Remembers(token) {
		t.Fatalf("the token with its proof: %v", err)
	}
	for _, thief := range []string{"", strings.Repeat("x", thumbprintSize)} {
		if err := with(thief); deny.Of(err) != deny.SealUnbound {
			t.Errorf("AT-70 a remembered token with the key %.5q: got %v", thief, err)
		}
	}
	if hits, _ := counted(v, func() {
		if err := with(key); err != nil {
			t.Error(err)
		}
	}); hits != 1 {
		t.Error("the holder of the key is not remembered")
	}
}

func TestOneGateDoesNotVouchForAnother_SR33_AT67(t *testing.T) {
	first := verifier(t)
	token := es256(t, header("ES256", "ES256"), claims())
	want(t, first, token, 0)
	wantKnown(t, first, token)
	for _, tt := range []struct {
		name   string
		change func(*Config)
	}{
		{"another audience", func(c *Config) { c.Audience = "billing" }},
		{"another issuer", func(c *Config) { c.Issuer = "https://other.example" }},
		{"other algorithms", func(c *Config) { c.Algs = []string{"EdDSA"} }},
		{"other types", func(c *Config) { c.Types = []string{"JWT"} }},
		{"other keys", func(c *Config) { c.Keys = setOf("other") }},
		{"a shorter lifetime", func(c *Config) { c.MaxLifetime = time.Second }},
		{"a stronger sign-in", func(c *Config) { c.ACR = []string{"gold"} }},
	} {
		t.Run("SR-33 AT-67 "+tt.name, func(t *testing.T) {
			v := verifier(t, tt.change)
			want(t, v, token, deny.AuthInvalid)
			want(t, v, token, deny.AuthInvalid)
		})
	}
}

func TestKeysOfARememberedToken_SR37_AT65(t *testing.T) {
	good, kid := testKeys()["ES256"].key, "ES256"
	as := func(change func(*key)) *KeySet {
		k := *good
		change(&k)
		return &KeySet{keys: []*key{&k}}
	}
	for _, tt := range []struct {
		name string
		set  *KeySet
		want deny.Reason
	}{
		{"SR-37 AT-65 the key left", setOf("other"), deny.AuthInvalid},
		{"SR-37 AT-65 no key is left", &KeySet{}, deny.AuthInvalid},
		{"SR-37 the key has another name now", as(func(k *key) { k.kid = "new" }), deny.AuthInvalid},
		{"SR-30 the key is for another algorithm now", as(func(k *key) { k.alg = "ES384" }), deny.AuthInvalid},
		{"a key came", setOf("ES256", "other"), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := verifier(t, func(c *Config) { c.Keys = setOf(kid) })
			token := es256(t, header("ES256", kid), claims())
			want(t, v, token, 0)
			wantKnown(t, v, token)
			if err := v.SetKeys(setOf(kid)); err != nil {
				t.Fatal(err)
			}
			wantKnown(t, v, token) // the same keys again change nothing
			if err := v.SetKeys(tt.set); err != nil {
				t.Fatal(err)
			}
			if hits, misses := counted(v, func() { want(t, v, token, tt.want) }); hits != 0 || misses != 1 {
				t.Errorf("%d hits, %d misses: what was known under other keys counts", hits, misses)
			}
			if err := v.SetKeys(setOf(kid)); err != nil {
				t.Fatal(err)
			}
			if _, misses := counted(v, func() { want(t, v, token, 0) }); misses != 1 {
				t.Error("what was forgotten came back with the key")
			}
		})
	}
}

// The generation and the set are two reads: whichever a change falls between,
// the key must be there.
func TestKeyIsLookedUpEachTime_SR37_AT65(t *testing.T) {
	v := verifier(t)
	token := es256(t, header("ES256", "ES256"), claims())
	want(t, v, token, 0)
	v.keys.set.Store(setOf("other")) // the generation is to follow
	if hits, _ := counted(v, func() { want(t, v, token, deny.AuthInvalid) }); hits != 0 {
		t.Error("SR-37 AT-65 a key that left verifies what is remembered")
	}
}

func TestRememberedTokenReadsAnOldSet_SR37_AT65(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &idp{}
		i.publish("ES256")
		v := remote(t, i)
		token := by(t, "ES256")
		want(t, v, token, 0) // brings the keys
		want(t, v, token, 0)
		wantKnown(t, v, token)
		time.Sleep(refreshAfter)
		wantKnown(t, v, token)
		if n := i.requests.Load(); n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}
		i.publish("other")
		time.Sleep(time.Nanosecond)
		want(t, v, token, deny.AuthInvalid)
		i.publish("ES256")
		time.Sleep(coolDown)
		want(t, v, token, 0) // brings them again
		want(t, v, token, 0)
		wantKnown(t, v, token)

		i.serve(500, "")
		time.Sleep(trustedFor)
		wantKnown(t, v, token)
		time.Sleep(time.Nanosecond)
		want(t, v, token, deny.AuthUnavailable)
	})
}

func TestRefusalsAreNotRemembered_SR31_SR37(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := verifier(t)
		good := es256(t, header("ES256", "ES256"), claims())
		now := time.Now().Unix()
		for _, tt := range []struct {
			name, token string
			want        deny.Reason
		}{
			{"a wrong signature", good[:len(good)-4] + "AAAA", deny.AuthInvalid},
			{"no token", "x", deny.AuthInvalid},
			{"an expired one", es256(t, header("ES256", "ES256"), claims(fields{"exp": now - 1})), deny.AuthExpired},
			{"one that is not valid yet", es256(t, header("ES256", "ES256"), claims(fields{"nbf": now + 60})), deny.AuthInvalid},
			{"one of another key", es256(t, header("ES256", "nobody"), claims()), deny.AuthInvalid},
		} {
			if _, misses := counted(v, func() { want(t, v, tt.token, tt.want); want(t, v, tt.token, tt.want) }); misses != 2 {
				t.Errorf("%s: examined %d times, want 2", tt.name, misses)
			}
		}
		if n := len(v.memory.tokens); n != 0 {
			t.Errorf("%d refused tokens are remembered", n)
		}
		want(t, v, good, 0)
		want(t, v, good[:len(good)-4]+"AAAA", deny.AuthInvalid) // the same claims, already believed once
	})
}

func TestForget(t *testing.T) {
	v := verifier(t)
	token := es256(t, header("ES256", "ES256"), claims())
	want(t, v, token, 0)
	before := v.generation()
	f, _ := v.memory.get(sha256.Sum256([]byte(token)), before)
	v.Forget()
	if v.Remembers(token) || len(v.memory.tokens) != 0 {
		t.Error("the token is still remembered")
	}
	v.memory.put(sha256.Sum256([]byte(token)), before, f) // an examination that began before
	if v.Remembers(token) {
		t.Error("a verdict of before was remembered after")
	}
	if _, misses := counted(v, func() { want(t, v, token, 0) }); misses != 1 {
		t.Error("the token was not examined anew")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	name := func(n int) [32]byte { return sha256.Sum256(fmt.Append(nil, n)) }
	sized := func(n int) facts { return facts{id: auth.Identity{Subject: strings.Repeat("s", n)}} }
	has := func(m *memory, names ...int) (known []int) {
		for _, n := range names {
			if m.has(name(n), 0) {
				known = append(known, n)
			}
		}
		return known
	}
	t.Run("in tokens, the one used longest ago goes first", func(t *testing.T) {
		m := newMemory(3)
		for n := range 3 {
			m.put(name(n), 0, sized(1))
		}
		m.get(name(0), 0)
		m.put(name(3), 0, sized(1))
		if got := fmt.Sprint(has(m, 0, 1, 2, 3)); got != "[0 2 3]" {
			t.Errorf("got %s", got)
		}
		m.drop(name(2))
		m.drop(name(1))
		m.put(name(4), 0, sized(1))
		if got := fmt.Sprint(has(m, 0, 1, 2, 3, 4)); got != "[0 3 4]" {
			t.Errorf("got %s", got)
		}
	})
	t.Run("in bytes", func(t *testing.T) {
		m := newMemory(8)
		for n := range 1000 {
			m.put(name(n), 0, sized(rand.IntN(memoryMost)))
			sum := 0
			for e := m.ring.next; e != &m.ring; e = e.next {
				sum += int(e.bytes)
			}
			if len(m.tokens) > 8 || m.bytes > 8*memoryEach || sum != m.bytes {
				t.Fatalf("%d tokens of %d bytes, counted %d", len(m.tokens), sum, m.bytes)
			}
		}
	})
	t.Run("one that is too long is not remembered, and drives nobody out", func(t *testing.T) {
		v := verifier(t)
		short := es256(t, header("ES256", "ES256"), claims())
		long := es256(t, header("ES256", "ES256"), claims(fields{"scope": strings.Repeat("a b c d ", 300)}))
		many := es256(t, header("ES256", "ES256"), claims(fields{"scope": scopesOf(300)}))
		want(t, v, short, 0)
		want(t, v, long, 0)
		want(t, v, many, 0)
		if !v.Remembers(short) || !v.Remembers(long) || v.Remembers(many) {
			t.Error("scopes are counted in the wrong way") // doubles are folded
		}
	})
	t.Run("forgetting forgets the bytes", func(t *testing.T) {
		m := newMemory(8)
		m.put(name(1), 0, sized(10))
		m.put(name(2), 1, sized(10))
		m.put(name(3), 0, sized(10))
		if len(m.tokens) != 1 || m.bytes != memoryItself+10 || !m.has(name(2), 1) {
			t.Errorf("%d tokens, %d bytes", len(m.tokens), m.bytes)
		}
	})
}

// An entry gives back exactly what was put in, also times that are none, or 1970.
func TestEntryIsWhatWasRead(t *testing.T) {
	odd := time.Unix(1700000000, 123456789)
	for _, tt := range []struct {
		name string
		f    facts
	}{
		{"times", facts{id: auth.Identity{Subject: "s", Session: "i", Credential: "c", KeyID: "k", Key: "b", Expires: odd, IssuedAt: odd.Add(1)}, nbf: odd.Add(2), signedIn: odd.Add(3)}},
		{"no times", facts{id: auth.Identity{Scopes: []string{"a", "b"}}}},
		{"1970", facts{id: auth.Identity{Expires: time.Unix(0, 0), IssuedAt: time.Unix(0, 0)}, nbf: time.Unix(0, 0), signedIn: time.Unix(0, 0)}},
	} {
		if got := newEntry([32]byte{}, tt.f, 0).facts(); !reflect.DeepEqual(got, tt.f) {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.f)
		}
	}
	if n := unsafe.Sizeof(entry{}); n > 208 {
		t.Errorf("an entry has %d bytes: there may be one for every connection", n)
	}
}

// Two tokens whose names begin alike are still two.
func TestNamesThatBeginAlike(t *testing.T) {
	m := newMemory(4)
	one, other := [32]byte{0: 1, 31: 1}, [32]byte{0: 1, 31: 2}
	m.put(one, 0, facts{id: auth.Identity{Subject: "one"}})
	if _, ok := m.get(other, 0); ok || m.has(other, 0) {
		t.Fatal("one token passes for another")
	}
	m.drop(other)
	m.put(other, 0, facts{id: auth.Identity{Subject: "other"}})
	if f, ok := m.get(other, 0); !ok || f.id.Subject != "other" || m.has(one, 0) || m.bytes != sizeOf(f) || len(m.tokens) != 1 || m.ring.next != m.ring.prev {
		t.Errorf("got %v, %v; %d bytes", f, ok, m.bytes)
	}
}

func scopesOf(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "s%d ", i)
	}
	return b.String()
}

// With or without a memory, whatever happens, the verdict is the same.
func TestMemoryChangesNoVerdict_SR31_SR33_SR37(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		sets := []*KeySet{setOf("ES256", "EdDSA"), setOf("ES256", "other"), setOf("EdDSA", "other"), {}}
		with := verifier(t, func(c *Config) { c.Keys, c.Remember = sets[0], 8 })
		without := verifier(t, func(c *Config) { c.Keys, c.Remember = sets[0], -1 })
		keys := []string{"", strings.Repeat("a", thumbprintSize), strings.Repeat("b", thumbprintSize)}
		start := time.Now()
		var tokens []string
		for n := range 16 {
			kid := []string{"ES256", "EdDSA", "other"}[n%3]
			alg := map[string]string{"ES256": "ES256", "EdDSA": "EdDSA", "other": "ES256"}[kid]
			from, to := time.Duration(random.IntN(120))*time.Second, time.Duration(random.IntN(1800))*time.Second
			c := fields{"sub": fmt.Sprint(n), "iat": start.Unix(), "nbf": start.Add(from).Unix(), "exp": start.Add(to).Unix(), "scope": "a b"}
			if key := keys[n%4*2%3]; key != "" {
				c["cnf"] = fields{"jkt": key}
			}
			tokens = append(tokens, token(t, kid, alg, toJSON(t, header(alg, kid)), toJSON(t, claims(c))))
		}
		for range 2000 {
			switch random.IntN(120) {
			case 0:
				set := sets[random.IntN(len(sets))]
				with.SetKeys(set)
				without.SetKeys(set)
			case 1:
				with.Forget()
			case 2, 3:
				time.Sleep(time.Duration(random.IntN(60)) * time.Second)
			}
			token := tokens[random.IntN(len(tokens))]
			if random.IntN(20) == 0 {
				token = token[:len(token)-6] + "AAAAAA"
			}
			ctx := auth.WithAttempt(t.Context(), auth.Attempt{Key: keys[random.IntN(len(keys))]})
			id, err := with.Verify(ctx, token)
			wantID, wantErr := without.Verify(ctx, token)
			if deny.Of(err) != deny.Of(wantErr) || fmt.Sprint(id) != fmt.Sprint(wantID) {
				t.Fatalf("after %s: with a memory %v, %v; without %v, %v", time.Since(start), id, err, wantID, wantErr)
			}
		}
		if hits, misses := with.Remembered(); hits < 100 || misses < 100 {
			t.Errorf("only %d hits and %d misses: nothing was tried", hits, misses)
		}
	})
}

// Once SetKeys has returned, no token of a key that left is taken, however many
// are being verified.
func TestKeysChangeWhileTokensAreVerified_SR37_AT65(t *testing.T) {
	v := verifier(t)
	token := es256(t, header("ES256", "ES256"), claims())
	var gone atomic.Bool // from after the key has left until before it is back
	var round atomic.Uint64
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				was, before := gone.Load(), round.Load()
				_, err := v.Verify(context.Background(), token)
				if was && gone.Load() && round.Load() == before && err == nil {
					t.Error("a key that left verifies")
				}
			}
		})
	}
	for range 50 {
		v.SetKeys(setOf("other"))
		round.Add(1)
		gone.Store(true)
		time.Sleep(50 * time.Microsecond)
		gone.Store(false)
		v.SetKeys(setOf("ES256"))
		time.Sleep(50 * time.Microsecond)
	}
	close(done)
	wg.Wait()
}

func BenchmarkVerify(b *testing.B) {
	for _, bm := range []struct {
		name     string
		remember int
	}{{"examined", -1}, {"remembered", 0}} {
		v := verifier(b, func(c *Config) { c.Remember = bm.remember })
		tokens := make([]string, 512)
		for n := range tokens {
			tokens[n] = es256(b, header("ES256", "ES256"), claims(fields{
				"sub": fmt.Sprint("user-", n), "sid": "session-0123456789abcdef", "scope": "openid profile chat:read chat:write",
				"email": "somebody@example.com", "groups": []string{"engineering", "on-call"},
			}))
			if _, err := v.Verify(b.Context(), tokens[n]); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if _, err := v.Verify(b.Context(), tokens[n%len(tokens)]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bm.name+", in parallel", func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for n := 0; pb.Next(); n++ {
					if _, err := v.Verify(context.Background(), tokens[n%len(tokens)]); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
