package jwt

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

const (
	remembered   = 16 << 10 // tokens, by default
	memoryEach   = 1 << 10  // bytes, on average
	memoryMost   = 4 << 10  // bytes of one token; a longer one is examined each time
	memoryItself = 448      // bytes that an entry takes besides its texts, with its place in the map
)

// recall is Verify by what is remembered, and remembers.
func (v *Verifier) recall(ctx context.Context, token string) (auth.Identity, error) {
	name, generation := sha256.Sum256([]byte(token)), v.generation()
	f, known := v.memory.get(name, generation)
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
	id.Scopes = slices.Clone(id.Scopes) // what its holder does with them is his
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
	tokens     map[[32]byte]*entry
	bytes      int
	ring       entry // next is the token used last, prev the one used longest ago
}

// entry is one token, in the ring of its memory.
type entry struct {
	prev, next *entry
	name       [32]byte
	facts      facts
	bytes      int
}

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
	m.generation, m.tokens, m.bytes = generation, map[[32]byte]*entry{}, 0
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
	return m.at(generation) && m.tokens[name] != nil
}

func (m *memory) get(name [32]byte, generation uint64) (facts, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var e *entry
	if m.at(generation) {
		e = m.tokens[name]
	}
	if e == nil {
		return facts{}, false
	}
	e.leave()
	e.follow(&m.ring)
	return e.facts, true
}

func (m *memory) put(name [32]byte, generation uint64, f facts) {
	size := sizeOf(f)
	m.mu.Lock()
	defer m.mu.Unlock()
	if size > memoryMost || size > m.mostBytes || !m.at(generation) || m.tokens[name] != nil {
		return
	}
	for len(m.tokens) >= m.most || m.bytes+size > m.mostBytes {
		m.remove(m.ring.prev)
	}
	e := &entry{name: name, facts: f, bytes: size}
	m.tokens[name], m.bytes = e, m.bytes+size
	e.follow(&m.ring)
}

func (m *memory) drop(name [32]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.tokens[name]; e != nil {
		m.remove(e)
	}
}

// remove is called with mu held.
func (m *memory) remove(e *entry) {
	e.leave()
	delete(m.tokens, e.name)
	m.bytes -= e.bytes
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
