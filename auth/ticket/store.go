package ticket

import (
	"container/heap"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/auth"
)

// Grant is what a ticket stands for.
type Grant struct {
	// Identity is the root identity: what the credential that bought the ticket
	// proved. It is redeemed unchanged.
	Identity auth.Identity
	// Gate is the path of the only gate that takes the ticket.
	Gate string
	// Origin is the only origin that may redeem it; "none" for a program.
	Origin string
	// Purpose is empty for a ticket that is a credential, or [Admission].
	Purpose string
}

// Entry is what a store keeps of a ticket. The ticket itself is not part of it.
type Entry struct {
	Grant Grant
	// Owner is who the ticket counts against: a hash of the session, else of the
	// credential, that bought it.
	Owner [32]byte
	// Expires is the end of the ticket, not of the identity in it.
	Expires time.Time
}

// Store keeps outstanding tickets by the SHA-256 of each. Implementations are
// safe for concurrent use, by every node that shares the store.
type Store interface {
	// Put keeps e under key unless e.Owner already has limit tickets that are
	// neither taken nor expired: then it returns [ErrCrowded]. Counting and
	// keeping are one atomic step on every node. A store without room returns
	// [ErrFull]; it never forgets a ticket that is still good to make room.
	Put(ctx context.Context, key [32]byte, e Entry, limit int) error
	// Take removes the entry under key and returns it. At most one caller on any
	// node ever gets it; that is what single use means. ok is false if there is
	// none. An entry that has expired may be returned or not; the caller checks.
	Take(ctx context.Context, key [32]byte) (e Entry, ok bool, err error)
}

// Errors of a [Store].
var (
	// ErrCrowded says that the owner has as many outstanding tickets as allowed.
	ErrCrowded = errors.New("too many outstanding tickets of one owner")
	// ErrFull says that the store has no room.
	ErrFull = errors.New("the ticket store is full")
)

// MaxOutstanding is how many tickets a [Memory] holds unless told otherwise.
const MaxOutstanding = 100_000

// Memory is a store for one process. A restart forgets every ticket, which
// keeps single use true. It starts no goroutine: each call first drops what has
// expired.
type Memory struct {
	max int

	// mu guards everything below for the whole of Put and Take.
	mu      sync.Mutex
	entries map[[32]byte]*held
	owners  map[[32]byte]int // outstanding tickets; no zero is kept
	ends    byEnd
}

type held struct {
	Entry
	key   [32]byte
	index int // in ends
}

// NewMemory returns an empty store for at most max tickets; zero or less means
// [MaxOutstanding].
func NewMemory(max int) *Memory {
	if max <= 0 {
		max = MaxOutstanding
	}
	return &Memory{max: max, entries: map[[32]byte]*held{}, owners: map[[32]byte]int{}}
}

// Put implements [Store].
func (m *Memory) Put(ctx context.Context, key [32]byte, e Entry, limit int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.Grant.Identity.Scopes = slices.Clone(e.Grant.Identity.Scopes)
	e.Grant.Identity.Handle = slices.Clone(e.Grant.Identity.Handle)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(time.Now())
	switch {
	case m.owners[e.Owner] >= limit:
		return ErrCrowded
	case len(m.entries) >= m.max:
		return ErrFull
	case m.entries[key] != nil:
		return errors.New("two tickets with one key")
	}
	h := &held{Entry: e, key: key}
	m.entries[key] = h
	m.owners[e.Owner]++
	heap.Push(&m.ends, h)
	return nil
}

// Take implements [Store].
func (m *Memory) Take(ctx context.Context, key [32]byte) (Entry, bool, error) {
	if err := ctx.Err(); err != nil {
		return Entry{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.entries[key]
	if h != nil {
		m.drop(h)
	}
	m.sweep(time.Now())
	if h == nil {
		return Entry{}, false, nil
	}
	return h.Entry, true, nil
}

// Len returns the number of tickets held, some of which may have expired.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries)
}

// sweep drops what has expired. Every ticket is dropped once, so the cost of a
// long sweep was paid by as many calls of Put.
func (m *Memory) sweep(now time.Time) {
	for len(m.ends) > 0 && !now.Before(m.ends[0].Expires) {
		m.drop(m.ends[0])
	}
}

func (m *Memory) drop(h *held) {
	heap.Remove(&m.ends, h.index)
	delete(m.entries, h.key)
	if m.owners[h.Owner]--; m.owners[h.Owner] <= 0 {
		delete(m.owners, h.Owner)
	}
}

// byEnd is a heap: the ticket that expires first is at 0.
type byEnd []*held

func (b byEnd) Len() int           { return len(b) }
func (b byEnd) Less(i, j int) bool { return b[i].Expires.Before(b[j].Expires) }
func (b byEnd) Swap(i, j int) {
	b[i], b[j] = b[j], b[i]
	b[i].index, b[j].index = i, j
}

func (b *byEnd) Push(x any) {
	h := x.(*held)
	h.index = len(*b)
	*b = append(*b, h)
}

func (b *byEnd) Pop() any {
	last := len(*b) - 1
	h := (*b)[last]
	(*b)[last] = nil
	*b = (*b)[:last]
	return h
}
