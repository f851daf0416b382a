package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	fileName    = "state.db"
	lockTimeout = time.Second
)

// version is the version of the rows. A program opens its own version only.
const version = "1"

// prepare returns the path of the state file in dir; it exists and is private.
func prepare(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("no directory is named")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	if err := private(dir, info, "700"); err != nil {
		return "", err
	}
	path := filepath.Join(dir, fileName)
	info, err = os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createFile(dir, path); err != nil {
			return "", fmt.Errorf("create %s: %w", path, err)
		}
		info, err = os.Lstat(path)
	}
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	if info.Size() == 0 {
		return "", fmt.Errorf("%s: %w: it is empty", path, ErrCorrupt) // bbolt would begin anew
	}
	return path, private(path, info, "600")
}

func private(path string, info fs.FileInfo, mode string) error {
	if runtime.GOOS == "windows" { // no such modes
		return nil
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s: %w (mode %04o): chmod %s %s", path, ErrExposed, info.Mode().Perm(), mode, path)
	}
	return nil
}

// createFile makes an empty state. It appears under its name when it is complete
// and on disk, and only if the name is free, so that a crash leaves no half a
// file and two processes that start at once agree on one.
func createFile(dir, path string) (err error) {
	temp, err := os.CreateTemp(dir, fileName+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(temp.Name())) }()
	if err := temp.Close(); err != nil {
		return err
	}
	b, err := bbolt.Open(temp.Name(), 0o600, &bbolt.Options{Timeout: lockTimeout})
	if err != nil {
		return err
	}
	err = b.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return errors.Join(
			put(tx, metaBucket, versionKey, []byte(version)),
			put(tx, metaBucket, countsKey, counts{}.row()),
		)
	})
	if err = errors.Join(err, b.Close()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if runtime.GOOS == "windows" { // cannot sync a directory
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// open locks the file and verifies all of it. bbolt maps the file and trusts
// it, so the pages are looked at first. Should damage show as a panic or a
// memory fault all the same, that is ErrCorrupt too.
func open(path string) (d *DB, err error) {
	var b *bbolt.DB
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
		if err != nil && b != nil {
			d, _ = nil, b.Close() // the first error tells more
		}
	}()
	if err := look(path); err != nil {
		return nil, err
	}
	if b, _, err = lock(path, false); err != nil {
		return nil, err
	}
	d = &DB{bolt: b, path: path, limits: defaultLimits}
	return d, b.View(func(tx *bbolt.Tx) error { return verify(tx, &d.have) })
}

// look checks the pages under a lock that keeps writers out.
func look(path string) error {
	b, file, err := lock(path, true)
	if err != nil {
		return err
	}
	err = checkPages(file, int64(b.Info().PageSize))
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return errors.Join(err, b.Close())
}

// lock opens the file, which must exist.
func lock(path string, readOnly bool) (b *bbolt.DB, file *os.File, err error) {
	b, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:  lockTimeout,
		ReadOnly: readOnly,
		OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
			f, err = os.OpenFile(name, flag&^os.O_CREATE, mode)
			file = f
			return f, err
		},
	})
	var system syscall.Errno
	switch {
	case err == nil:
		return b, file, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, nil, ErrInUse
	case errors.As(err, &system):
		return nil, nil, err
	}
	return nil, nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
}
