// Package state keeps on disk what a restart must not forget: revocations,
// sessions and signing keys.
//
// It stops a restart, a crash or a damaged disk from undoing a revocation. What
// is acknowledged has been synced to disk. A file that is damaged, truncated,
// of an unknown version, open to other users or in use by another process is an
// error; it is never repaired or created again in silence. The file holds
// signing keys in the clear and is protected by its mode only (directory 0700,
// file 0600); it holds no cookie and no token.
//
// The file is state.db, a bbolt database. Every row carries a checksum of its
// own and the rows are counted, since bbolt has nothing of the kind for data.
// By default there is room for 1,000,000
// revocations, kept for 7 days, and 100,000 sessions.
package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sallyport/sallyport/auth/session"
	"github.com/sallyport/sallyport/guard"
)

// Errors of [Open], for the way out that a program prints.
var (
	// ErrInUse says that another process has the state open.
	ErrInUse = errors.New("in use by another process")
	// ErrCorrupt says that the file is damaged. The way out is a backup, or, if
	// it is acceptable that all revocations are forgotten, to move it away.
	ErrCorrupt = errors.New("damaged")
	// ErrVersion says that another version of the program wrote the file.
	ErrVersion = errors.New("of an unknown version")
	// ErrExposed says that other users may read or write the directory or the file.
	ErrExposed = errors.New("open to other users")
)

// Limits of a secret, in bytes.
const (
	maxSecret = 64 << 10
	maxName   = 128
)

// DB is an open state. It is safe for use by any goroutine and starts none.
type DB struct {
	bolt   *bbolt.DB // nil: memory
	path   string
	limits counts // set once, before use

	// mu is held from the start of a change to its commit.
	mu     sync.Mutex
	have   counts
	pruned time.Time

	// Used if bolt is nil, guarded by mu but for the store, which locks itself.
	secrets     map[string][]byte
	revocations []guard.Revocation
	sessions    *session.Memory
}

// counts are numbers of rows. They are a row themselves, changed in the same
// transaction: a page that lost rows is seen.
type counts struct{ revocations, sessions, secrets int }

func (c counts) row() []byte {
	return fmt.Appendf(nil, "%d %d %d", c.revocations, c.sessions, c.secrets)
}

var defaultLimits = counts{revocations: 1_000_000, sessions: session.MaxSessions}

// Open opens the state in dir. It creates the directory and an empty state if
// there is none, and waits up to 1 s for another process to let go of it. It
// fails with an error wrapping [ErrInUse], [ErrCorrupt], [ErrVersion] or
// [ErrExposed], or with that of the operating system. Opening reads the whole
// file.
func Open(dir string) (*DB, error) {
	path, err := prepare(dir)
	if err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	d, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("open state: %s: %w", path, err)
	}
	if err := d.prune(time.Now()); err != nil {
		return nil, errors.Join(fmt.Errorf("open state: prune: %w", err), d.Close())
	}
	return d, nil
}

// Memory returns a state that a restart forgets.
func Memory() *DB {
	return &DB{
		limits:   defaultLimits,
		secrets:  map[string][]byte{},
		sessions: session.NewMemory(defaultLimits.sessions),
	}
}

// Path is the name of the file; empty for [Memory].
func (d *DB) Path() string { return d.path }

// Close waits for changes in progress and lets go of the file. Everything that
// was acknowledged is on disk without it.
func (d *DB) Close() error {
	if d.bolt == nil {
		return nil
	}
	if err := d.bolt.Close(); err != nil {
		return fmt.Errorf("close state: %w", err)
	}
	return nil
}

// Secret returns the secret with a name, such as a signing key. The first time
// it keeps what make returns, 1 to 65,536 bytes, and has it on disk before it
// returns; an error of make is returned and nothing is kept.
func (d *DB) Secret(name string, make func() ([]byte, error)) ([]byte, error) {
	if name == "" || len(name) > maxName {
		return nil, fmt.Errorf("secret: the name must have 1 to %d bytes", maxName)
	}
	secret, err := d.secret(name, func() ([]byte, error) {
		s, err := make()
		if err == nil && (len(s) == 0 || len(s) > maxSecret) {
			err = fmt.Errorf("must have 1 to %d bytes, has %d", maxSecret, len(s))
		}
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", name, err)
	}
	return secret, nil
}

func (d *DB) secret(name string, make func() ([]byte, error)) (secret []byte, err error) {
	if d.bolt == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.secrets[name] == nil {
			if secret, err = make(); err != nil {
				return nil, err
			}
			d.secrets[name] = slices.Clone(secret)
		}
		return slices.Clone(d.secrets[name]), nil
	}
	read := func(tx *bbolt.Tx) (err error) {
		secret, err = get(tx, secretsBucket, []byte(name))
		secret = bytes.Clone(secret)
		return err
	}
	if err := d.bolt.View(read); err != nil || secret != nil {
		return secret, err
	}
	err = d.update(context.Background(), func(tx *bbolt.Tx, have *counts) error {
		if err := read(tx); err != nil || secret != nil {
			return err
		}
		if secret, err = make(); err != nil {
			return err
		}
		have.secrets++
		return put(tx, secretsBucket, []byte(name), secret)
	})
	if err != nil {
		return nil, err
	}
	return secret, nil
}

// update runs f in one transaction, which is on disk when update returns nil,
// and has not happened when it returns an error.
func (d *DB) update(ctx context.Context, f func(tx *bbolt.Tx, have *counts) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	have := d.have
	err := d.bolt.Update(func(tx *bbolt.Tx) error {
		if err := f(tx, &have); err != nil || have == d.have {
			return err
		}
		return put(tx, metaBucket, countsKey, have.row())
	})
	if err != nil {
		return err
	}
	d.have = have
	return nil
}

// prune forgets what is over at now.
func (d *DB) prune(now time.Time) error {
	return d.update(context.Background(), func(tx *bbolt.Tx, have *counts) error {
		d.pruned = now
		if err := pruneRevocations(tx, now, have); err != nil {
			return err
		}
		return pruneSessions(tx, now, have, have.sessions)
	})
}
