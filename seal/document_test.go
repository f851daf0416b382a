package seal

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func newDocument(t testing.TB, keys ...*Key) Document {
	t.Helper()
	d := Document{Authority: place.Authority, Generation: 7, Issued: epoch.Add(-time.Hour), Expires: epoch.Add(7 * 24 * time.Hour)}
	for _, k := range keys {
		d.Keys = append(d.Keys, k.Entry())
	}
	return d
}

func pinOf(id ed25519.PrivateKey) Pin { return PinOf(id.Public().(ed25519.PublicKey)) }

func TestDocument(t *testing.T) {
	id, backup, stranger := newIdentity(t), newIdentity(t), newIdentity(t)
	d := newDocument(t, newKeyFor(t, Hybrid), newKeyFor(t, Classical))
	raw := must(d.Sign(id))
	both := must(d.Sign(id, backup))
	policy := func(change func(*Policy)) Policy {
		p := Policy{Pins: []Pin{pinOf(id), pinOf(stranger)}, Authority: place.Authority, Generation: 7, Now: epoch}
		if change != nil {
			change(&p)
		}
		return p
	}
	got, err := Verify(raw, policy(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got.Generation != d.Generation || !got.Expires.Equal(d.Expires) || len(got.Keys) != 2 || got.Keys[1].ID() != d.Keys[1].ID() {
		t.Errorf("got %+v, want %+v", got, d)
	}
	for _, tt := range []struct {
		name   string
		raw    []byte
		change func(*Policy)
		want   Fault
	}{
		{"a pinned identity", raw, nil, ""},
		{"two identities, the first pinned", both, nil, ""},
		{"two identities, the second pinned", both, func(p *Policy) { p.Pins = []Pin{pinOf(backup)} }, ""},
		{"an unknown pin", raw, func(p *Policy) { p.Pins = []Pin{pinOf(backup)} }, FaultPin},
		{"no pin", raw, func(p *Policy) { p.Pins = nil }, FaultPin},
		{"another authority", raw, func(p *Policy) { p.Authority = "api.example.com:443" }, FaultDocument},
		{"a newer generation was seen", raw, func(p *Policy) { p.Generation = 8 }, FaultDocument},
		{"an older one was seen", raw, func(p *Policy) { p.Generation = 1 }, ""},
		{"a second before its end", raw, func(p *Policy) { p.Now = d.Expires.Add(-time.Second) }, ""},
		{"at its end", raw, func(p *Policy) { p.Now = d.Expires }, FaultDocument},
		{"a clock that is a day behind", raw, func(p *Policy) { p.Now = d.Issued.Add(-24 * time.Hour) }, ""},
		{"a clock that is more behind", raw, func(p *Policy) { p.Now = d.Issued.Add(-24*time.Hour - 1) }, FaultDocument},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Verify(tt.raw, policy(tt.change))
			wantFault(t, err, tt.want)
		})
	}
}

