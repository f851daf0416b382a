package state

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"go.etcd.io/bbolt"
)

// Buckets of the file.
const (
	metaBucket        = "meta"         // version, counts
	secretsBucket     = "secrets"      // name → secret
	revocationsBucket = "revocations"  // time made, sequence → JSON
	sessionsBucket    = "sessions"     // SHA-256 of the cookie's value → JSON
	idsBucket         = "session-ids"  // public id → key in sessions
	endsBucket        = "session-ends" // end, key in sessions → "1"
)

var buckets = []string{metaBucket, secretsBucket, revocationsBucket, sessionsBucket, idsBucket, endsBucket}

// Keys of meta.
var (
	versionKey = []byte("version")
	countsKey  = []byte("counts")
)

// A value is preceded by a checksum of bucket, key and value, so that damage to
// any of them is seen. It is no protection against an author.
const sumSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(bucket string, key, value []byte) uint32 {
	s := crc32.Update(0, castagnoli, []byte(bucket))
	s = crc32.Update(s, castagnoli, []byte{0, byte(len(key) >> 8), byte(len(key))})
	s = crc32.Update(s, castagnoli, key)
	return crc32.Update(s, castagnoli, value)
}

func bucket(tx *bbolt.Tx, name string) (*bbolt.Bucket, error) {
	b := tx.Bucket([]byte(name))
	if b == nil {
		return nil, fmt.Errorf("%w: %s are missing", ErrCorrupt, name)
	}
	return b, nil
}

func put(tx *bbolt.Tx, name string, key, value []byte) error {
	b, err := bucket(tx, name)
	if err != nil {
		return err
	}
	row := binary.BigEndian.AppendUint32(make([]byte, 0, sumSize+len(value)), sum(name, key, value))
	return b.Put(key, append(row, value...))
}

// get returns the value under key, or nil. It is valid until tx ends.
func get(tx *bbolt.Tx, name string, key []byte) ([]byte, error) {
	b, err := bucket(tx, name)
	if err != nil {
		return nil, err
	}
	row := b.Get(key)
	if row == nil {
		return nil, nil
	}
	return checkRow(name, key, row)
}

func checkRow(name string, key, row []byte) ([]byte, error) {
	if len(row) < sumSize || binary.BigEndian.Uint32(row) != sum(name, key, row[sumSize:]) {
		return nil, fmt.Errorf("%w: a row of %s has a wrong checksum", ErrCorrupt, name)
	}
	return row[sumSize:], nil
}

func remove(tx *bbolt.Tx, name string, key []byte) error {
	b, err := bucket(tx, name)
	if err != nil {
		return err
	}
	return b.Delete(key)
}

// each calls f with every row of a bucket; an error of f means damage.
func each(tx *bbolt.Tx, name string, f func(key, value []byte) error) error {
	b, err := bucket(tx, name)
	if err != nil {
		return err
	}
	return b.ForEach(func(key, row []byte) error {
		value, err := checkRow(name, key, row)
		if err != nil {
			return err
		}
		if err := f(key, value); err != nil {
			return fmt.Errorf("%w: a row of %s: %w", ErrCorrupt, name, err)
		}
		return nil
	})
}

// before returns copies of up to limit keys of a bucket that begin with a time
// before t, oldest first.
func before(tx *bbolt.Tx, name string, t time.Time, limit int) ([][]byte, error) {
	b, err := bucket(tx, name)
	if err != nil {
		return nil, err
	}
	end, keys := string(stamp(t)), [][]byte(nil)
	c := b.Cursor()
	for k, _ := c.First(); k != nil && len(keys) < limit && string(k) < end; k, _ = c.Next() {
		keys = append(keys, append([]byte(nil), k...))
	}
	return keys, nil
}

const stampSize = 8

// stamp is a time as 8 bytes that sort like the time. Times before 1970 sort as 1970.
func stamp(t time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(max(0, t.UnixNano())))
}
