package jwt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	coolDown     = 10 * time.Second // between two fetches that tokens cause
	refreshAfter = 5 * time.Minute  // age at which a token causes one
	trustedFor   = 24 * time.Hour   // after the last success
)

var errNoKeys = errors.New("no key set")

// source holds the key set in force and replaces it.
type source struct {
	load   func(context.Context) ([]byte, error) // nil: the keys are held in the process
	ctx    context.Context                       // ends with close
	cancel context.CancelFunc

	set        atomic.Pointer[KeySet]
	successAt  atomic.Pointer[time.Time] // nil: never read
	generation atomic.Uint64
	failures   atomic.Uint64

	// mu guards the fields below. It is not held during a fetch, nor while
	// listeners are called.
	mu        sync.Mutex
	flight    *flight   // the fetch in progress, if any
	tried     time.Time // start of the last fetch
	lapsed    bool      // the set was given up, and listeners know
	listeners []func()
}

// flight is one fetch; done is closed by the goroutine that makes it, after err is set.
type flight struct {
	done chan struct{}
	err  error
}

func newSource(load func(context.Context) ([]byte, error)) *source {
	s := &source{load: load}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// current returns the set in force, nil if none is trusted.
func (s *source) current() *KeySet {
	if s.load != nil {
		if at := s.successAt.Load(); at == nil || time.Since(*at) > trustedFor {
			return nil
		}
	}
	return s.set.Load()
}

func (s *source) has(id string) bool {
	set := s.current()
	return set != nil && set.has(id)
}

// find returns the keys to try for a token. It reads the set again if the kid is
// not in it.
func (s *source) find(ctx context.Context, kid, alg string) ([]*key, error) {
	set, err := s.ready(ctx)
	if err != nil {
		return nil, err
	}
	keys := set.find(kid, alg)
	if len(keys) > 0 || kid == "" || s.load == nil {
		return keys, nil
	}
	_ = s.ask(ctx)
	if set = s.current(); set == nil {
		return nil, errNoKeys
	}
	return set.find(kid, alg), nil
}

// ready returns the set in force. It reads the set first if there is none, or if
// it is old: every token passes here, one that is remembered too.
func (s *source) ready(ctx context.Context) (*KeySet, error) {
	set := s.current()
	switch {
	case s.load == nil:
	case set == nil:
		err := s.ask(ctx)
		if set = s.current(); set == nil {
			return nil, fmt.Errorf("%w: %w", errNoKeys, err)
		}
	case time.Since(*s.successAt.Load()) > refreshAfter && s.idle():
		_ = s.ask(ctx) // counted as a failure; the old set is still trusted
		set = s.current()
	}
	if set == nil {
		return nil, errNoKeys
	}
	return set, nil
}

// idle reports whether a fetch may begin now: the callers that need none do not
// wait for another's.
func (s *source) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flight == nil && s.cool()
}

func (s *source) cool() bool { return s.tried.IsZero() || time.Since(s.tried) >= coolDown }

var errCoolDown = errors.New("the last fetch is less than 10s ago")

// ask fetches once for all callers, unless that was done within the cool-down.
func (s *source) ask(ctx context.Context) error { return s.fetch(ctx, false) }

// refresh fetches, whatever the cool-down; it joins a fetch in progress.
func (s *source) refresh(ctx context.Context) error {
	if s.load == nil {
		return nil
	}
	if err := s.fetch(ctx, true); err != nil {
		return fmt.Errorf("jwt: refresh the key set: %w", err)
	}
	return nil
}

func (s *source) fetch(ctx context.Context, force bool) error {
	s.mu.Lock()
	if f := s.flight; f != nil {
		s.mu.Unlock()
		select {
		case <-f.done:
			return f.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !force && !s.cool() {
		s.mu.Unlock()
		return errCoolDown
	}
	f := &flight{done: make(chan struct{}), err: errors.New("the fetch was not completed")}
	s.flight, s.tried = f, time.Now()
	s.mu.Unlock()

	for _, listener := range s.fly(f) {
		listener()
	}
	return f.err
}

// fly makes the fetch f. Others wait for it, so it ends with the source and not
// with the context of its caller. It returns the listeners that are to be told.
func (s *source) fly(f *flight) []func() {
	defer func() {
		s.mu.Lock()
		s.flight = nil
		s.mu.Unlock()
		close(f.done)
	}()
	set, err := s.read()
	if err != nil {
		s.failures.Add(1)
	}
	f.err = err
	return s.finish(set, err)
}

// read loads and parses the set, in at most fetchTimeout.
func (s *source) read() (*KeySet, error) {
	ctx, cancel := context.WithTimeout(s.ctx, fetchTimeout)
	defer cancel()
	data, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	return ParseKeySet(data)
}

// finish puts set in force, or counts what became of the old one. It returns the listeners that
// are to be told.
func (s *source) finish(set *KeySet, err error) []func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		now := time.Now()
		notify := s.put(set)
		s.successAt.Store(&now)
		return notify
	}
	if s.set.Load() != nil && s.current() == nil && !s.lapsed {
		s.lapsed = true
		s.generation.Add(1)
		return slices.Clone(s.listeners)
	}
	return nil
}

// put replaces the set. Called with mu held.
func (s *source) put(set *KeySet) []func() {
	old := s.set.Swap(set)
	s.lapsed = false
	if old == nil {
		old = &KeySet{}
	}
	left := slices.ContainsFunc(old.keys, func(k *key) bool { return !set.has(k.id) })
	if !slices.EqualFunc(old.keys, set.keys, (*key).same) {
		s.generation.Add(1)
	}
	if !left {
		return nil
	}
	return slices.Clone(s.listeners)
}

// install puts keys held in the process in force.
func (s *source) install(set *KeySet) {
	s.mu.Lock()
	notify := s.put(set)
	s.mu.Unlock()
	for _, listener := range notify {
		listener()
	}
}

// inherit puts the set of old in force, with its age, unless one was read already.
func (s *source) inherit(old *source) {
	at, set := old.successAt.Load(), old.set.Load() // the age first: never younger than the set
	if at == nil || set == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set.Load() == nil {
		s.put(set) // nobody listens for keys that leave: there were none
		s.successAt.Store(at)
	}
}

func (s *source) onChange(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, f)
}

func (s *source) lastSuccess() time.Time {
	if at := s.successAt.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

func (s *source) close() { s.cancel() }
