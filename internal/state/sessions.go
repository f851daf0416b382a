package state

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sallyport/sallyport/auth/session"
)

// pruneBatch bounds how many expired sessions one Create forgets.
const pruneBatch = 100

// Sessions returns the sessions of d as a store for 100,000. Expired ones are
// forgotten when the state is opened, and some whenever one is created.
func (d *DB) Sessions() session.Store {
	if d.bolt == nil {
		return d.sessions
	}
	return sessions{d}
}

type sessions struct{ *DB }

// Create keeps r under key; it is on disk when Create returns nil.
func (s sessions) Create(ctx context.Context, key [32]byte, r session.Record) error {
	if r.ID == "" {
		return errors.New("create session: it has no id")
	}
	row, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("create session: %w", err)
	}
	err = s.update(ctx, func(tx *bbolt.Tx, have *counts) error {
		if err := pruneSessions(tx, time.Now(), have, pruneBatch); err != nil {
			return err
		}
		if have.sessions >= s.limits.sessions {
			return session.ErrFull
		}
		for name, k := range map[string][]byte{sessionsBucket: key[:], idsBucket: []byte(r.ID)} {
			if old, err := get(tx, name, k); err != nil || old != nil {
				return errors.Join(err, errors.New("two sessions with one key or id"))
			}
		}
		have.sessions++
		return errors.Join(
			put(tx, sessionsBucket, key[:], row),
			put(tx, idsBucket, []byte(r.ID), key[:]),
			put(tx, endsBucket, endKey(r.Expires, key), []byte("1")),
		)
	})
	if err != nil {
		return fmt.Errorf("create session: %w", err)
	}
	return nil
}

// Get returns the record under key, expired or not.
func (s sessions) Get(ctx context.Context, key [32]byte) (r session.Record, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return r, false, err
	}
	err = s.bolt.View(func(tx *bbolt.Tx) (err error) {
		r, ok, err = record(tx, key[:])
		return err
	})
	if err != nil {
		return session.Record{}, false, fmt.Errorf("get session: %w", err)
	}
	return r, ok, nil
}

// Delete removes the record under key and returns it; it is gone from the disk
// when Delete returns.
func (s sessions) Delete(ctx context.Context, key [32]byte) (session.Record, bool, error) {
	return s.remove(ctx, func(*bbolt.Tx) ([]byte, error) { return key[:], nil })
}

// DeleteID is Delete for the record with a public id.
func (s sessions) DeleteID(ctx context.Context, id string) (session.Record, bool, error) {
	if id == "" {
		return session.Record{}, false, ctx.Err()
	}
	return s.remove(ctx, func(tx *bbolt.Tx) ([]byte, error) {
		key, err := get(tx, idsBucket, []byte(id))
		return bytes.Clone(key), err
	})
}

// remove removes the record under the key that find returns. It looks before it
// writes, so that asking for what is not there costs no write to the disk.
func (s sessions) remove(ctx context.Context, find func(*bbolt.Tx) ([]byte, error)) (r session.Record, ok bool, err error) {
	var key []byte
	look := func(tx *bbolt.Tx) (err error) {
		if key, err = find(tx); err == nil {
			r, ok, err = record(tx, key)
		}
		return err
	}
	if err = ctx.Err(); err == nil {
		err = s.bolt.View(look)
	}
	if err == nil && ok {
		err = s.update(ctx, func(tx *bbolt.Tx, have *counts) error {
			if err := look(tx); err != nil || !ok {
				return err
			}
			have.sessions--
			return removeSession(tx, key, r)
		})
	}
	if err != nil {
		return session.Record{}, false, fmt.Errorf("delete session: %w", err)
	}
	return r, ok, nil
}

// record returns the session under key. ok is false if there is none.
func record(tx *bbolt.Tx, key []byte) (r session.Record, ok bool, err error) {
	if len(key) == 0 {
		return r, false, nil
	}
	row, err := get(tx, sessionsBucket, key)
	if err != nil || row == nil {
		return r, false, err
	}
	if err := json.Unmarshal(row, &r); err != nil {
		return session.Record{}, false, fmt.Errorf("%w: a session: %w", ErrCorrupt, err)
	}
	return r, true, nil
}

func removeSession(tx *bbolt.Tx, key []byte, r session.Record) error {
	return errors.Join(
		remove(tx, sessionsBucket, key),
		remove(tx, idsBucket, []byte(r.ID)),
		remove(tx, endsBucket, endKey(r.Expires, [32]byte(key))),
	)
}

// pruneSessions forgets up to limit sessions that ended before now.
func pruneSessions(tx *bbolt.Tx, now time.Time, have *counts, limit int) error {
	ends, err := before(tx, endsBucket, now, limit)
	if err != nil {
		return err
	}
	for _, end := range ends {
		key := end[stampSize:]
		r, ok, err := record(tx, key)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%w: a session is missing", ErrCorrupt)
		}
		if err := removeSession(tx, key, r); err != nil {
			return err
		}
		have.sessions--
	}
	return nil
}

// endKey is the key of a session in the order of their ends.
func endKey(expires time.Time, key [32]byte) []byte { return append(stamp(expires), key[:]...) }