// TestDocumentFlipped_SR97 flips every byte of a document and cuts it everywhere.
func TestDocumentFlipped_SR97(t *testing.T) {
	id, backup := newIdentity(t), newIdentity(t)
	raw := must(newDocument(t, newKeyFor(t, Classical), newKeyFor(t, Hybrid)).Sign(id, backup))
	p := Policy{Pins: []Pin{pinOf(id), pinOf(backup)}, Authority: place.Authority, Now: epoch}
	for i := range raw {
		bad := slices.Clone(raw)
		bad[i] ^= 0x40
		_, err := Verify(bad, p)
		identityByte := i >= len(raw)-192 && (i-(len(raw)-192))%96 < 32
		if err == nil && !identityByte {
			t.Errorf("byte %d of %d: accepted", i, len(raw))
		}
		if f := FaultOf(err); err != nil && f != FaultPin && f != FaultDocument {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	for n := range raw {
		if _, err := Verify(raw[:n], p); FaultOf(err) != FaultDocument {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	_, err := Verify(append(slices.Clone(raw), 0), p)
	wantFault(t, err, FaultDocument)
	_, err = Verify(make([]byte, MaxDocument+1), p)
	wantFault(t, err, FaultDocument)
}

func TestDocumentIsStrict(t *testing.T) {
	good := newDocument(t, newKeyFor(t, Classical))
	for name, change := range map[string]func(*Document){
		"no key":                      func(d *Document) { d.Keys = nil },
		"a key twice":                 func(d *Document) { d.Keys = append(d.Keys, d.Keys[0]) },
		"nine keys":                   func(d *Document) { d.Keys = slices.Repeat(d.Keys, 9) },
		"a life of 32 days":           func(d *Document) { d.Expires = d.Issued.Add(32 * 24 * time.Hour) },
		"no life":                     func(d *Document) { d.Expires = d.Issued },
		"an authority without a port": func(d *Document) { d.Authority = "app.example.com" },
		"a key that ends at once":     func(d *Document) { d.Keys[0].NotAfter = d.Keys[0].NotBefore },
		"a key of 41 days":            func(d *Document) { d.Keys[0].NotAfter = d.Keys[0].NotBefore.Add(41 * 24 * time.Hour) },
		"a key of another length":     func(d *Document) { d.Keys[0].Public = d.Keys[0].Public[1:] },
		"an empty key":                func(d *Document) { d.Keys[0].Suite, d.Keys[0].Public = 9, nil },
		"a time before 1970":          func(d *Document) { d.Issued, d.Expires = time.Unix(-5, 0), time.Unix(5, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			d := good
			d.Keys = slices.Clone(good.Keys)
			change(&d)
			_, err := d.Sign(newIdentity(t))
			wantFault(t, err, FaultDocument)
		})
	}
	if _, err := good.Sign(); FaultOf(err) != FaultMisuse {
		t.Errorf("no identity: %v", err)
	}
	if _, err := good.Sign(newES256(t)); FaultOf(err) != FaultMisuse {
		t.Errorf("an identity on P-256: %v", err)
	}
	if _, err := good.Sign(slices.Repeat([]crypto.Signer{newIdentity(t)}, 5)...); FaultOf(err) != FaultMisuse {
		t.Errorf("five identities: %v", err)
	}
}

// TestUnknownSuiteIsSkipped: a later suite in a document does not shut out a
// client that does not know it.
func TestUnknownSuiteIsSkipped(t *testing.T) {
	id := newIdentity(t)
	d := newDocument(t, newKeyFor(t, Hybrid))
	d.Keys = append(d.Keys, Entry{Suite: 3, NotBefore: epoch, NotAfter: epoch.Add(time.Hour), Public: bytes.Repeat([]byte{1}, 4000)})
	got, err := Verify(must(d.Sign(id)), Policy{Pins: []Pin{pinOf(id)}, Authority: place.Authority, Now: epoch})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := got.Pick(epoch, 3, Hybrid); err != nil || e.Suite != 3 {
		t.Errorf("a suite that the caller names: %v, %v", e.Suite, err) // NewClient refuses it
	}
	if e, err := got.Pick(epoch); err != nil || e.Suite != Hybrid {
		t.Errorf("got %v, %v", e.Suite, err)
	}
}

// TestPick: which key is used when, and that a client does not go down to a suite
// that it did not name.
func TestPick(t *testing.T) {
	at := func(s Suite, from, until int) Entry {
		k := must(GenerateKey(s, epoch.AddDate(0, 0, from), epoch.AddDate(0, 0, until)))
		return k.Entry()
	}
	old, now, next := at(Hybrid, -33, 4), at(Hybrid, -3, 34), at(Hybrid, 1, 38)
	classical := at(Classical, -3, 34)
	over, far := at(Hybrid, -40, 0), at(Hybrid, 3, 40)
	for _, tt := range []struct {
		name   string
		keys   []Entry
		suites []Suite
		want   *Entry
	}{
		{"the younger of two", []Entry{old, now}, nil, &now},
		{"the younger of two, listed the other way", []Entry{now, old}, nil, &now},
		{"one that has begun before one that has not", []Entry{next, old}, nil, &old},
		{"one that begins within a day, if it is all there is", []Entry{next}, nil, &next},
		{"one that begins later", []Entry{far}, nil, nil},
		{"one that is over", []Entry{over}, nil, nil},
		{"the hybrid suite if both may be used", []Entry{classical, now}, []Suite{Hybrid, Classical}, &now},
		{"the classical suite by name", []Entry{classical}, []Suite{Hybrid, Classical}, &classical},
		{"the classical suite not by name", []Entry{classical}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Document{Keys: tt.keys}.Pick(epoch, tt.suites...)
			if tt.want == nil {
				wantFault(t, err, FaultDocument)
			} else if err != nil || got.ID() != tt.want.ID() {
				t.Errorf("got %x from %v, %v, want %x", got.ID(), got.NotBefore, err, tt.want.ID())
			}
		})
	}
}

func TestPins(t *testing.T) {
	p := pinOf(newIdentity(t))
	s := p.String()
	if len(s) != 47 {
		t.Errorf("%s has %d characters", s, len(s))
	}
	if got, err := ParsePin(s); err != nil || got != p {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "sp1.", "sp2" + s[3:], s[:46], s + "A", s + "=", " " + s, s[:10] + "+" + s[11:], s[:10] + "\n" + s[11:], strings.ToUpper(s[:4]) + s[4:], s[:46] + "/"} {
		if _, err := ParsePin(bad); FaultOf(err) != FaultPin {
			t.Errorf("%q: %v", bad, err)
		}
	}
	last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", s[46])
	if twin := s[:46] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last|1]); twin != s {
		if _, err := ParsePin(twin); err == nil {
			t.Errorf("%q and %q are the same pin", s, twin)
		}
	}
}

// TestKeysAreOneList_SR98: an intermediary cannot take the hybrid key out of a
// document to be left with the classical one.
func TestKeysAreOneList_SR98(t *testing.T) {
	id := newIdentity(t)
	both := newDocument(t, newKeyFor(t, Hybrid), newKeyFor(t, Classical))
	raw := must(both.Sign(id))
	only := both
	only.Keys = both.Keys[1:]
	stripped := append(must(only.Body()), raw[len(must(both.Body())):]...)
	_, err := Verify(stripped, Policy{Pins: []Pin{pinOf(id)}, Authority: place.Authority, Now: epoch})
	wantFault(t, err, FaultPin)
}

func TestFaultOf(t *testing.T) {
	if FaultOf(nil) != "" || FaultOf(fmt.Errorf("x: %w", fault(FaultKeys, "y"))) != FaultKeys || FaultOf(fmt.Errorf("x")) != FaultMisuse {
		t.Error("a fault is not found")
	}
}

// The last time that a document may name is read as what it is.
func TestLatestTime(t *testing.T) {
	for _, tt := range []struct {
		seconds uint64
		bad     bool
	}{{0, false}, {maxTime - 1, false}, {maxTime, false}, {maxTime + 1, true}, {1<<64 - 1, true}} {
		r := &reader{b: binary.BigEndian.AppendUint64(nil, tt.seconds)}
		if got := r.time().Unix(); r.bad != tt.bad || !tt.bad && got != int64(tt.seconds) {
			t.Errorf("%d: read as %d, refused: %v", tt.seconds, got, r.bad)
		}
	}
}
