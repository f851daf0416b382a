package ticket

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

const (
	gate   = "/chat"
	origin = "https://app.example.com"
)

// root is the identity of a user whose credential ends in an hour.
func root() auth.Identity {
	now := time.Now()
	return auth.Identity{
		Issuer: "https://idp.example.com", Subject: "ada", Session: "s1", Credential: "jti-1", KeyID: "k1",
		Method: "jwt", Audience: "chat", IssuedAt: now, Expires: now.Add(time.Hour),
		Scopes: []string{"read", "write"}, Handle: []byte("handle"),
	}
}

func grant(id auth.Identity) Grant { return Grant{Identity: id, Gate: gate, Origin: origin} }

func tickets(t *testing.T, c Config) *Tickets {
	t.Helper()
	ts, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

func issue(t *testing.T, ts *Tickets, g Grant) string {
	t.Helper()
	ticket, _, err := ts.Issue(t.Context(), g)
	if err != nil {
		t.Fatalf("issue: %v", err)
	}
	return ticket
}

func wantDenied(t *testing.T, err error, want deny.Reason) {
	t.Helper()
	if got := deny.Of(err); got != want {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
}

func TestRedeemedIdentityIsTheRoot_SR40(t *testing.T) {
	ts := tickets(t, Config{})
	id := root()
	ticket, in, err := ts.Issue(t.Context(), grant(id))
	if err != nil || in != DefaultTTL {
		t.Fatalf("got %s, %v", in, err)
	}
	want := root()
	want.IssuedAt, want.Expires = id.IssuedAt, id.Expires
	id.Scopes[0], id.Handle[0] = "admin", 'H' // of the caller, not of the ticket
	got, err := ts.Redeem(t.Context(), ticket, gate, origin)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if b, err := base64.RawURLEncoding.DecodeString(ticket); err != nil || len(b) != 32 {
		t.Errorf("%q has not 256 bits", ticket)
	}
}

func TestOneOfManyRedeems_SR40_AT75(t *testing.T) {
	for _, tt := range []struct {
		name  string
		nodes int
	}{
		{"SR-40 AT-75 1,000 at once on one node", 1},
		{"SR-40 AT-75 1,000 at once on two nodes of one store", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := NewMemory(0)
			nodes := make([]*Tickets, tt.nodes)
			for i := range nodes {
				nodes[i] = tickets(t, Config{Store: store})
			}
			ticket := issue(t, nodes[0], grant(root()))
			var won, used atomic.Int32
			var wg sync.WaitGroup
			start := make(chan struct{})
			for i := range 1000 {
				wg.Go(func() {
					<-start
					switch _, err := nodes[i%len(nodes)].Redeem(context.Background(), ticket, gate, origin); deny.Of(err) {
					case 0:
						won.Add(1)
					case deny.AuthTicketUsed:
						used.Add(1)
					}
				})
			}
			close(start)
			wg.Wait()
			if won.Load() != 1 || used.Load() != 999 {
				t.Errorf("%d redeemed it, %d were told that it was used", won.Load(), used.Load())
			}
		})
	}
}

func TestReplay_SR40_AT76(t *testing.T) {
	type steps = func(t *testing.T, ts *Tickets, ticket string) (*Tickets, string)
	redeem := func(gate, origin string) steps {
		return func(t *testing.T, ts *Tickets, ticket string) (*Tickets, string) {
			_, _ = ts.Redeem(t.Context(), ticket, gate, origin)
			return ts, ticket
		}
	}
	wait := func(d time.Duration) steps {
		return func(_ *testing.T, ts *Tickets, ticket string) (*Tickets, string) { time.Sleep(d); return ts, ticket }
	}
	for _, tt := range []struct {
		name         string
		before       steps
		gate, origin string
		left         time.Duration // of the root credential; 0: an hour
		want         deny.Reason
	}{
		{"a good ticket", nil, gate, origin, 0, 0},
		{"AT-76 used twice", redeem(gate, origin), gate, origin, 0, deny.AuthTicketUsed},
		{"in its last nanosecond", wait(DefaultTTL - 1), gate, origin, 0, 0},
		{"AT-76 after 10 seconds", wait(DefaultTTL), gate, origin, 0, deny.AuthTicketUsed},
		{"AT-76 after a restart", func(t *testing.T, _ *Tickets, ticket string) (*Tickets, string) { return tickets(t, Config{}), ticket },
			gate, origin, 0, deny.AuthTicketUsed},
		{"AT-76 from another origin", nil, gate, "https://evil.example", 0, deny.OriginUntrusted},
		{"SR-40 burnt by another origin", redeem(gate, "https://evil.example"), gate, origin, 0, deny.AuthTicketUsed},
		{"SR-40 at another gate", nil, "/admin", origin, 0, deny.AuthInvalid},
		{"SR-40 burnt by another gate", redeem("/admin", origin), gate, origin, 0, deny.AuthTicketUsed},
		{"a page's ticket used by a program", nil, gate, "none", 0, deny.OriginUntrusted},
		{"without a gate and an origin", nil, "", "", 0, deny.OriginUntrusted},
		{"after the root credential expired", wait(3 * time.Second), gate, origin, 3 * time.Second, deny.AuthExpired},
		{"just before the root credential expires", wait(3*time.Second - 1), gate, origin, 3 * time.Second, 0},
		{"AT-67 a JWT as a ticket", func(_ *testing.T, ts *Tickets, _ string) (*Tickets, string) {
			return ts, "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"
		},
			gate, origin, 0, deny.AuthTicketUsed},
		{"another spelling of the last bits", func(_ *testing.T, ts *Tickets, ticket string) (*Tickets, string) {
			const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
			last := strings.IndexByte(alphabet, ticket[42])
			return ts, ticket[:42] + alphabet[last+1:last+2]
		}, gate, origin, 0, deny.AuthTicketUsed},
		{"a ticket with padding", func(_ *testing.T, ts *Tickets, ticket string) (*Tickets, string) { return ts, ticket + "=" },
			gate, origin, 0, deny.AuthTicketUsed},
		{"a guess", func(_ *testing.T, ts *Tickets, _ string) (*Tickets, string) { return ts, fresh() },
			gate, origin, 0, deny.AuthTicketUsed},
		{"nothing", func(_ *testing.T, ts *Tickets, _ string) (*Tickets, string) { return ts, "" },
			gate, origin, 0, deny.AuthTicketUsed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts, id := tickets(t, Config{}), root()
				if tt.left != 0 {
					id.Expires = time.Now().Add(tt.left)
				}
				ticket := issue(t, ts, grant(id))
				if tt.before != nil {
					ts, ticket = tt.before(t, ts, ticket)
				}
				got, err := ts.Redeem(t.Context(), ticket, tt.gate, tt.origin)
				wantDenied(t, err, tt.want)
				if tt.want != 0 && !reflect.DeepEqual(got, auth.Identity{}) {
					t.Errorf("a refusal tells who it was: %+v", got)
				}
				if err != nil && ticket != "" && strings.Contains(err.Error(), ticket) {
					t.Errorf("the error tells the ticket: %v", err)
				}
			})
		})
	}
}

