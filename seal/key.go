package seal

import (
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// KeyID names a sealing key: the first 8 bytes of a hash of suite and public
// key. It is a name, not a proof; the whole public key is part of the handshake.
type KeyID [8]byte

func keyIDOf(s Suite, public []byte) KeyID {
	sum := sha256.Sum256(labelled(labelKeyID, binary.BigEndian.AppendUint16(nil, uint16(s)), appendLP(nil, public)))
	return KeyID(sum[:8])
}

// Key is a sealing key of a server, with its private half. It is safe for use
// by several goroutines.
type Key struct {
	suite  Suite
	id     KeyID
	public []byte
	from   time.Time
	until  time.Time

	private atomic.Pointer[hpke.PrivateKey] // nil after Erase
}

// GenerateKey makes a sealing key that is valid from from until until, in whole
// seconds. The span is at most [MaxKeyLife].
func GenerateKey(s Suite, from, until time.Time) (*Key, error) {
	kem, _, ok := suiteOf(s)
	if !ok {
		return nil, fault(FaultMisuse, "generate key: "+s.String()+" is unknown")
	}
	sk, err := kem.GenerateKey()
	if err != nil {
		return nil, faultBy(FaultMisuse, fmt.Errorf("generate key: %w", err))
	}
	return newKey(s, sk, from, until)
}

// ParseKey reads what [Key.Private] returned. It keeps no reference to private;
// the caller erases it.
func ParseKey(s Suite, private []byte, from, until time.Time) (*Key, error) {
	kem, n, ok := suiteOf(s)
	if !ok || len(private) != n.private {
		return nil, fault(FaultMisuse, "parse key: not a private key of "+s.String())
	}
	own := slices.Clone(private) // the KEM may keep what it is given
	sk, err := kem.NewPrivateKey(own)
	if err != nil {
		return nil, faultBy(FaultMisuse, fmt.Errorf("parse key: %w", err))
	}
	return newKey(s, sk, from, until)
}

func newKey(s Suite, sk hpke.PrivateKey, from, until time.Time) (*Key, error) {
	k := &Key{suite: s, public: sk.PublicKey().Bytes(), from: from.Truncate(time.Second), until: until.Truncate(time.Second)}
	k.id = keyIDOf(s, k.public)
	if err := k.Entry().check(); err != nil {
		return nil, faultBy(FaultMisuse, err)
	}
	k.private.Store(&sk)
	return k, nil
}

// ID is the key's name on the wire.
func (k *Key) ID() KeyID { return k.id }

// Entry is the public half, as a [Document] lists it.
func (k *Key) Entry() Entry {
	return Entry{Suite: k.suite, NotBefore: k.from, NotAfter: k.until, Public: slices.Clone(k.public)}
}

// Private returns a copy of the private key, 32 bytes, for a file that only the
// server reads. The caller erases it. It fails after [Key.Erase].
func (k *Key) Private() ([]byte, error) {
	sk := k.private.Load()
	if sk == nil {
		return nil, fault(FaultMisuse, "the key is erased")
	}
	b, err := (*sk).Bytes()
	if err != nil {
		return nil, faultBy(FaultMisuse, err)
	}
	return slices.Clone(b), nil
}

// Erase gives the private key up: handshakes that name it are refused with
// FaultKeys from now on. Its copies inside crypto/hpke are left to the garbage
// collector.
func (k *Key) Erase() { k.private.Store(nil) }

// usable returns the private key, or nil when it was erased or its time is over.
// A key before its time is good: the client's clock may be ahead.
func (k *Key) usable(now time.Time) hpke.PrivateKey {
	sk := k.private.Load()
	if sk == nil || !now.Before(k.until) {
		return nil
	}
	return *sk
}

// Ring is the sealing keys that a server accepts now. It does not change;
// rotation makes a new one.
type Ring struct{ keys map[KeyID]*Key }

// NewRing returns a ring of at most [MaxKeys] keys, of any suite. Listing a
// [Classical] key is how that suite is switched on.
func NewRing(keys ...*Key) (*Ring, error) {
	r := &Ring{keys: make(map[KeyID]*Key, len(keys))}
	for _, k := range keys {
		r.keys[k.id] = k
	}
	if len(keys) > MaxKeys || len(r.keys) != len(keys) {
		return nil, fault(FaultMisuse, fmt.Sprintf("a ring has at most %d keys, each once", MaxKeys))
	}
	return r, nil
}

func (r *Ring) find(s Suite, id KeyID, now time.Time) (*Key, hpke.PrivateKey) {
	k := r.keys[id]
	if k == nil || k.suite != s {
		return nil, nil
	}
	return k, k.usable(now)
}
