// Package sealkeys keeps the keys of the seal (measure 5) on disk: the sealing
// keys that a server needs at every moment, and the long-term identity that signs
// them and may be kept elsewhere.
//
// It stops keys from being readable by other users, from being lost half-way
// through a rotation, and from being used beyond their time: a sealing key lives
// 30 days and is listed for the last 7 of them beside its successor; when it is
// over, its private half leaves the file. It does not protect keys from whoever
// can read the server's files, nor from what a file system or its backups keep of
// a file that was replaced.
//
// The folder is "seal" in the state directory, mode 0700, its files 0600:
//
//	identity.pem       the identity, Ed25519 in PKCS #8; may be absent
//	identity-next.pem  a second one, which signs as well while clients move to its pin
//	ring.json          sealing keys, generation, pins, signed documents
//
// It is not in the state's database, so that the command line can rotate while
// the server runs; who changes it holds a lock. A file that is damaged or open to
// other users is an error.
package sealkeys

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/sallyport/sallyport/seal"
)

// Lives of keys.
const (
	KeyLife = 30 * 24 * time.Hour
	Overlap = 7 * 24 * time.Hour // before a key's end, in which its successor is listed
)

// MaxAuthorities is how many names one set of keys can have.
const MaxAuthorities = 16

// Set is the sealing keys of a door and their signed documents. It is not safe
// for use by several goroutines; its keys are.
type Set struct {
	Generation  uint32
	Issued      time.Time // of the generation, in whole seconds
	Authorities []string  // "app.example.com:443", sorted
	Suites      []seal.Suite
	Pins        []seal.Pin // identities whose signatures count; 1 to seal.MaxSignatures
	Keys        []*seal.Key

	// Documents are those in force, by authority. After Rotate they are of an
	// older generation until somebody signs: they go on to be served. Empty before
	// the first signature.
	Documents map[string][]byte

	adopted time.Time                // when Documents were; they were good then
	signed  map[string]seal.Document // what Documents say
}

// New returns a set without keys. Without suites it has seal.Hybrid alone.
func New(authorities []string, suites []seal.Suite, pins ...seal.Pin) (*Set, error) {
	if len(suites) == 0 {
		suites = []seal.Suite{seal.Hybrid}
	}
	s := &Set{Authorities: sorted(authorities), Suites: slices.Clone(suites), Pins: slices.Clone(pins)}
	return s, s.check()
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// check refuses what no client would take.
func (s *Set) check() error {
	if n := len(s.Authorities); n == 0 || n > MaxAuthorities || !slices.Equal(s.Authorities, sorted(s.Authorities)) {
		return fmt.Errorf("%d authorities; want 1 to %d, each once", n, MaxAuthorities)
	}
	for _, a := range s.Authorities {
		if err := CheckAuthority(a); err != nil {
			return err
		}
	}
	if n := len(s.Pins); n == 0 || n > seal.MaxSignatures || !unique(s.Pins) {
		return fmt.Errorf("%d pins; want 1 to %d, each once", n, seal.MaxSignatures)
	}
	if len(s.Suites) == 0 || !unique(s.Suites) {
		return errors.New("a suite twice, or none")
	}
	for _, suite := range s.Suites {
		if suite != seal.Hybrid && suite != seal.Classical {
			return fmt.Errorf("%v is unknown", suite)
		}
	}
	return nil
}

func unique[T comparable](list []T) bool {
	seen := map[T]bool{}
	for _, v := range list {
		seen[v] = true
	}
	return len(seen) == len(list)
}

// CheckAuthority wants host:port as clients write it: lower case, with the port.
func CheckAuthority(a string) error {
	// A document with nothing else to complain about.
	one := seal.Entry{Suite: 0xffff, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0), Public: []byte{0}}
	d := seal.Document{Authority: a, Issued: time.Unix(0, 0), Expires: time.Unix(1, 0), Keys: []seal.Entry{one}}
	if _, err := d.Body(); err != nil {
		return fmt.Errorf("%.80q is not host:port in lower case, as app.example.com:443", a)
	}
	return nil
}