func TestLifeOfATicket_SR40(t *testing.T) {
	for _, tt := range []struct {
		name      string
		ttl, left time.Duration
		want      time.Duration
	}{
		{"10 s by default", 0, time.Hour, 10 * time.Second},
		{"SR-40 30 s at most", MaxTTL, time.Hour, 30 * time.Second},
		{"no longer than the credential", 0, 4 * time.Second, 4 * time.Second},
		{"a credential without an end", 0, 0, 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				id := root()
				if id.Expires = time.Now().Add(tt.left); tt.left == 0 {
					id.Expires = time.Time{}
				}
				_, got, err := tickets(t, Config{TTL: tt.ttl}).Issue(t.Context(), grant(id))
				if err != nil || got != tt.want {
					t.Errorf("got %s, %v, want %s", got, err, tt.want)
				}
			})
		})
	}
}

func TestStoreHoldsNoUsableTicket_SR40(t *testing.T) {
	store := NewMemory(0)
	ts := tickets(t, Config{Store: store})
	ticket := issue(t, ts, grant(root()))
	for key, h := range store.entries {
		if dump := fmt.Sprintf("%+v", *h); strings.Contains(dump, ticket) {
			t.Fatal("the store has the ticket")
		}
		if key != sha256.Sum256([]byte(ticket)) {
			t.Error("the key is not the SHA-256 of the ticket")
		}
		_, err := ts.Redeem(t.Context(), base64.RawURLEncoding.EncodeToString(key[:]), gate, origin)
		wantDenied(t, err, deny.AuthTicketUsed)
	}
	if len(store.entries) != 1 {
		t.Errorf("%d entries", len(store.entries))
	}
}

