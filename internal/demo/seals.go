package demo

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/state"
	"github.com/sallyport/sallyport/seal"
)

// sealLife is how long a key of the seal, and its document, are good for: longer
// than a demo runs. A door that stays has shorter ones, and others after them.
const sealLife = seal.MaxDocumentLife

// seals are what the chat's gate seals with: a sealing key made at the start, and
// kept in memory alone, and an identity that a state keeps.
type seals struct {
	sealing *sallyport.Sealing
	pin     seal.Pin
}

// newSeals makes the keys of a door that is known by these names, with ports.
func newSeals(s *state.DB, authorities ...string) (*seals, error) {
	seed, err := s.Secret("demo-seal-identity", func() ([]byte, error) {
		_, fresh, err := ed25519.GenerateKey(nil)
		return fresh.Seed(), err
	})
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("demo: the identity of the seal has %d bytes", len(seed))
	}
	identity := ed25519.NewKeyFromSeed(seed)
	now := time.Now()
	key, err := seal.GenerateKey(seal.Hybrid, now, now.Add(sealLife))
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	ring, err := seal.NewRing(key)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	documents := map[string][]byte{}
	for _, authority := range authorities {
		documents[authority], err = seal.Document{
			Authority: authority, Generation: uint32(now.Unix()), // a later start is a later generation
			Issued: now, Expires: now.Add(sealLife), Keys: []seal.Entry{key.Entry()},
		}.Sign(identity)
		if err != nil {
			return nil, fmt.Errorf("demo: %w", err)
		}
	}
	return &seals{&sallyport.Sealing{Ring: ring, Documents: documents}, seal.PinOf(identity.Public().(ed25519.PublicKey))}, nil
}
