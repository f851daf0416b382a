// Package sealkeys keeps the keys of the seal (measure 5) on disk: the sealing
// keys that a server needs at every moment, and the long-term identity that signs
// them and may be kept elsewhere.
//
// It stops keys from being readable by other users, from being lost half-way
// through a rotation, and from being used beyond their time: a sealing key lives
// 30 days and is listed for the last 7 of them beside its successor; when it is
// over, its private half is overwritten with the file. It does not protect keys
// from whoever can read the server's files.
//
// The folder is "seal" in the state directory, mode 0700, its files 0600:
//
//	identity.pem   the identity, Ed25519 in PKCS #8; may be absent
//	ring.json      sealing keys, generation, signed documents
//
// It is not in the state's database, so that the command line can rotate while
// the server runs. A file that is damaged or open to other users is an error.
package sealkeys

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport/sallyport/seal"
)

// Lives of keys and documents.
const (
	KeyLife  = 30 * 24 * time.Hour
	Overlap  = 7 * 24 * time.Hour // before a key's end, in which its successor is listed
	Warning  = 7 * 24 * time.Hour // before the end of the last key, when nobody renews it
	maxNames = 16                 // authorities
)

// Set is the sealing keys of a door and their signed documents.
type Set struct {
	Generation  uint32
	Authorities []string // "app.example.com:443"
	Suites      []seal.Suite
	Keys        []*seal.Key
	Documents   map[string][]byte // by authority; empty until Sign
	Issued      time.Time         // of the documents
}

// New returns a set without keys. suites is never empty.
func New(authorities []string, suites []seal.Suite) (*Set, error) {
	if len(authorities) == 0 || len(authorities) > maxNames {
		return nil, fmt.Errorf("seal keys: %d authorities; want 1 to %d", len(authorities), maxNames)
	}
	if len(suites) == 0 {
		suites = []seal.Suite{seal.Hybrid}
	}
	s := &Set{Authorities: slices.Clone(authorities), Suites: slices.Clone(suites)}
	slices.Sort(s.Authorities)
	s.Authorities = slices.Compact(s.Authorities)
	return s, nil
}

// Due reports whether Rotate would change anything: a suite without a key, a
// newest key in its last days, or one that is over.
func (s *Set) Due(now time.Time) bool {
	for _, suite := range s.Suites {
		if end := s.end(suite); !now.Add(Overlap).Before(end) {
			return true
		}
	}
	return slices.ContainsFunc(s.Keys, func(k *seal.Key) bool { return !now.Before(k.Entry().NotAfter) })
}

// End is when sealing stops unless somebody rotates and signs; zero without keys.
func (s *Set) End() time.Time {
	var first time.Time
	for _, suite := range s.Suites {
		if end := s.end(suite); first.IsZero() || end.Before(first) {
			first = end
		}
	}
	return first
}

// end is the end of the newest key of a suite.
func (s *Set) end(suite seal.Suite) (last time.Time) {
	for _, k := range s.Keys {
		if e := k.Entry(); e.Suite == suite && e.NotAfter.After(last) {
			last = e.NotAfter
		}
	}
	return last
}

// Rotate drops and erases keys that are over and adds one for each suite whose
// newest is in its last days; with force, for each suite. The documents are void
// until Sign.
func (s *Set) Rotate(now time.Time, force bool) error {
	s.Keys = slices.DeleteFunc(s.Keys, func(k *seal.Key) bool {
		over := !now.Before(k.Entry().NotAfter)
		if over {
			k.Erase()
		}
		return over
	})
	for _, suite := range s.Suites {
		if !force && now.Add(Overlap).Before(s.end(suite)) {
			continue
		}
		if len(s.Keys) == seal.MaxKeys {
			return fmt.Errorf("seal keys: %d keys are in use already; wait until one is over", seal.MaxKeys)
		}
		k, err := seal.GenerateKey(suite, now, now.Add(KeyLife))
		if err != nil {
			return fmt.Errorf("seal keys: %w", err)
		}
		s.Keys = append(s.Keys, k)
	}
	s.Generation++
	s.Documents, s.Issued = nil, now
	return nil
}

// document is what is to be signed for an authority. Newest keys come first:
// clients take the first whose suite they know.
func (s *Set) document(authority string) seal.Document {
	d := seal.Document{Authority: authority, Generation: s.Generation, Issued: s.Issued, Expires: s.Issued.Add(seal.MaxDocumentLife)}
	for _, k := range slices.Backward(s.Keys) {
		d.Keys = append(d.Keys, k.Entry())
	}
	return d
}

// Unsigned are the bodies of the documents, by authority, for an identity that is
// kept elsewhere.
func (s *Set) Unsigned() (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, a := range s.Authorities {
		body, err := s.document(a).Body()
		if err != nil {
			return nil, fmt.Errorf("seal keys: %w", err)
		}
		out[a] = body
	}
	return out, nil
}

// Sign signs the documents of all authorities.
func (s *Set) Sign(identities ...crypto.Signer) error {
	documents := map[string][]byte{}
	for _, a := range s.Authorities {
		raw, err := s.document(a).Sign(identities...)
		if err != nil {
			return fmt.Errorf("seal keys: %w", err)
		}
		documents[a] = raw
	}
	s.Documents = documents
	return nil
}

// Adopt takes a document that was signed elsewhere. It must be for the keys and
// the generation of this set, and signed by one of pins.
func (s *Set) Adopt(raw []byte, pins []seal.Pin, now time.Time) error {
	for _, a := range s.Authorities {
		want, err := s.document(a).Body()
		if err != nil {
			return err
		}
		if len(raw) > len(want) && string(raw[:len(want)]) == string(want) {
			if _, err := seal.Verify(raw, seal.Policy{Pins: pins, Authority: a, Generation: s.Generation, Now: now}); err != nil {
				return fmt.Errorf("seal keys: %w", err)
			}
			if s.Documents == nil {
				s.Documents = map[string][]byte{}
			}
			s.Documents[a] = raw
			return nil
		}
	}
	return errors.New("seal keys: the document is not for the keys that are here")
}

// Signed reports whether every authority has its document.
func (s *Set) Signed() bool { return len(s.Documents) == len(s.Authorities) && len(s.Keys) > 0 }

// Ring is what a server opens handshakes with.
func (s *Set) Ring() (*seal.Ring, error) { return seal.NewRing(s.Keys...) }

// Pin is the pin of an identity.
func Pin(identity crypto.Signer) (seal.Pin, error) {
	public, ok := identity.Public().(ed25519.PublicKey)
	if !ok {
		return seal.Pin{}, errors.New("seal keys: an identity is an Ed25519 key")
	}
	return seal.PinOf(public), nil
}
