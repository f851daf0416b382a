package state

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sallyport/sallyport/guard"
)

// ErrRevocationsFull says that there is no room for another revocation. What
// was revoked stays revoked.
var ErrRevocationsFull = errors.New("too many revocations")

// pruneEvery is how often Add forgets what is older than a revocation is kept.
const pruneEvery = 24 * time.Hour

// Revocations returns the revocations of d as a store. They are kept for
// [guard.RevocationsKept] and forgotten when the state is opened, or daily when
// one is added.
func (d *DB) Revocations() guard.RevocationStore { return revocations{d} }

type revocations struct{ *DB }

// Add keeps r; it is on disk when Add returns nil. It fails with an error
// wrapping [ErrRevocationsFull] at 1,000,000 revocations.
func (s revocations) Add(ctx context.Context, r guard.Revocation) error {
	if r.At.IsZero() {
		return errors.New("add revocation: it has no time")
	}
	if s.bolt == nil {
		return s.addToMemory(ctx, r)
	}
	row, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("add revocation: %w", err)
	}
	err = s.update(ctx, func(tx *bbolt.Tx, have *counts) error {
		if now := time.Now(); now.Sub(s.pruned) >= pruneEvery {
			if err := pruneRevocations(tx, now, have); err != nil {
				return err
			}
			s.pruned = now
		}
		if have.revocations >= s.limits.revocations {
			return ErrRevocationsFull
		}
		b, err := bucket(tx, revocationsBucket)
		if err != nil {
			return err
		}
		n, err := b.NextSequence()
		if err != nil {
			return err
		}
		have.revocations++
		return put(tx, revocationsBucket, binary.BigEndian.AppendUint64(stamp(r.At), n), row)
	})
	if err != nil {
		return fmt.Errorf("add revocation: %w", err)
	}
	return nil
}

// Load returns the revocations that are not too old, oldest first.
func (s revocations) Load(ctx context.Context) ([]guard.Revocation, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	oldest := time.Now().Add(-guard.RevocationsKept)
	if s.bolt == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		return fresh(s.revocations, oldest), nil
	}
	var all []guard.Revocation
	err := s.bolt.View(func(tx *bbolt.Tx) error {
		return each(tx, revocationsBucket, func(_, value []byte) error {
			var r guard.Revocation
			if err := json.Unmarshal(value, &r); err != nil {
				return err
			}
			all = append(all, r)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("load revocations: %w", err)
	}
	return fresh(all, oldest), nil
}

func (s revocations) addToMemory(ctx context.Context, r guard.Revocation) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.pruned) >= pruneEvery {
		s.revocations, s.pruned = fresh(s.revocations, now.Add(-guard.RevocationsKept)), now
	}
	if len(s.revocations) >= s.limits.revocations {
		return fmt.Errorf("add revocation: %w", ErrRevocationsFull)
	}
	s.revocations = append(s.revocations, r)
	return nil
}

// fresh returns a copy of all without what was made before oldest.
func fresh(all []guard.Revocation, oldest time.Time) []guard.Revocation {
	return slices.DeleteFunc(slices.Clone(all), func(r guard.Revocation) bool { return r.At.Before(oldest) })
}

func pruneRevocations(tx *bbolt.Tx, now time.Time, have *counts) error {
	keys, err := before(tx, revocationsBucket, now.Add(-guard.RevocationsKept), have.revocations)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := remove(tx, revocationsBucket, key); err != nil {
			return err
		}
		have.revocations--
	}
	return nil
}
