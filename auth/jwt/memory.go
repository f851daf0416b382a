package jwt

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

const (
	remembered   = 16 << 10 // tokens, by default
	memoryEach   = 1 << 10  // bytes, on average
	memoryMost   = 4 << 10  // bytes of one token; a longer one is examined each time
	memoryItself = 256      // bytes that an entry takes besides its texts, with its place in the map
)

// recall is Verify by what is remembered, and remembers.
func (v *Verifier) recall(ctx context.Context, token string) (auth.Identity, error) {
	name, generation := sha256.Sum256([]byte(token)), v.generation()
	f, known := v.memory.get(name, generation)
	f.id.Method, f.id.Issuer, f.id.Audience = "jwt", v.config.Issuer, v.config.Audience // as read has it
	if known {
		var err error
		if known, err = v.stands(ctx, f.id.KeyID, generation); err != nil {
			return auth.Identity{}, err
		}
	}
	if !known {
		v.memory.misses.Add(1)
		var err error
		if f, err = v.examine(ctx, token); err != nil {
			return auth.Identity{}, err
		}
	}
	id, err := v.admit(ctx, f)
	switch {
	case known && err == nil:
		v.memory.hits.Add(1)
	case known && deny.Of(err) == deny.AuthExpired:
		v.memory.drop(name)
	case err == nil:
		// By the generation of before the examination: if the keys have changed
		// meanwhile, nobody knows by which it was verified.
		v.memory.put(name, generation, f)
	}
	return id, err
}

// stands reports whether what was remembered in generation holds: no other keys
// have come, and the key is trusted. Like an examination it reads an old set
// again; without a set that is trusted nobody is let in.
func (v *Verifier) stands(ctx context.Context, keyID string, generation uint64) (bool, error) {
	if v.keys == nil {
		return keyID == v.hsKeyID, nil
	}
	set, err := v.keys.ready(ctx)
	if err != nil {
		return false, unavailable(err)
	}
	return set.has(keyID) && v.generation() == generation, nil
}

// generation changes with whatever could change a verdict: the keys, or what
// made somebody call Forget. Neither part ever shrinks.
func (v *Verifier) generation() uint64 { return v.Generation() + v.memory.forgotten.Load() }

// Forget makes the verifier examine every token anew. The owner of a verifier
// that outlives a reload of the configuration calls it then.
func (v *Verifier) Forget() {
	if v.memory != nil {
		v.memory.forgotten.Add(1)
		v.memory.clear(v.generation())
	}
}

// Remembers reports whether token was good before and is not forgotten. It says
// nothing about whether it still is: that is for [Verifier.Verify].
func (v *Verifier) Remembers(token string) bool {
	if v.memory == nil || len(token) > maxToken {
		return false
	}
	return v.memory.has(sha256.Sum256([]byte(token)), v.generation())
}

// Remembered counts the tokens that were let in by what was remembered of them
// (hits) and those that were examined (misses), bad ones included.
func (v *Verifier) Remembered() (hits, misses uint64) {
	if v.memory == nil {
		return 0, 0
	}
	return v.memory.hits.Load(), v.memory.misses.Load()
}

// memory is what is known of good tokens, those used last, of one generation. One
// lock is enough: it is held for a look into the map, a signature takes several
// hundred times as long.
type memory struct {
	most, mostBytes int // set once

	forgotten    atomic.Uint64
	hits, misses atomic.Uint64

	mu         sync.Mutex // guards what follows
	generation uint64
	tokens     map[uint64]*entry // by the beginning of the name: of two alike, the later stays
	bytes      int
	ring       entry // next is the token used last, prev the one used longest ago
}

// entry is one token, in the ring of its memory. It is small: there may be one for
// every open connection. What is the same for all tokens of a verifier is left out.
type entry struct {
	prev, next *entry
	name       [32]byte

	subject, session, credential, keyID, key string
	scopes                                   []string
	expires, issued, nbf, signedIn           instant

	bytes int32
}

// instant is a time between 1678 and 2262 in nanoseconds since 1970, or none. The
// times of a token that is let in are: its end is near, the others have passed.
type instant int64

const none instant = math.MinInt64

func instantOf(t time.Time) instant {
	if t.IsZero() {
		return none
	}
	return instant(t.UnixNano())
}