// ParseSuite reads a suite's name: MLKEM768-X25519 or X25519.
func ParseSuite(name string) (seal.Suite, error) {
	for _, s := range []seal.Suite{seal.Hybrid, seal.Classical} {
		if s.String() == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("suite %.40q is none of %v, %v", name, seal.Hybrid, seal.Classical)
}

// Clone returns a copy that shares the keys themselves.
func (s *Set) Clone() *Set {
	c := *s
	c.Authorities, c.Suites = slices.Clone(s.Authorities), slices.Clone(s.Suites)
	c.Pins, c.Keys = slices.Clone(s.Pins), slices.Clone(s.Keys)
	c.Documents, c.signed = maps.Clone(s.Documents), maps.Clone(s.signed)
	return &c
}

// Due reports whether a new key is needed: the newest of a suite is in its last
// days, or there is none.
func (s *Set) Due(now time.Time) bool {
	return slices.ContainsFunc(s.Suites, func(suite seal.Suite) bool { return s.due(suite, now) })
}

func (s *Set) due(suite seal.Suite, now time.Time) bool {
	for _, k := range s.Keys {
		if e := k.Entry(); e.Suite == suite && now.Add(Overlap).Before(e.NotAfter) {
			return false
		}
	}
	return true
}

// Prune drops and erases keys that are over, and reports whether there were any.
// It needs no signature: clients use no such key.
func (s *Set) Prune(now time.Time) bool {
	n := len(s.Keys)
	s.Keys = slices.DeleteFunc(slices.Clone(s.Keys), func(k *seal.Key) bool {
		over := !now.Before(k.Entry().NotAfter)
		if over {
			k.Erase()
		}
		return over
	})
	return len(s.Keys) != n
}

// Rotate drops keys that are over and adds one for each suite that needs it; with
// force, for each suite. The new generation is listed once it is signed.
func (s *Set) Rotate(now time.Time, force bool) error {
	s.Prune(now)
	for _, suite := range s.Suites {
		if !force && !s.due(suite, now) {
			continue
		}
		if len(s.Keys) == seal.MaxKeys {
			return fmt.Errorf("rotate: %d sealing keys are in use already; wait until one is over, or drop the old ones", seal.MaxKeys)
		}
		k, err := seal.GenerateKey(suite, now, now.Add(KeyLife))
		if err != nil {
			return fmt.Errorf("rotate: %w", err)
		}
		s.Keys = append(s.Keys, k)
	}
	return s.Renumber(now)
}

// Over reports whether Prune would drop a key.
func (s *Set) Over(now time.Time) bool {
	return slices.ContainsFunc(s.Keys, func(k *seal.Key) bool { return !now.Before(k.Entry().NotAfter) })
}

// Only makes the set one of these suites, and drops the keys of others without
// erasing them: another set may have them in force.
func (s *Set) Only(suites []seal.Suite) error {
	only := s.Clone()
	only.Suites = slices.Clone(suites)
	if err := only.check(); err != nil {
		return err
	}
	s.Suites = only.Suites
	s.Keys = slices.DeleteFunc(only.Keys, func(k *seal.Key) bool { return !slices.Contains(suites, k.Entry().Suite) })
	return nil
}

// Name makes the set one for these authorities.
func (s *Set) Name(authorities []string) error {
	named := s.Clone()
	named.Authorities = sorted(authorities)
	if err := named.check(); err != nil {
		return err
	}
	s.Authorities = named.Authorities
	return nil
}

// Drop forgets and erases every key, for the day on which they may be known to
// others. The next Rotate makes new ones.
func (s *Set) Drop() {
	for _, k := range s.Keys {
		k.Erase()
	}
	s.Keys = nil
}

// Renumber begins a generation, after any change of what documents say.
func (s *Set) Renumber(now time.Time) error {
	if s.Generation == math.MaxUint32 {
		return errors.New("the generations are used up")
	}
	s.Generation++
	s.Issued = now.Truncate(time.Second)
	return nil
}

// Unsigned are the documents of this generation, for an identity that is kept
// elsewhere. The newest keys come first.
func (s *Set) Unsigned() []seal.Document {
	var list []seal.Document
	for _, a := range s.Authorities {
		d := seal.Document{Authority: a, Generation: s.Generation, Issued: s.Issued, Expires: s.Issued.Add(seal.MaxDocumentLife)}
		for _, k := range slices.Backward(s.Keys) {
			d.Keys = append(d.Keys, k.Entry())
		}
		list = append(list, d)
	}
	return list
}

// Sign signs the documents of all authorities. The identities' pins must be among
// Pins.
func (s *Set) Sign(now time.Time, identities ...crypto.Signer) error {
	raws, err := Sign(s.Unsigned(), identities...)
	if err != nil {
		return err
	}
	return s.Adopt(now, raws)
}

// Sign signs documents, and returns them by authority.
func Sign(documents []seal.Document, identities ...crypto.Signer) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, d := range documents {
		raw, err := d.Sign(identities...)
		if err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		out[d.Authority] = raw
	}
	return out, nil
}