func TestOutstandingTickets_SR40(t *testing.T) {
	with := func(change func(*auth.Identity)) Grant {
		id := root()
		change(&id)
		return grant(id)
	}
	for _, tt := range []struct {
		name        string
		first, then func() Grant
		from        string // address of the then
		between     func(t *testing.T, ts *Tickets, ticket string)
		want        deny.Reason
	}{
		{name: "the sixth of a session", want: deny.GuardCrowded},
		{name: "the sixth of a session, with another token", then: func() Grant { return with(func(id *auth.Identity) { id.Credential = "jti-2" }) }, want: deny.GuardCrowded},
		{name: "the sixth of a session, for another gate", then: func() Grant { g := grant(root()); g.Gate = "/x"; return g }, want: deny.GuardCrowded},
		{name: "the sixth of a session, for admission", then: func() Grant { g := grant(root()); g.Purpose = Admission; return g }, want: deny.GuardCrowded},
		{name: "of another session", then: func() Grant { return with(func(id *auth.Identity) { id.Session = "s2" }) }},
		{name: "of the same session name at another issuer", then: func() Grant { return with(func(id *auth.Identity) { id.Issuer = "https://other.example" }) }},
		{name: "the sixth after one was redeemed", between: func(t *testing.T, ts *Tickets, ticket string) {
			if _, err := ts.Redeem(t.Context(), ticket, gate, origin); err != nil {
				t.Error(err)
			}
		}},
		{name: "the sixth after one was burnt", between: func(t *testing.T, ts *Tickets, ticket string) {
			_, err := ts.Redeem(t.Context(), ticket, gate, "null")
			wantDenied(t, err, deny.OriginUntrusted)
		}},
		{name: "the sixth after all expired", between: func(*testing.T, *Tickets, string) { time.Sleep(DefaultTTL) }},
		{name: "the sixth of a token without a session", want: deny.GuardCrowded,
			first: func() Grant { return with(func(id *auth.Identity) { id.Session = "" }) },
			then:  func() Grant { return with(func(id *auth.Identity) { id.Session = "" }) }},
		{name: "of another token without a session",
			first: func() Grant { return with(func(id *auth.Identity) { id.Session = "" }) },
			then:  func() Grant { return with(func(id *auth.Identity) { id.Session, id.Credential = "", "jti-2" }) }},
		{name: "the sixth of nobody at an address", from: "192.0.2.1", want: deny.GuardCrowded,
			first: func() Grant { return grant(auth.Identity{Method: "anonymous"}) },
			then:  func() Grant { return grant(auth.Identity{Method: "anonymous"}) }},
		{name: "of nobody at another address", from: "192.0.2.2",
			first: func() Grant { return grant(auth.Identity{Method: "anonymous"}) },
			then:  func() Grant { return grant(auth.Identity{Method: "anonymous"}) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts := tickets(t, Config{})
				first, then := func() Grant { return grant(root()) }, func() Grant { return grant(root()) }
				if tt.first != nil {
					first = tt.first
				}
				if tt.then != nil {
					then = tt.then
				}
				at := auth.WithAttempt(t.Context(), auth.Attempt{Address: "192.0.2.1"})
				var ticket string
				for range DefaultPerSession {
					var err error
					if ticket, _, err = ts.Issue(at, first()); err != nil {
						t.Fatal(err)
					}
				}
				if tt.between != nil {
					tt.between(t, ts, ticket)
				}
				_, _, err := ts.Issue(auth.WithAttempt(t.Context(), auth.Attempt{Address: tt.from}), then())
				wantDenied(t, err, tt.want)
			})
		})
	}
	t.Run("100 at once get five", func(t *testing.T) {
		ts := tickets(t, Config{})
		var got atomic.Int32
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, _, err := ts.Issue(context.Background(), grant(root())); err == nil {
					got.Add(1)
				}
			})
		}
		wg.Wait()
		if got.Load() != DefaultPerSession {
			t.Errorf("got %d tickets", got.Load())
		}
	})
}

func TestAdmissionTickets(t *testing.T) {
	g := grant(root())
	g.Purpose = Admission
	for _, tt := range []struct {
		name         string
		grant        Grant
		gate, origin string
		want         deny.Reason
	}{
		{"starts a seal handshake", g, gate, origin, 0},
		{"at another gate", g, "/other", origin, deny.AuthInvalid},
		{"from another origin", g, gate, "https://evil.example", deny.OriginUntrusted},
		{"AT-67 a ticket with an identity instead", grant(root()), gate, origin, deny.AuthInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ts := tickets(t, Config{})
			ticket := issue(t, ts, tt.grant)
			wantDenied(t, ts.Admit(t.Context(), ticket, tt.gate, tt.origin), tt.want)
			wantDenied(t, ts.Admit(t.Context(), ticket, tt.gate, tt.origin), deny.AuthTicketUsed)
			_, err := ts.Redeem(t.Context(), ticket, tt.gate, tt.origin)
			wantDenied(t, err, deny.AuthTicketUsed)
		})
	}
	t.Run("SR-39 AT-67 is no credential and holds no identity", func(t *testing.T) {
		store := NewMemory(0)
		ts := tickets(t, Config{Store: store})
		ticket := issue(t, ts, g)
		for _, h := range store.entries {
			if !reflect.DeepEqual(h.Grant.Identity, auth.Identity{}) {
				t.Errorf("the store has %+v", h.Grant.Identity)
			}
		}
		_, err := ts.Redeem(t.Context(), ticket, gate, origin)
		wantDenied(t, err, deny.AuthInvalid)
		wantDenied(t, ts.Admit(t.Context(), ticket, gate, origin), deny.AuthTicketUsed)
	})
}

