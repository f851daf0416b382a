package guard_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
)

func TestConfigMistakesComeAllAtOnce(t *testing.T) {
	_, err := guard.Config{Idle: time.Millisecond, MaxLife: 25 * time.Hour, MaxMessage: -1, Messages: -5}.Fill()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"Idle", "MaxLife", "MaxMessage", "Messages"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not among:\n%v", want, err)
		}
	}
}

func TestDefaults_SR71_SR72(t *testing.T) {
	c, err := guard.Config{}.Fill()
	if err != nil {
		t.Fatal(err)
	}
	if c.Idle != time.Minute || c.Ping != 25*time.Second || c.PongWait != 10*time.Second || c.MaxLife != 24*time.Hour ||
		c.MaxMessage != 64<<10 || c.MaxMessageDown != 16<<20 || c.Messages != 50 || c.Bytes != 256<<10 {
		t.Errorf("defaults %+v", c)
	}
	l, err := guard.Limits{}.Fill()
	if err != nil || l.Connections != 50_000 || l.PerAddress != 256 || l.PerSubject != 16 || l.Buffered != 512<<20 {
		t.Errorf("limits %+v, %v", l, err)
	}
}

func TestAddressesThatCountAsOne_SR72_AT50(t *testing.T) {
	tests := []struct {
		name string
		a, b string
		one  bool
	}{
		{"the same IPv4 address", "192.0.2.1", "192.0.2.1", true},
		{"two IPv4 addresses", "192.0.2.1", "192.0.2.2", false},
		{"an IPv4 address and its mapped form", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"AT-50 two IPv6 addresses of one /64", "2001:db8::1", "2001:db8::ffff:1", true},
		{"two IPv6 /64", "2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"a zone makes no other address", "fe80::1%eth0", "fe80::1%eth1", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			limits, _ := guard.Limits{PerAddress: 1}.Fill()
			p := guard.NewPlaces(limits)
			first, err := p.Admit(netip.MustParseAddr(tt.a))
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.Admit(netip.MustParseAddr(tt.b))
			if got := err != nil; got != tt.one {
				t.Errorf("refused: %v (%v), want %v", got, err, tt.one)
			}
			if err != nil && deny.Of(err) != deny.GuardCrowded {
				t.Errorf("got %v, want guard.crowded", err)
			}
			first.Release()
			first.Release() // only once
			if _, err := p.Admit(netip.MustParseAddr(tt.a)); err != nil {
				t.Errorf("after release: %v", err)
			}
		})
	}
}

func TestMatches_SR43_SR45(t *testing.T) {
	now := time.Unix(1_000_000, 500)
	ada := guard.Holder{Issuer: "idp", Subject: "ada", Session: "s1", Credential: "c1", IssuedAt: now}
	tests := []struct {
		name string
		m    guard.Match
		want bool
	}{
		{"nothing names nobody", guard.Match{}, false},
		{"the user", guard.Match{Issuer: "idp", Subject: "ada"}, true},
		{"SR-45 the same name at another issuer", guard.Match{Issuer: "other", Subject: "ada"}, false},
		{"the session", guard.Match{Session: "s1"}, true},
		{"another session", guard.Match{Session: "s2"}, false},
		{"the credential", guard.Match{Credential: "c1"}, true},
		{"issued in the same second", guard.Match{IssuedBefore: time.Unix(1_000_000, 0)}, true},
		{"issued a second later", guard.Match{IssuedBefore: time.Unix(999_999, 0)}, false},
		{"the user, issued before", guard.Match{Issuer: "idp", Subject: "ada", IssuedBefore: now}, true},
		{"another user, issued before", guard.Match{Issuer: "idp", Subject: "bob", IssuedBefore: now}, false},
		{"a whole issuer", guard.Match{Issuer: "idp"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := guard.NewRevocations(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Add(t.Context(), tt.m); (err != nil) != (tt.m == guard.Match{}) {
				t.Fatalf("add: %v", err)
			}
			if got := r.Revoked(ada); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if got := tt.m.Fits(ada); got != tt.want { // what ends open connections
				t.Errorf("fits: got %v, want %v", got, tt.want)
			}
		})
	}
	t.Run("without iat it counts as issued at 0", func(t *testing.T) {
		if !(guard.Match{IssuedBefore: time.Unix(1, 0)}).Fits(guard.Holder{Credential: "c"}) {
			t.Error("not revoked")
		}
	})
}

// broken is a store whose disk is full.
type broken struct{}

func (broken) Add(context.Context, guard.Revocation) error { return errors.New("no space left") }
func (broken) Load(context.Context) ([]guard.Revocation, error) {
	return nil, nil
}

func TestARevocationThatIsNotKeptIsNone_SR91(t *testing.T) {
	r, _ := guard.NewRevocations(t.Context(), broken{})
	if err := r.Add(t.Context(), guard.Match{Session: "s"}); err == nil {
		t.Error("no error")
	}
	if r.Revoked(guard.Holder{Session: "s"}) {
		t.Error("it is in force although it was not kept: a restart would undo it")
	}
}

func TestRevocationsAreKeptSevenDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := guard.NewRevocations(t.Context(), nil)
		r.Add(t.Context(), guard.Match{Session: "old"})
		time.Sleep(guard.RevocationsKept - time.Hour)
		r.Add(t.Context(), guard.Match{Session: "new"})
		if !r.Revoked(guard.Holder{Session: "old"}) {
			t.Error("forgotten too early")
		}
		time.Sleep(2 * time.Hour)
		r.Add(t.Context(), guard.Match{Session: "newer"})
		if r.Revoked(guard.Holder{Session: "old"}) || !r.Revoked(guard.Holder{Session: "new"}) {
			t.Error("pruned wrongly")
		}
	})
}

