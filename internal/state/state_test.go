package state

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sallyport/sallyport/auth/session"
	"github.com/sallyport/sallyport/guard"
)

func openIn(t *testing.T, dir string) *DB {
	t.Helper()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func dir(t *testing.T) string { return filepath.Join(t.TempDir(), "state") }

func revoke(t *testing.T, d *DB, subject string, at time.Time) guard.Revocation {
	t.Helper()
	r := guard.Revocation{Match: guard.Match{Issuer: "https://idp.example.com", Subject: subject}, At: at.UTC().Round(0)}
	must(t, d.Revocations().Add(t.Context(), r))
	return r
}

func revoked(t *testing.T, d *DB) []guard.Revocation {
	t.Helper()
	all, err := d.Revocations().Load(t.Context())
	must(t, err)
	return all
}

func key(s string) [32]byte { return sha256.Sum256([]byte(s)) }

func create(t *testing.T, d *DB, name string, life time.Duration) session.Record {
	t.Helper()
	now := time.Now().UTC().Round(0)
	r := session.Record{ID: "id-" + name, Subject: name, Scopes: []string{"read"}, Created: now, Expires: now.Add(life)}
	must(t, d.Sessions().Create(t.Context(), key(name), r))
	return r
}

// both runs a test with each kind of state.
func both(t *testing.T, f func(t *testing.T, d *DB)) {
	t.Run("on disk", func(t *testing.T) { f(t, openIn(t, dir(t))) })
	t.Run("in memory", func(t *testing.T) {
		d := Memory()
		f(t, d)
		must(t, d.Close())
	})
}

func TestRevocations(t *testing.T) {
	both(t, func(t *testing.T, d *DB) {
		now := time.Now()
		old := revoke(t, d, "old", now.Add(-guard.RevocationsKept-time.Hour))
		want := []guard.Revocation{revoke(t, d, "ada", now.Add(-time.Hour)), revoke(t, d, "bob", now), revoke(t, d, "ada", now)}
		full := guard.Revocation{At: now.UTC().Round(0), Match: guard.Match{
			Issuer: "i", Subject: "s", Session: "x", Credential: "c", IssuedBefore: now.UTC().Round(0)}}
		must(t, d.Revocations().Add(t.Context(), full))
		if got := revoked(t, d); !reflect.DeepEqual(got, append(want, full)) {
			t.Errorf("got %v, want %v without %v", got, want, old)
		}
		if err := d.Revocations().Add(t.Context(), guard.Revocation{Match: full.Match}); err == nil {
			t.Error("a revocation of no time was kept")
		}
		d.limits.revocations = 5
		if err := d.Revocations().Add(t.Context(), full); !errors.Is(err, ErrRevocationsFull) {
			t.Errorf("one too many: %v", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := d.Revocations().Load(gone); err == nil || d.Revocations().Add(gone, full) == nil {
			t.Error("worked for a caller who had gone")
		}
	})
}

func TestRevocationsArePruned(t *testing.T) {
	for _, tt := range []struct {
		name string
		open func(t *testing.T) (*DB, func() *DB)
	}{
		{"on disk", func(t *testing.T) (*DB, func() *DB) {
			where := dir(t)
			d := openIn(t, where)
			return d, func() *DB { must(t, d.Close()); return openIn(t, where) }
		}},
		{"in memory", func(*testing.T) (*DB, func() *DB) { d := Memory(); return d, func() *DB { return d } }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, reopen := tt.open(t)
				count := func() int {
					if d.bolt == nil {
						return len(d.revocations)
					}
					return d.have.revocations
				}
				for i := range 50 {
					revoke(t, d, fmt.Sprint(i), time.Now())
				}
				time.Sleep(guard.RevocationsKept)
				revoke(t, d, "exactly seven days later", time.Now())
				if got := len(revoked(t, d)); got != 51 || count() != 51 {
					t.Errorf("got %d, %d kept: one of seven days was forgotten", got, count())
				}
				time.Sleep(time.Minute)
				if got := len(revoked(t, d)); got != 1 {
					t.Errorf("got %d, want only the young one", got)
				}
				time.Sleep(pruneEvery)
				revoke(t, d, "a day later", time.Now())
				if count() != 2 {
					t.Errorf("%d kept after a day", count())
				}
				d = reopen()
				if got := len(revoked(t, d)); got != 2 || count() != 2 {
					t.Errorf("got %d, %d kept after a restart", got, count())
				}
			})
		})
	}
}

func TestPrunedWhenOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		where := dir(t)
		d := openIn(t, where)
		revoke(t, d, "ada", time.Now())
		for i := range 300 {
			create(t, d, fmt.Sprint(i), time.Hour)
		}
		create(t, d, "long", 30*24*time.Hour)
		must(t, d.Close())
		time.Sleep(guard.RevocationsKept + time.Second)
		d = openIn(t, where)
		if d.have != (counts{sessions: 1}) {
			t.Errorf("kept %+v", d.have)
		}
		must(t, d.Close())
		if d = openIn(t, where); d.have != (counts{sessions: 1}) {
			t.Errorf("counted %+v", d.have)
		}
		must(t, d.Close())
	})
}

func TestSessions(t *testing.T) {
	both(t, func(t *testing.T, d *DB) {
		ctx, s := t.Context(), d.Sessions()
		ada, bob := create(t, d, "ada", time.Hour), create(t, d, "bob", time.Hour)
		if got, ok, err := s.Get(ctx, key("ada")); err != nil || !ok || !reflect.DeepEqual(got, ada) {
			t.Errorf("got %+v, %v, %v, want %+v", got, ok, err, ada)
		}
		if got, ok, err := s.Get(ctx, key("eve")); err != nil || ok {
			t.Errorf("got %+v, %v, %v", got, ok, err)
		}
		if err := s.Create(ctx, key("ada"), session.Record{ID: "id-new"}); err == nil {
			t.Error("one key twice")
		}
		if err := s.Create(ctx, key("new"), session.Record{ID: "id-ada"}); err == nil {
			t.Error("one id twice")
		}
		if got, ok, err := s.DeleteID(ctx, "id-bob"); err != nil || !ok || !reflect.DeepEqual(got, bob) {
			t.Errorf("got %+v, %v, %v", got, ok, err)
		}
		if got, ok, err := s.Delete(ctx, key("ada")); err != nil || !ok || !reflect.DeepEqual(got, ada) {
			t.Errorf("got %+v, %v, %v", got, ok, err)
		}
		for _, name := range []string{"ada", "bob"} {
			_, found, err1 := s.Get(ctx, key(name))
			_, deleted, err2 := s.Delete(ctx, key(name))
			_, byID, err3 := s.DeleteID(ctx, "id-"+name)
			if err := errors.Join(err1, err2, err3); err != nil || found || deleted || byID {
				t.Errorf("%s: found %v, deleted %v, by id %v: %v", name, found, deleted, byID, err)
			}
		}
		if _, ok, err := s.DeleteID(ctx, ""); ok || err != nil {
			t.Errorf("nobody: %v, %v", ok, err)
		}
		create(t, d, "ada", time.Hour) // the place is free again
	})
}

func TestSessionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openIn(t, dir(t))
		d.limits.sessions = 3
		create(t, d, "a", time.Minute)
		create(t, d, "b", time.Hour)
		create(t, d, "c", time.Hour)
		err := d.Sessions().Create(t.Context(), key("d"), session.Record{ID: "d"})
		if !errors.Is(err, session.ErrFull) {
			t.Errorf("a fourth of three: %v", err)
		}
		time.Sleep(time.Minute + 1)
		create(t, d, "d", time.Hour)
		if _, ok, _ := d.Sessions().Get(t.Context(), key("a")); ok || d.have.sessions != 3 {
			t.Errorf("the expired one is found: %v; %d kept", ok, d.have.sessions)
		}
		if err := d.Sessions().Create(t.Context(), key("e"), session.Record{}); err == nil {
			t.Error("a session without an id was kept")
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, getErr := d.Sessions().Get(gone, key("b"))
		_, _, delErr := d.Sessions().Delete(gone, key("b"))
		if getErr == nil || delErr == nil || d.Sessions().Create(gone, key("f"), session.Record{ID: "f"}) == nil {
			t.Error("worked for a caller who had gone")
		}
		must(t, d.Close())
	})
}

func TestOneOfManyDeletes(t *testing.T) {
	both(t, func(t *testing.T, d *DB) {
		create(t, d, "ada", time.Hour)
		var got atomic.Int32
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				ok := false
				if i%2 == 0 {
					_, ok, _ = d.Sessions().Delete(context.Background(), key("ada"))
				} else {
					_, ok, _ = d.Sessions().DeleteID(context.Background(), "id-ada")
				}
				if ok {
					got.Add(1)
				}
			})
		}
		wg.Wait()
		if got.Load() != 1 {
			t.Errorf("%d callers deleted one session", got.Load())
		}
	})
}

func TestAskingForNothingCostsNoWrite(t *testing.T) {
	d := openIn(t, dir(t))
	before := d.bolt.Stats().TxStats
	writes := before.GetWrite()
	for range 10 {
		_, _, err1 := d.Sessions().Delete(t.Context(), key("nobody"))
		_, _, err2 := d.Sessions().DeleteID(t.Context(), "nobody")
		must(t, errors.Join(err1, err2))
	}
	after := d.bolt.Stats().TxStats
	if got := after.GetWrite() - writes; got != 0 {
		t.Errorf("%d writes", got)
	}
}