func (i instant) time() time.Time {
	if i == none {
		return time.Time{}
	}
	return time.Unix(0, int64(i))
}

func newEntry(name [32]byte, f facts, bytes int) *entry {
	return &entry{
		name: name, bytes: int32(bytes),
		subject: f.id.Subject, session: f.id.Session, credential: f.id.Credential, keyID: f.id.KeyID, key: f.id.Key,
		scopes:  slices.Clone(f.id.Scopes), // without the room that reading them has left
		expires: instantOf(f.id.Expires), issued: instantOf(f.id.IssuedAt), nbf: instantOf(f.nbf), signedIn: instantOf(f.signedIn),
	}
}

// facts are those that the entry was made of. What their holder does with the
// scopes is his.
func (e *entry) facts() facts {
	return facts{
		id: auth.Identity{
			Subject: e.subject, Session: e.session, Credential: e.credential, KeyID: e.keyID, Key: e.key,
			Scopes: slices.Clone(e.scopes), Expires: e.expires.time(), IssuedAt: e.issued.time(),
		},
		nbf: e.nbf.time(), signedIn: e.signedIn.time(),
	}
}

func short(name [32]byte) uint64 { return binary.LittleEndian.Uint64(name[:]) }

// newMemory returns nil if nothing is to be remembered.
func newMemory(most int) *memory {
	if most < 0 {
		return nil
	}
	if most == 0 {
		most = remembered
	}
	m := &memory{most: most, mostBytes: most * memoryEach}
	m.empty(0)
	return m
}

// empty forgets all. Called with mu held.
func (m *memory) empty(generation uint64) {
	m.generation, m.tokens, m.bytes = generation, map[uint64]*entry{}, 0
	m.ring.prev, m.ring.next = &m.ring, &m.ring
}

// at reports whether generation is that of the memory, after emptying it if it is
// older: generations only grow. Called with mu held.
func (m *memory) at(generation uint64) bool {
	if generation > m.generation {
		m.empty(generation)
	}
	return generation == m.generation
}

func (m *memory) clear(generation uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at(generation)
}

func (m *memory) has(name [32]byte, generation uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at(generation) && m.find(name) != nil
}

func (m *memory) get(name [32]byte, generation uint64) (facts, bool) {
	if e := m.use(name, generation); e != nil {
		return e.facts(), true // which never change, with or without the lock
	}
	return facts{}, false
}

// use returns the entry, now the one used last, or nil.
func (m *memory) use(name [32]byte, generation uint64) *entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.at(generation) {
		return nil
	}
	e := m.find(name)
	if e != nil {
		e.leave()
		e.follow(&m.ring)
	}
	return e
}

// find is called with mu held.
func (m *memory) find(name [32]byte) *entry {
	if e := m.tokens[short(name)]; e != nil && e.name == name {
		return e
	}
	return nil
}

func (m *memory) put(name [32]byte, generation uint64, f facts) {
	size := sizeOf(f)
	m.mu.Lock()
	defer m.mu.Unlock()
	if size > memoryMost || size > m.mostBytes || !m.at(generation) || m.find(name) != nil {
		return
	}
	if e := m.tokens[short(name)]; e != nil {
		m.remove(e)
	}
	for len(m.tokens) >= m.most || m.bytes+size > m.mostBytes {
		m.remove(m.ring.prev)
	}
	e := newEntry(name, f, size)
	m.tokens[short(name)], m.bytes = e, m.bytes+size
	e.follow(&m.ring)
}

func (m *memory) drop(name [32]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.find(name); e != nil {
		m.remove(e)
	}
}

// remove is called with mu held.
func (m *memory) remove(e *entry) {
	e.leave()
	delete(m.tokens, short(e.name))
	m.bytes -= int(e.bytes)
}

func (e *entry) leave() { e.prev.next, e.next.prev = e.next, e.prev }

func (e *entry) follow(ring *entry) {
	e.prev, e.next = ring, ring.next
	e.prev.next, e.next.prev = e, e
}

// sizeOf is what remembering f takes, in bytes.
func sizeOf(f facts) int {
	n := memoryItself + len(f.id.Subject) + len(f.id.Session) + len(f.id.Credential) + len(f.id.Key)
	for _, s := range f.id.Scopes {
		n += 16 + len(s)
	}
	return n
}