// A renewal and a revocation of the same holder: whoever comes second sees the
// other, and revoke is final.
func TestRenewAndRevokeExclude_SR43(t *testing.T) {
	for range 100 {
		r, _ := guard.NewRevocations(t.Context(), nil)
		h := guard.Holder{Session: "s"}
		var renewed bool
		var wg sync.WaitGroup
		wg.Go(func() { r.Unless(h, func() { renewed = true }) })
		wg.Go(func() { r.Add(t.Context(), guard.Match{Session: "s"}) })
		wg.Wait()
		if r.Unless(h, func() {}) {
			t.Fatal("renewed after revoke")
		}
		_ = renewed
	}
}

// bell notes when it rang.
type bell struct {
	rang chan time.Time
}

func (b bell) Tick() { b.rang <- time.Now() }

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := guard.NewClock()
		began := time.Now()
		var alarms [20]guard.Alarm
		rang := make(chan time.Time, len(alarms))
		for i := range alarms {
			alarms[i].Ticker = bell{rang}
			c.Set(&alarms[i], began.Add(time.Duration(20-i)*time.Second))
		}
		c.Set(&alarms[3], began.Add(time.Hour))            // later: stays as it was
		c.Set(&alarms[4], began.Add(500*time.Millisecond)) // earlier: moves
		c.Cancel(&alarms[5])
		c.Set(&alarms[5], began.Add(time.Second)) // off for good
		var got []string
		for range len(alarms) - 1 {
			got = append(got, fmt.Sprint((<-rang).Sub(began)))
		}
		want := "500ms 1s 2s 3s 4s 5s 6s 7s 8s 9s 10s 11s 12s 13s 14s 17s 18s 19s 20s"
		if strings.Join(got, " ") != want {
			t.Errorf("rang at %v, want %s", got, want)
		}
		c.Wait() // its goroutine has ended
	})
}

func TestLifeEnds_SR42(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := guard.Config{MaxLife: time.Hour}.Fill()
		for _, tt := range []struct {
			name    string
			expires time.Duration // 0: never
			want    time.Duration
			why     deny.Reason
		}{
			{"a credential without an end ends with max_life", 0, time.Hour, deny.GuardMaxLife},
			{"the credential's end", time.Minute, time.Minute, deny.AuthExpired},
			{"max_life before the credential's end", 2 * time.Hour, time.Hour, deny.GuardMaxLife},
		} {
			var l guard.Life
			expires := time.Time{}
			if tt.expires != 0 {
				expires = time.Now().Add(tt.expires)
			}
			l.Begin(&c, expires)
			at, why := l.End()
			if got := time.Until(at); got != tt.want || why != tt.why {
				t.Errorf("%s: %s %s, want %s %s", tt.name, got, why, tt.want, tt.why)
			}
		}
	})
}