func TestSessionsOfTheRoom_SR23(t *testing.T) {
	where := dir(t)
	d := openIn(t, where)
	create(t, d, "a value of a cookie", time.Hour)
	must(t, d.Close())
	file, err := os.ReadFile(filepath.Join(where, fileName))
	must(t, err)
	value := "the value"
	k := sha256.Sum256([]byte(value))
	if !bytes.Contains(file, []byte("id-a value")) || bytes.Contains(file, k[:]) {
		t.Fatal("the test reads the wrong file")
	}
	d = openIn(t, where)
	must(t, d.Sessions().Create(t.Context(), k, session.Record{ID: "public", Expires: time.Now().Add(time.Hour)}))
	must(t, d.Close())
	file, err = os.ReadFile(filepath.Join(where, fileName))
	must(t, err)
	if !bytes.Contains(file, k[:]) || bytes.Contains(file, []byte(value)) {
		t.Error("the file must have the hash of the value and not the value")
	}
}

func TestSecrets(t *testing.T) {
	both(t, func(t *testing.T, d *DB) {
		calls := 0
		make := func() ([]byte, error) { calls++; return []byte(fmt.Sprint("key ", calls)), nil }
		failed := errors.New("no entropy")
		if _, err := d.Secret("token", func() ([]byte, error) { return []byte("half"), failed }); !errors.Is(err, failed) {
			t.Errorf("got %v", err)
		}
		one, err := d.Secret("token", make)
		must(t, err)
		one[0] = 'K' // the caller's copy
		again, err := d.Secret("token", make)
		if err != nil || string(again) != "key 1" || calls != 1 {
			t.Errorf("got %q, %v after %d calls", again, err, calls)
		}
		other, err := d.Secret("identity", make)
		if err != nil || string(other) != "key 2" {
			t.Errorf("got %q, %v", other, err)
		}
		for name, make := range map[string]func() ([]byte, error){
			"":                       make,
			strings.Repeat("n", 200): make,
			"empty":                  func() ([]byte, error) { return nil, nil },
			"big":                    func() ([]byte, error) { return bytes.Repeat([]byte{1}, maxSecret+1), nil },
		} {
			if s, err := d.Secret(name, make); err == nil {
				t.Errorf("%.10q: got %d bytes", name, len(s))
			}
		}
		var wg sync.WaitGroup
		var made atomic.Int32
		for range 20 {
			wg.Go(func() {
				s, err := d.Secret("raced", func() ([]byte, error) { return fmt.Appendf(nil, "%d", made.Add(1)), nil })
				if err != nil || string(s) != "1" {
					t.Errorf("got %q, %v", s, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestARestartForgetsNothing(t *testing.T) {
	where := dir(t)
	d := openIn(t, where)
	want := revoke(t, d, "ada", time.Now())
	rec := create(t, d, "bob", time.Hour)
	secret, err := d.Secret("token", func() ([]byte, error) { return []byte("key"), nil })
	must(t, err)
	must(t, d.Close())
	must(t, d.Close()) // twice is no harm
	if err := d.Revocations().Add(t.Context(), want); err == nil {
		t.Error("added to a closed state")
	}

	d = openIn(t, where)
	if got := revoked(t, d); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, ok, _ := d.Sessions().Get(t.Context(), key("bob")); !ok || !reflect.DeepEqual(got, rec) {
		t.Errorf("got %v", got)
	}
	got, err := d.Secret("token", func() ([]byte, error) { return nil, errors.New("made again") })
	if err != nil || !bytes.Equal(got, secret) {
		t.Errorf("got %q, %v", got, err)
	}
	if d.have != (counts{1, 1, 1}) || d.Path() != filepath.Join(where, fileName) || Memory().Path() != "" {
		t.Errorf("got %+v at %s", d.have, d.Path())
	}
}

// A change that fails must leave the counts as they were.
func TestAFailedChangeHasNotHappened(t *testing.T) {
	d := openIn(t, dir(t))
	failed := errors.New("later")
	err := d.update(t.Context(), func(tx *bbolt.Tx, have *counts) error {
		have.sessions++
		return errors.Join(put(tx, secretsBucket, []byte("half"), []byte("x")), failed)
	})
	if !errors.Is(err, failed) || d.have.sessions != 0 {
		t.Errorf("got %v, %+v", err, d.have)
	}
	if s, err := d.Secret("half", func() ([]byte, error) { return []byte("y"), nil }); err != nil || string(s) != "y" {
		t.Errorf("got %q, %v", s, err)
	}
}