func TestTicketOfAHandshake_SR39(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines func(ticket string) []string
		at    auth.Attempt
		want  deny.Reason
		none  bool
	}{
		{name: "SR-39 beside the neutral subprotocol", lines: func(s string) []string { return []string{"sallyport, sallyport.ticket." + s} }},
		{name: "SR-39 in a line of its own", lines: func(s string) []string { return []string{"graphql-ws", "sallyport.ticket." + s} }},
		{name: "none", lines: func(string) []string { return []string{"sallyport"} }, none: true},
		{name: "two", lines: func(s string) []string { return []string{"sallyport.ticket." + s + ", sallyport.ticket." + fresh()} }, want: deny.AuthInvalid},
		{name: "the same twice", lines: func(s string) []string { return []string{"sallyport.ticket." + s, "sallyport.ticket." + s} }, want: deny.AuthInvalid},
		{name: "an empty one", lines: func(string) []string { return []string{"sallyport.ticket."} }, want: deny.AuthTicketUsed},
		{name: "SR-40 of another origin", lines: func(s string) []string { return []string{"sallyport.ticket." + s} },
			at: auth.Attempt{Gate: gate, Origin: "https://evil.example"}, want: deny.OriginUntrusted},
		{name: "SR-40 of another gate", lines: func(s string) []string { return []string{"sallyport.ticket." + s} },
			at: auth.Attempt{Gate: "/other", Origin: origin}, want: deny.AuthInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ts := tickets(t, Config{})
			r := httptest.NewRequest("GET", gate, nil)
			r.Header["Sec-Websocket-Protocol"] = tt.lines(issue(t, ts, grant(root())))
			if tt.at == (auth.Attempt{}) {
				tt.at = auth.Attempt{Gate: gate, Origin: origin}
			}
			id, err := ts.Authenticate(auth.WithAttempt(t.Context(), tt.at), r)
			if got := errors.Is(err, auth.ErrNoCredentials); got != tt.none {
				t.Errorf("no credentials: %v", err)
			}
			if !tt.none {
				wantDenied(t, err, tt.want)
			}
			if ok := err == nil; ok != (id.Subject == "ada") {
				t.Errorf("got %+v, %v", id, err)
			}
		})
	}
	t.Run("SR-38 a ticket in the query is not looked at", func(t *testing.T) {
		ts := tickets(t, Config{})
		r := httptest.NewRequest("GET", gate+"?ticket="+issue(t, ts, grant(root())), nil)
		if _, err := ts.Authenticate(t.Context(), r); !errors.Is(err, auth.ErrNoCredentials) || auth.CheckQuery(r) == nil {
			t.Errorf("got %v", err)
		}
	})
	t.Run("comes before other credentials and is final", func(t *testing.T) {
		ts := tickets(t, Config{})
		r := httptest.NewRequest("GET", gate, nil)
		r.Header.Set("Sec-Websocket-Protocol", "sallyport, sallyport.ticket."+fresh())
		_, err := auth.First(auth.Anonymous("a test"), ts).Authenticate(t.Context(), r)
		wantDenied(t, err, deny.AuthTicketUsed)
	})
}

func TestGrantsThatAreRefused(t *testing.T) {
	expired := root()
	expired.Expires = time.Now()
	for _, tt := range []struct {
		name  string
		grant Grant
		want  deny.Reason
	}{
		{"without a gate", Grant{Identity: root(), Origin: origin}, deny.Internal},
		{"without an origin", Grant{Identity: root(), Gate: gate}, deny.Internal},
		{"of an unknown purpose", Grant{Identity: root(), Gate: gate, Origin: origin, Purpose: "fun"}, deny.Internal},
		{"without an identity", Grant{Gate: gate, Origin: origin}, deny.AuthMissing},
		{"of an expired credential", grant(expired), deny.AuthExpired},
		{"for admission, of an expired credential", Grant{Identity: expired, Gate: gate, Origin: origin, Purpose: Admission}, deny.AuthExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ticket, in, err := tickets(t, Config{}).Issue(t.Context(), tt.grant)
			wantDenied(t, err, tt.want)
			if ticket != "" || in != 0 {
				t.Errorf("got %q, %s", ticket, in)
			}
		})
	}
}

