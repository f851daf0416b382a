package sealkeys

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/seal"
)

const (
	app = "app.example.com:443"
	www = "www.example.com:443"
	day = 24 * time.Hour
)

var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newIdentity(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	identity, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

// newSet has one key of a suite that is quick to make, signed.
func newSet(t testing.TB, identities ...ed25519.PrivateKey) *Set {
	t.Helper()
	s, err := New([]string{www, app}, []seal.Suite{seal.Classical}, PinsOf(identities)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Rotate(began, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Sign(began, Signers(identities)...); err != nil {
		t.Fatal(err)
	}
	return s
}

// pick is what a client does with the document of s at now.
func pick(s *Set, generation uint32, now time.Time) (seal.Entry, error) {
	d, err := seal.Verify(s.Documents[app], seal.Policy{Pins: s.Pins, Authority: app, Generation: generation, Now: now})
	if err != nil {
		return seal.Entry{}, err
	}
	return d.Pick(now, s.Suites...)
}

// TestYear lets clients come every day of a year, to a server that rotates when
// keys are due: there is always a key, and nobody is ever shown one that is over.
func TestYear(t *testing.T) {
	identity := newIdentity(t)
	s := newSet(t, identity)
	rotations := 0
	for now := began; now.Before(began.Add(365 * day)); now = now.Add(day) {
		if s.Due(now) || s.Over(now) {
			if err := s.Rotate(now, false); err != nil {
				t.Fatal(err)
			}
			if err := s.Sign(now, identity); err != nil {
				t.Fatal(err)
			}
			rotations++
		}
		if len(s.Keys) > 2 {
			t.Fatalf("%s: %d keys", now, len(s.Keys))
		}
		entry, err := pick(s, s.Generation, now)
		if err != nil {
			t.Fatalf("%s: %v", now, err)
		}
		if left := entry.NotAfter.Sub(now); left <= 0 || left > KeyLife || !s.has(entry) {
			t.Fatalf("%s: a key with %s left", now, left)
		}
		if end := s.End(app); end.Sub(now) < 6*day {
			t.Fatalf("%s: the end is %s", now, end)
		}
	}
	if rotations < 15 || rotations > 32 { // every 23 days, and when the old one goes
		t.Errorf("%d rotations", rotations)
	}
}

// TestOffline rotates with an identity elsewhere: the old documents stay in force
// until the new ones are brought back.
func TestOffline(t *testing.T) {
	identity, backup := newIdentity(t), newIdentity(t)
	s := newSet(t, identity, backup)
	now := began.Add(24 * day)
	if err := s.Rotate(now, true); err != nil {
		t.Fatal(err)
	}
	if s.Signed() {
		t.Error("signed, and nobody did")
	}
	if _, err := pick(s, 1, now); err != nil {
		t.Errorf("before the signature: %v", err)
	}
	if got := s.End(app); !got.Equal(began.Add(KeyLife)) {
		t.Errorf("the end is %s", got)
	}
	text, err := MarshalUnsigned(s.Unsigned())
	if err != nil {
		t.Fatal(err)
	}
	documents, err := ParseUnsigned(text)
	if err != nil {
		t.Fatal(err)
	}
	raws, err := Sign(documents, backup)
	if err != nil {
		t.Fatal(err)
	}
	if text, err = MarshalSigned(raws); err != nil {
		t.Fatal(err)
	}
	if raws, err = ParseSigned(text); err != nil {
		t.Fatal(err)
	}
	late := began.Add(KeyLife) // the old key is over meanwhile, and gone
	s.Prune(late)
	if len(s.Keys) != 1 {
		t.Fatalf("%d keys", len(s.Keys))
	}
	if err := s.Adopt(late, raws); err != nil {
		t.Fatal(err)
	}
	if _, err := pick(s, 2, late); err != nil || !s.Signed() {
		t.Errorf("after the signature: %v", err)
	}
	if got := s.End(www); !got.Equal(now.Add(KeyLife)) {
		t.Errorf("the end is %s", got)
	}
}

func TestAdoptRefuses(t *testing.T) {
	identity, stranger := newIdentity(t), newIdentity(t)
	with := func(f func(d *seal.Document)) func(*Set) map[string][]byte {
		return func(s *Set) map[string][]byte {
			list := s.Unsigned()
			for i := range list {
				f(&list[i])
			}
			raws, err := Sign(list, identity)
			if err != nil {
				t.Fatal(err)
			}
			return raws
		}
	}
	none := func(*seal.Document) {}
	tests := []struct {
		name string
		make func(*Set) map[string][]byte
		want string
	}{
		{"nothing", func(*Set) map[string][]byte { return nil }, "no document for"},
		{"a name left out", func(s *Set) map[string][]byte { r := with(none)(s); delete(r, app); return r }, "no document for " + app},
		{"a name too many", func(s *Set) map[string][]byte { r := with(none)(s); r["x"] = r[app]; return r }, "other names"},
		{"names exchanged", func(s *Set) map[string][]byte { r := with(none)(s); r[app], r[www] = r[www], r[app]; return r }, "document for"},
		{"signed by somebody else", func(s *Set) map[string][]byte { r, _ := Sign(s.Unsigned(), stranger); return r }, "no pinned identity"},
		{"another generation", with(func(d *seal.Document) { d.Generation++ }), "of generation 3"},
		{"an older generation", with(func(d *seal.Document) { d.Generation-- }), "generation 1 after 2"},
		{"over", with(func(d *seal.Document) { d.Issued, d.Expires = began.Add(-2*day), began.Add(-day) }), "expired"},
		{"a key that is not here", with(func(d *seal.Document) {
			k, _ := seal.GenerateKey(seal.Classical, began, began.Add(day))
			d.Keys = append(d.Keys, k.Entry())
		}), "a key that is not here"},
		{"a key with another end", with(func(d *seal.Document) { d.Keys[0].NotAfter = d.Keys[0].NotAfter.Add(day) }), "a key that is not here"},
		{"no key of a suite", with(func(d *seal.Document) {
			k, _ := seal.GenerateKey(seal.Hybrid, began, began.Add(day))
			d.Keys = []seal.Entry{k.Entry()}
		}), "no key in its time"},
		{"no document", func(*Set) map[string][]byte { return map[string][]byte{app: {1}, www: {2}} }, "document for"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSet(t, identity)
			before := string(s.Documents[app])
			if err := s.Rotate(began, true); err != nil {
				t.Fatal(err)
			}
			err := s.Adopt(began, tt.make(s))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if s.Signed() || string(s.Documents[app]) != before {
				t.Error("it changed what is in force")
			}
		})
	}
}

func TestSetRefuses(t *testing.T) {
	pin := Pin(newIdentity(t))
	many := make([]string, MaxAuthorities+1)
	for i := range many {
		many[i] = string(rune('a'+i)) + ".example:443"
	}
	tests := []struct {
		name   string
		names  []string
		suites []seal.Suite
		pins   []seal.Pin
		want   string
	}{
		{"no name", nil, nil, []seal.Pin{pin}, "0 authorities"},
		{"too many names", many, nil, []seal.Pin{pin}, "17 authorities"},
		{"no port", []string{"app.example.com"}, nil, []seal.Pin{pin}, "not host:port"},
		{"upper case", []string{"App.example.com:443"}, nil, []seal.Pin{pin}, "not host:port"},
		{"a suite twice", []string{app}, []seal.Suite{seal.Hybrid, seal.Hybrid}, []seal.Pin{pin}, "twice"},
		{"a suite that is unknown", []string{app}, []seal.Suite{9}, []seal.Pin{pin}, "unknown"},
		{"no pin", []string{app}, nil, nil, "0 pins"},
		{"a pin twice", []string{app}, nil, []seal.Pin{pin, pin}, "2 pins"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(tt.names, tt.suites, tt.pins...); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestRotateIsBounded(t *testing.T) {
	s := newSet(t, newIdentity(t))
	for range seal.MaxKeys - 1 {
		if err := s.Rotate(began, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Rotate(began, true); err == nil || !strings.Contains(err.Error(), "8 sealing keys") {
		t.Errorf("got %v", err)
	}
	old := s.Keys[0]
	s.Drop()
	if _, err := old.Private(); err == nil {
		t.Error("a key that was dropped is not erased")
	}
	if err := s.Rotate(began, true); err != nil || len(s.Keys) != 1 {
		t.Errorf("after a drop: %v, %d keys", err, len(s.Keys))
	}
	if !s.End(app).IsZero() && s.End(app).After(began) {
		t.Errorf("documents list keys that are gone, and end at %s", s.End(app))
	}
}

// TestPruneErases: the private half is gone when its time is.
func TestPruneErases(t *testing.T) {
	s := newSet(t, newIdentity(t))
	k := s.Keys[0]
	if s.Prune(began.Add(KeyLife - time.Second)); len(s.Keys) != 1 {
		t.Fatal("a key went before its time")
	}
	if !s.Over(began.Add(KeyLife)) || !s.Prune(began.Add(KeyLife)) || len(s.Keys) != 0 {
		t.Fatal("a key stayed after its time")
	}
	if _, err := k.Private(); err == nil {
		t.Error("it is not erased")
	}
}

func TestCloneIsApart(t *testing.T) {
	s := newSet(t, newIdentity(t))
	c := s.Clone()
	if err := c.Rotate(began, true); err != nil {
		t.Fatal(err)
	}
	if err := c.Name([]string{"x.example:443"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Only([]seal.Suite{seal.Hybrid}); err != nil || len(c.Keys) != 0 {
		t.Fatal(err, len(c.Keys))
	}
	c.Documents[app] = nil
	if len(s.Keys) != 1 || s.Generation != 1 || !s.Signed() || len(s.Authorities) != 2 || s.Documents[app] == nil {
		t.Errorf("the original changed: %+v", s)
	}
	if _, err := s.Keys[0].Private(); err != nil {
		t.Error("a key that another set has was erased")
	}
}
