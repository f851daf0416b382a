//go:build !unix || aix || solaris

package sealkeys

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// staleAfter is when a lock is taken for one that a crash left behind.
const staleAfter = time.Minute

// lock takes a lock that is a file.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > staleAfter {
			_ = os.Remove(path)
		}
		return nil, ErrLocked
	}
	if err != nil {
		return nil, err
	}
	return func() error { return errors.Join(f.Close(), os.Remove(path)) }, nil
}