func TestMistakesOfAConfig_SR40(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config Config
		want   int
	}{
		{"SR-40 a life of more than 30 s", Config{TTL: MaxTTL + 1}, 1},
		{"a negative life", Config{TTL: -1}, 1},
		{"a negative number", Config{PerSession: -1}, 1},
		{"a number without a bound", Config{PerSession: MaxPerSession + 1}, 1},
		{"all mistakes at once", Config{TTL: -1, PerSession: -1}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ts, err := New(tt.config)
			if ts != nil || err == nil || strings.Count(err.Error(), "ticket: ") != tt.want {
				t.Errorf("got %v, %v", ts, err)
			}
		})
	}
}

type broken struct{ err error }

func (b broken) Put(context.Context, [32]byte, Entry, int) error { return b.err }
func (b broken) Take(context.Context, [32]byte) (Entry, bool, error) {
	return Entry{Grant: grant(root()), Expires: time.Now().Add(time.Hour)}, true, b.err
}

func TestAStoreThatFailsAdmitsNobody(t *testing.T) {
	ts := tickets(t, Config{Store: broken{errors.New("no route to the store")}})
	ticket, _, err := ts.Issue(t.Context(), grant(root()))
	wantDenied(t, err, deny.AuthUnavailable)
	if ticket != "" {
		t.Errorf("got the ticket %q", ticket)
	}
	id, err := ts.Redeem(t.Context(), fresh(), gate, origin)
	wantDenied(t, err, deny.AuthUnavailable)
	if id.Method != "" {
		t.Errorf("got %+v", id)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(3)
		ts := tickets(t, Config{Store: m})
		user := func(i int) Grant {
			id := root()
			id.Session = fmt.Sprint(i)
			return grant(id)
		}
		first := issue(t, ts, user(0))
		for i := range 2 {
			issue(t, ts, user(i+1))
		}
		_, _, err := ts.Issue(t.Context(), user(3))
		wantDenied(t, err, deny.GuardFull)
		if _, err := ts.Redeem(t.Context(), first, gate, origin); err != nil {
			t.Errorf("a good ticket was forgotten to make room: %v", err)
		}
		issue(t, ts, user(3))
		time.Sleep(DefaultTTL)
		issue(t, ts, user(4))
		if m.Len() != 1 || len(m.owners) != 1 || len(m.ends) != 1 {
			t.Errorf("kept %d tickets, %d owners, %d ends, want 1 of each", m.Len(), len(m.owners), len(m.ends))
		}
		key := sha256.Sum256([]byte("x"))
		end := Entry{Expires: time.Now().Add(time.Second)}
		if err := errors.Join(m.Put(t.Context(), key, end, 5)); err != nil {
			t.Error(err)
		}
		if err := m.Put(t.Context(), key, end, 5); err == nil {
			t.Error("one key twice")
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, ok, err := m.Take(gone, key); ok || err == nil || m.Put(gone, key, end, 5) == nil {
			t.Error("worked for a caller who had gone")
		}
	})
}

func TestMemoryDropsInOrderOfTheEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(0)
		for i := range 100 {
			e := Entry{Owner: [32]byte{byte(i % 7)}, Expires: time.Now().Add(time.Duration(i*37%100+1) * time.Second)}
			if err := m.Put(t.Context(), [32]byte{byte(i)}, e, 100); err != nil {
				t.Fatal(err)
			}
		}
		for i := 0; i < 100; i += 3 { // from the middle of the heap
			if _, ok, _ := m.Take(t.Context(), [32]byte{byte(i)}); !ok {
				t.Errorf("%d is missing", i)
			}
		}
		for want := m.Len(); want > 0; want = m.Len() {
			time.Sleep(10 * time.Second)
			_, _, _ = m.Take(t.Context(), [32]byte{255})
			now, owned := time.Now(), 0
			for _, h := range m.entries {
				if !now.Before(h.Expires) {
					t.Errorf("%s is over and kept", h.Expires)
				}
			}
			for _, n := range m.owners {
				owned += n
			}
			if owned != m.Len() || len(m.ends) != m.Len() {
				t.Errorf("%d tickets, %d owned, %d ends", m.Len(), owned, len(m.ends))
			}
		}
	})
}
