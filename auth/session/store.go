package session

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Record is what a store keeps of a session. The value of the cookie is not
// part of it.
type Record struct {
	// ID names the session to administrators, in logs and in revocations. It is
	// random and independent of the cookie: knowing it opens nothing.
	ID      string    `json:"id"`
	Subject string    `json:"sub"`
	Scopes  []string  `json:"scopes,omitempty"` // sorted, without doubles
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

// Store keeps sessions by the SHA-256 of the cookie's value. Implementations
// are safe for concurrent use, by every node that shares the store; once Delete
// or DeleteID has returned, no node finds the session any more.
type Store interface {
	// Create keeps r under key. A store without room returns [ErrFull]; it never
	// forgets a live session to make room.
	Create(ctx context.Context, key [32]byte, r Record) error
	// Get returns the record under key. A record that has expired may be
	// returned or not; the caller checks.
	Get(ctx context.Context, key [32]byte) (r Record, ok bool, err error)
	// Delete removes the record under key and returns it. At most one caller on
	// any node ever gets it.
	Delete(ctx context.Context, key [32]byte) (r Record, ok bool, err error)
	// DeleteID is Delete for the record with a public id.
	DeleteID(ctx context.Context, id string) (r Record, ok bool, err error)
}

// ErrFull says that a store has no room for another session.
var ErrFull = errors.New("the session store is full")

// MaxSessions is how many sessions a store of this module holds unless told otherwise.
const MaxSessions = 100_000

// Memory is a store for one process. A restart ends every session. It starts no
// goroutine: expired sessions are dropped when the store is full, at most every
// [sweepEvery], and when they are asked for.
type Memory struct {
	max int

	// mu guards everything below for the whole of each method.
	mu    sync.Mutex
	byKey map[[32]byte]Record
	byID  map[string][32]byte
	swept time.Time
}

// sweepEvery bounds how often a full store looks for expired sessions.
const sweepEvery = time.Second

// NewMemory returns an empty store for at most max sessions; zero or less means
// [MaxSessions].
func NewMemory(max int) *Memory {
	if max <= 0 {
		max = MaxSessions
	}
	return &Memory{max: max, byKey: map[[32]byte]Record{}, byID: map[string][32]byte{}}
}

// Create implements [Store].
func (m *Memory) Create(ctx context.Context, key [32]byte, r Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); len(m.byKey) >= m.max && now.Sub(m.swept) >= sweepEvery {
		m.swept = now
		for k, r := range m.byKey {
			if !now.Before(r.Expires) {
				m.drop(k, r)
			}
		}
	}
	if len(m.byKey) >= m.max {
		return ErrFull
	}
	if _, ok := m.byKey[key]; ok {
		return errors.New("two sessions with one key")
	}
	if _, ok := m.byID[r.ID]; ok {
		return errors.New("two sessions with one id")
	}
	r.Scopes = slices.Clone(r.Scopes)
	m.byKey[key], m.byID[r.ID] = r, key
	return nil
}

// Get implements [Store].
func (m *Memory) Get(ctx context.Context, key [32]byte) (Record, bool, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.byKey[key]
	if ok && !time.Now().Before(r.Expires) {
		m.drop(key, r)
	}
	r.Scopes = slices.Clone(r.Scopes)
	return r, ok, nil
}

// Delete implements [Store].
func (m *Memory) Delete(ctx context.Context, key [32]byte) (Record, bool, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.byKey[key]
	if ok {
		m.drop(key, r)
	}
	return r, ok, nil
}

// DeleteID implements [Store].
func (m *Memory) DeleteID(ctx context.Context, id string) (Record, bool, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key, ok := m.byID[id]
	if !ok {
		return Record{}, false, nil
	}
	r := m.byKey[key]
	m.drop(key, r)
	return r, true, nil
}

// Len returns the number of sessions held, some of which may have expired.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.byKey)
}

func (m *Memory) drop(key [32]byte, r Record) {
	delete(m.byKey, key)
	delete(m.byID, r.ID)
}