// Adopt takes the signed documents of all authorities. They must be of this
// generation, list keys that are here, and be signed by one of Pins.
func (s *Set) Adopt(now time.Time, raws map[string][]byte) error {
	signed := map[string]seal.Document{}
	for _, a := range s.Authorities {
		raw, ok := raws[a]
		if !ok {
			return fmt.Errorf("there is no document for %s", a)
		}
		d, err := seal.Verify(raw, seal.Policy{Pins: s.Pins, Authority: a, Generation: s.Generation, Now: now})
		if err != nil {
			return fmt.Errorf("document for %s: %w", a, err)
		}
		if d.Generation != s.Generation {
			return fmt.Errorf("document for %s: of generation %d, and here is %d", a, d.Generation, s.Generation)
		}
		for _, suite := range s.Suites {
			if _, err := d.Pick(now, suite); err != nil {
				return fmt.Errorf("document for %s: %w", a, err)
			}
		}
		for _, e := range d.Keys {
			if now.Before(e.NotAfter) && !s.has(e) {
				return fmt.Errorf("document for %s: it lists a key that is not here", a)
			}
		}
		signed[a] = d
	}
	if len(raws) != len(signed) {
		return errors.New("there are documents for other names than these keys have")
	}
	s.Documents, s.signed, s.adopted = maps.Clone(raws), signed, now
	return nil
}

func (s *Set) has(e seal.Entry) bool {
	return slices.ContainsFunc(s.Keys, func(k *seal.Key) bool {
		own := k.Entry()
		return own.Suite == e.Suite && own.NotAfter.Equal(e.NotAfter) && bytes.Equal(own.Public, e.Public)
	})
}

// Signed reports whether the documents in force are of this generation.
func (s *Set) Signed() bool {
	for _, a := range s.Authorities {
		if d, ok := s.signed[a]; !ok || d.Generation != s.Generation {
			return false
		}
	}
	return true
}

// End is when clients have no key left for an authority unless somebody rotates
// and signs: the end of its document, or of the last key of a suite in it of
// which the private half is here. Zero if it has no document.
func (s *Set) End(authority string) time.Time {
	d, ok := s.signed[authority]
	if !ok {
		return time.Time{}
	}
	end := d.Expires
	for _, suite := range s.Suites {
		var last time.Time
		for _, e := range d.Keys {
			if e.Suite == suite && e.NotAfter.After(last) && s.has(e) {
				last = e.NotAfter
			}
		}
		if last.Before(end) {
			end = last
		}
	}
	return end
}

// Ends are the ends of all authorities, and the first of them.
func (s *Set) Ends() (each map[string]time.Time, first time.Time) {
	each = map[string]time.Time{}
	for i, a := range s.Authorities {
		each[a] = s.End(a)
		if i == 0 || each[a].Before(first) {
			first = each[a]
		}
	}
	return each, first
}

// Ring is what a server opens handshakes with.
func (s *Set) Ring() (*seal.Ring, error) { return seal.NewRing(s.Keys...) }

// Pin is the pin of an identity.
func Pin(identity ed25519.PrivateKey) seal.Pin {
	return seal.PinOf(identity.Public().(ed25519.PublicKey))
}

// Trust adds the pins of identities, or of a colleague's, to those that count.
func (s *Set) Trust(pins ...seal.Pin) error {
	all := slices.Clone(s.Pins)
	for _, p := range pins {
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	if len(all) > seal.MaxSignatures {
		return fmt.Errorf("%d pins; at most %d identities can sign", len(all), seal.MaxSignatures)
	}
	s.Pins = all
	return nil
}
